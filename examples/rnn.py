"""Train an LSTM to read digits row by row, and look at what it tells apart.

Hochreiter and Schmidhuber 1997, "Long Short-Term Memory": 28 steps of 28 pixels, 128 units, the
class from the last state, Adam 1e-3, batch 64. Expect a test accuracy of about 94 % on glyphs
(36 classes), and of 95 % on 8,000 MNIST digits (10 epochs, under a minute on two cores). Under
--out it leaves predictions.png, curves.png, metrics.jsonl and a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import plots
from minigen.data import GLYPH_CLASSES, DataLoader
from minigen.models import LSTMClassifier
from minigen.training import Run, argument_parser, image_data, run_example


def pixels(images):
    """uint8 (N, 28, 28) as a tensor in [0, 1]; each row of an image is one step."""
    return mg.tensor(images) / 255


@mg.no_grad()
def logits(model, images, device):
    """The model's logits for all images, (N, classes)."""
    batches = [images[i : i + 500] for i in range(0, len(images), 500)]
    return np.concatenate([model(pixels(x).to(device)).numpy() for x in batches])


def evaluate(model, images, labels, device):
    """Test loss in nats and accuracy in per cent."""
    found = logits(model, images, device)
    loss = mg.cross_entropy(found, labels)
    return {"test_loss": float(loss), "accuracy": 100 * float((found.argmax(1) == labels).mean())}


def draw(model, run, images, labels):
    """Test images with the class read in each, the wrong ones in red, and the curves."""
    found = logits(model, images[:50], run.device).argmax(1)
    wrong = found != labels[:50]
    name = GLYPH_CLASSES.__getitem__
    captions = [
        f"{name(p)}, is {name(y)}" if w else name(p) for p, y, w in zip(found, labels, wrong)
    ]
    plots.captioned_images(run.out / "predictions.png", images[:50] / 255, captions, 10, wrong)
    plots.curves(
        run.out / "curves.png",
        [
            {"train": run.series("loss"), "test": run.series("test_loss")},
            {"train": run.series("train_accuracy"), "test": run.series("accuracy")},
        ],
        ylabels=["cross-entropy, nats", "accuracy, %"],
    )


def main():
    parser = argument_parser(__doc__, out="runs/rnn", epochs=10)
    parser.add_argument("--hidden", type=int, default=128, help="units; default 128")
    args = parser.parse_args()

    train_x, train_y, test_x, test_y = image_data(args.data)
    rng = mg.Generator(args.seed)
    device = mg.resolve_device(args.device)
    classes = int(train_y.max()) + 1
    model = LSTMClassifier(28, args.hidden, classes, rng=rng, device=device)
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader((train_x, train_y), batch_size=64, shuffle=True, rng=rng)
    print(mg.nn.summary(model, pixels(train_x[:64]).to(device)))

    with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
        for _ in run.epochs():
            for x, y in run.batches():
                scores = model(pixels(x).to(device))
                loss = mg.cross_entropy(scores, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                right = (scores.numpy().argmax(1) == y).mean()
                run.record(loss=loss, train_accuracy=100 * right)
            run.end_epoch(**evaluate(model, test_x, test_y, device))
        draw(model, run, test_x, test_y)
    print(f"figures, metrics and checkpoint: {run.out}")


if __name__ == "__main__":
    run_example(main)
