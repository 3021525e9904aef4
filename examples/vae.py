"""Train a variational autoencoder, dense or convolutional, and draw samples and reconstructions.

Kingma and Welling 2014, "Auto-Encoding Variational Bayes". `--arch dense`: 784-400-20-400-784.
`--arch conv`: 4x4 convolutions of stride 2 to 16 and 32 filters, 256 units, z, and the mirror
image. Adam 1e-3, batch 128. Expect a test negative ELBO of about 108.5 nats an image on glyphs
(dense, 30 epochs, under a minute on two cores), and on 8,000 MNIST digits after 20 epochs 112.5
(dense) and 107.7 (conv, about five times the work). Under --out it leaves samples.png,
reconstructions.png, traversal.png, curves.png, metrics.jsonl and a checkpoint. With --conditional
samples.png has a row for each class; with --beta 4 the samples agree better with their class.
"""

import numpy as np

import minigen as mg
from minigen import distributed, figures
from minigen.data import DataLoader
from minigen.models import VAE, ConvVAE
from minigen.training import (
    Run,
    argument_parser,
    distribute,
    image_data,
    nonnegative_float,
    positive_int,
    run_example,
    saved_run,
)

MAX_ROWS = 36  # of samples.png
MODELS = {"dense": VAE, "conv": ConvVAE}


def main():
    args = flags()
    run = saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    needed = int(args.conditional)
    train_x, train_y, test_x, test_y, names = image_data(args.data, min_classes=needed)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    classes = len(names) if args.conditional else 0
    settings = {"latent": args.latent, "classes": classes, "beta": args.beta}
    if args.hidden is not None:
        settings["hidden"] = args.hidden
    model = MODELS[args.arch](**settings, rng=rng, device=device)
    optimizer = distribute(mg.optim.Adam(model.parameters(), lr=1e-3), world, args)
    data, way = (train_x, train_y), {"device": device, "world": world}
    loader = DataLoader(data, batch_size=128, shuffle=True, rng=rng, **way)
    print(mg.nn.summary(model, pixels(train_x[:128], model, device), train_y[:128]))

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    saved = {"settings": settings, "kept": {"images": test_x[:30], "labels": test_y[:30]}}
    with Run(args, **state, **saved, contents=[train_x, train_y], free=["epochs"]) as run:
        for _ in run.epochs():
            for x, y in run.batches():
                loss, reconstruction, kl = model.loss(pixels(x, model, device), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss, reconstruction=reconstruction, kl=kl)
            run.end_epoch(test=evaluate(model, test_x, test_y, device))
    return run


def pixels(images, model, device):
    """uint8 (N, 28, 28) as a tensor in [0, 1]: (N, 784), or (N, 1, 28, 28) for convolutions."""
    return mg.tensor(images.reshape(-1, *model.shape)).to(device) / 255


@mg.no_grad()
def evaluate(model, images, labels, device):
    """The mean negative ELBO (beta 1) of a test set, with one sample of z per image, in nats."""
    total = 0.0
    for x, y in DataLoader((images, labels), batch_size=500):
        _, reconstruction, kl = model.loss(pixels(x, model, device), y)
        total += (reconstruction.item() + kl.item()) * len(x)
    return total / len(images)


@mg.no_grad()
def draw(run):
    """Draw samples from the prior, reconstructions of test images, and paths between two codes."""
    model, images, labels = run.model, run.kept["images"], np.resize(run.kept["labels"], 30)
    images = np.resize(images, (30, *images.shape[1:]))  # repeated if there are fewer
    as_images = lambda logits: mg.sigmoid(logits).numpy().reshape(-1, 28, 28)
    rows = min(model.classes or 10, MAX_ROWS)
    z = run.generator(1).normal((rows * 10, model.latent), device=run.device)
    label = np.repeat(np.arange(rows), 10) if model.classes else None  # a row for each class
    figures.image_sheet(run.path("samples.png"), as_images(model.decode(mg.Tensor(z), label)), 10)

    mean, _ = model.encode(pixels(images, model, run.device), labels)
    decoded = as_images(model.decode(mean, labels))  # (30, 28, 28)
    pairs = [
        part for i in range(0, 30, 10) for part in (images[i : i + 10] / 255, decoded[i : i + 10])
    ]
    figures.image_sheet(run.path("reconstructions.png"), np.concatenate(pairs), 10)

    start, end = mean[0:20:2], mean[1:20:2]  # (10, latent) each
    path = [start + (end - start) * t for t in np.linspace(0, 1, 10).tolist()]
    paths = mg.stack(path, axis=1).reshape(100, model.latent)  # from (10 paths, 10 steps, latent)
    label = np.repeat(labels[0:20:2], 10)
    figures.image_sheet(run.path("traversal.png"), as_images(model.decode(paths, label)), 10)

    train = np.add(run.series("reconstruction"), run.series("kl"))  # beta 1, as in `evaluate`
    figures.curves(
        run.path("curves.png"),
        [
            {"train": train, "test": run.series("test")},
            {"reconstruction": run.series("reconstruction"), "KL": run.series("kl")},
        ],
        ylabels=["negative ELBO, nats", "nats"],
    )
    print(f"figures, metrics and checkpoint: {run.out}")


def flags():
    parser = argument_parser(__doc__, out="runs/vae", epochs=30)
    parser.add_argument("--arch", choices=MODELS, default="dense", help="layers")
    parser.add_argument("--latent", type=positive_int, default=20, help="size of z")
    parser.add_argument(
        "--hidden", type=positive_int, help="dense units; by default 400, with conv 256"
    )
    parser.add_argument("--beta", type=nonnegative_float, default=1.0, help="weight of the KL")
    parser.add_argument("--conditional", action="store_true", help="model x given its class")
    return parser.parse_args()


if __name__ == "__main__":
    run_example(main)
