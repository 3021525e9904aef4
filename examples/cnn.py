"""Train a convolutional network to classify characters, and draw which pixels decide.

LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", in today's form:
conv 32 - pool - conv 64 - pool - 128 - classes, Adam 1e-3, batch 64. The saliency of a pixel is
the absolute derivative of the largest logit by it (Simonyan, Vedaldi and Zisserman 2014, "Deep
Inside Convolutional Networks"). Expect a test accuracy of about 99 % on glyphs (36 classes), and
of 97.7 % on 8,000 MNIST digits. Under --out it leaves predictions.png, saliency.png, curves.png,
metrics.jsonl and a checkpoint, which examples/gan.py uses as the judge of its samples.
"""

import numpy as np

import minigen as mg
from minigen import distributed, figures
from minigen.data import DataLoader
from minigen.models import CNN
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
    settings = {"classes": len(names), "hidden": args.hidden}
    model = CNN(**settings, rng=rng, device=device)
    optimizer = distribute(mg.optim.Adam(model.parameters(), lr=1e-3), world, args)
    data, way = (train_x, train_y), {"device": device, "world": world}
    loader = DataLoader(data, batch_size=64, shuffle=True, rng=rng, **way)
    print(mg.nn.summary(model, pixels(train_x[:64], device)))
    logits_of = lambda images: model(pixels(images, device))  # (N, 28, 28) to (N, classes)

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


def pixels(images, device):
    """uint8 (N, 28, 28) as a tensor in [0, 1] of one channel, (N, 1, 28, 28)."""
    return mg.tensor(images[:, None]).to(device) / 255


def draw(run):
    """Draw predictions, curves, and the saliency of pixels."""
    draw_classes(run, predict(lambda x: run.model(pixels(x, run.device)), run.kept["images"]))
    draw_saliency(run.path("saliency.png"), run.model, run.kept["images"], run.device)
    print(f"figures, metrics and checkpoint: {run.out}")


def saliency(model, images, device):
    """|d largest logit / d pixel|, scaled to a maximum of 1 in each image: (N, 28, 28)."""
    x = pixels(images, device).requires_grad_()
    largest_logit = model(x).max(axis=1)  # (N,)
    # Each logit depends on one image only, so the gradient of the sum holds all N gradients.
    gradient = mg.abs(mg.grad(largest_logit.sum(), x)).numpy()[:, 0]  # (N, 28, 28)
    maximum = gradient.max(axis=(1, 2), keepdims=True)  # 0 if relu is 0 in all hidden units
    return gradient / np.where(maximum == 0, 1, maximum)


def draw_saliency(path, model, images, device):
    """Draw two rows of ten images; below each row the same images, dimmed, with saliency in red."""
    images = np.resize(images, (20, *images.shape[1:]))  # repeated if there are fewer
    heat, grey = saliency(model, images, device), images / 255  # (20, 28, 28) each
    dimmed = 0.6 * grey * (1 - heat)
    red = np.stack([np.maximum(heat, dimmed), dimmed, dimmed], axis=-1)  # (20, 28, 28, 3)
    plain = np.repeat(grey[..., None], 3, axis=-1)  # (20, 28, 28, 3)
    rows = [part[i : i + 10] for i in (0, 10) for part in (plain, red)]
    figures.image_sheet(path, np.concatenate(rows), 10)


def flags():
    parser = argument_parser(__doc__, out="runs/cnn", epochs=6)
    parser.add_argument("--hidden", type=positive_int, default=128, help="dense units")
    return parser.parse_args()


if __name__ == "__main__":
    run_example(main)
