"""Train an LSTM to classify characters, reading an image row by row.

Hochreiter and Schmidhuber 1997, "Long Short-Term Memory": 28 steps of 28 pixels, 128 units, the
class from the last state, Adam 1e-3, batch 64. Expect a test accuracy of about 94 % on glyphs
(36 classes), and of 95 % on 8,000 MNIST digits (10 epochs, under a minute on two cores). Under
--out it leaves predictions.png, curves.png, metrics.jsonl and a checkpoint.
"""

import minigen as mg
from minigen import distributed
from minigen.data import DataLoader
from minigen.models import LSTMClassifier
from minigen.training import (
    Run,
    argument_parser,
    distribute,
    image_data,
    positive_int,
    run_example,
    saved_run,
)
from minigen.training.classification import KEPT, draw_classes, predict, score


def main():
    args = flags()
    run = saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    train_x, train_y, test_x, test_y, names = image_data(args.data, min_classes=2)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    settings = {"input_size": 28, "hidden": args.hidden, "classes": len(names)}
    model = LSTMClassifier(**settings, rng=rng, device=device)
    optimizer = distribute(mg.optim.Adam(model.parameters(), lr=1e-3), world, args)
    data, way = (train_x, train_y), {"device": device, "world": world}
    loader = DataLoader(data, batch_size=64, shuffle=True, rng=rng, **way)
    print(mg.nn.summary(model, pixels(train_x[:64]).to(device)))
    logits_of = lambda images: model(pixels(images).to(device))  # (N, 28, 28) to (N, classes)

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    kept = {"images": test_x[:KEPT], "labels": test_y[:KEPT], "names": list(names)}
    saved = {"settings": settings, "kept": kept}
    with Run(args, **state, **saved, contents=[train_x, train_y], free=["epochs"]) as run:
        for _ in run.epochs():
            for x, y in run.batches():
                logits = logits_of(x)
                loss = mg.cross_entropy(logits, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                accuracy = (logits.data.argmax(1) == y).mean()
                run.record(loss=loss, train_accuracy=100 * accuracy)
            run.end_epoch(**score(predict(logits_of, test_x), test_y))
    return run


def draw(run):
    """Draw predictions and curves."""
    logits_of = lambda images: run.model(pixels(images).to(run.device))
    draw_classes(run, predict(logits_of, run.kept["images"]))
    print(f"figures, metrics and checkpoint: {run.out}")


def pixels(images):
    """uint8 (N, 28, 28) as a tensor in [0, 1]: N sequences of 28 steps, a row each."""
    return mg.tensor(images) / 255


def flags():
    parser = argument_parser(__doc__, out="runs/rnn", epochs=10)
    parser.add_argument("--hidden", type=positive_int, default=128, help="units")
    return parser.parse_args()


if __name__ == "__main__":
    run_example(main)
