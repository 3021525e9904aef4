"""Train a generative adversarial network, and have a classifier judge what it draws.

--arch dense: Goodfellow et al. 2014, "Generative Adversarial Nets": 100-256-512-784 against
784-512-256-1, batch 128. --arch dc: Radford et al. 2016, DCGAN, batch 64. Both with the
non-saturating loss, Adam with betas 0.5 and 0.999, and two tricks: a target of 0.9 for real images
(one-sided label smoothing, Salimans et al. 2016), and a rate of 5e-4, faster than the usual 2e-4.

The judge is a network trained by examples/cnn.py on the same data. On 8,000 MNIST digits expect it
to find at least 5 % of the samples in each class, at a Frechet distance of about 80 (dense, four
minutes on two busy cores) and 90 (dc, nine minutes), where training images lie at 5. On glyphs the
dense one draws all 36 classes. Under --out it leaves samples.png (drawn anew after each epoch),
walks.png, curves.png (its accuracies are of one moment each), metrics.jsonl and a checkpoint.
"""

import math
from pathlib import Path

import numpy as np

import minigen as mg
from minigen import figures, models
from minigen.data import GLYPH_CLASSES, DataLoader
from minigen.errors import CheckpointError
from minigen.training import Run, argument_parser, checkpoint, image_data, run_example
from minigen.training.classification import predict
from minigen.training.metrics import frechet_distance

NETWORKS = {
    "dense": (models.Generator, models.Discriminator),
    "dc": (models.DCGenerator, models.DCDiscriminator),
}
SHAPES = {"dense": (784,), "dc": (1, 28, 28)}  # of an image
BATCH, EPOCHS = {"dense": 128, "dc": 64}, {"dense": 100, "dc": 20}
RATE, BETAS, SMOOTHING = 5e-4, (0.5, 0.999), 0.1
JUDGE, SAMPLES = Path("runs/cnn/checkpoint.safetensors"), 2_000


def main():
    args = flags()
    train_x, train_y, test_x, _ = image_data(args.data)
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    judge = load_judge(args.judge, args.data, int(train_y.max()) + 1, device)
    generator, discriminator = (kind(rng=rng, device=device) for kind in NETWORKS[args.arch])
    model = mg.nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    optimizer = {k: mg.optim.Adam(model[k].parameters(), lr=RATE, betas=BETAS) for k in model}
    of_generator, of_discriminator = optimizer["generator"], optimizer["discriminator"]
    loader = DataLoader(train_x, batch_size=BATCH[args.arch], shuffle=True, rng=rng)
    noise = lambda count, rng: mg.Tensor(rng.normal((count, generator.latent), device=device))
    shown, unseen = noise(500, mg.Generator(1)), pixels(test_x[:500], args.arch, device)
    print(mg.nn.summary(generator, shown[:1]), mg.nn.summary(discriminator, unseen[:1]), sep="\n")

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    with Run(args, **state, contents=[train_x], free=["judge", "epochs"]) as run:
        for _ in run.epochs():
            for x in run.batches():
                real, fake = pixels(x, args.arch, device), generator(noise(len(x), rng))
                lost = models.non_saturating.critic(discriminator, real, fake, SMOOTHING)
                of_discriminator.step(mg.grad(lost, of_discriminator.params))
                run.record(discriminator=lost)
                # through the discriminator to the generator, with no gradient of its weights
                lost = models.non_saturating.generator(discriminator, fake)
                of_generator.step(mg.grad(lost, of_generator.params))
                run.record(generator=lost)
            images = sample(generator, shown)
            fake = pixels(255 * images, args.arch, device)
            run.end_epoch(**accuracy(discriminator, unseen, fake))
            figures.image_sheet(run.out / "samples.png", images[:100], 10)
        figures.image_sheet(run.out / "walks.png", sample(generator, walks(shown[:20])), 10)
        losses = {name: run.series(name) for name in model}
        right = {f"{kind} images": run.series(kind) for kind in ("real", "fake")}
        ylabels = ["loss, nats", "discriminator right, %"]
        figures.curves(run.out / "curves.png", [losses, right], ylabels=ylabels)
    if judge is not None:
        samples = sample(generator, noise(SAMPLES, mg.Generator(2)))
        report(judge, samples, train_x, test_x, device)
    print(f"figures, metrics and checkpoint: {run.out}")


def pixels(images, arch, device):
    """uint8 (N, 28, 28) as a tensor in [-1, 1], the range of tanh, in the shape of arch."""
    return mg.tensor(images.reshape(-1, *SHAPES[arch])).to(device) / 127.5 - 1


def sample(generator, z):
    """The images of z (N, latent), (N, 28, 28) in [0, 1], by batch norm's running statistics."""
    generator.eval()
    x = predict(generator, z)
    generator.train()
    return x.reshape(-1, 28, 28) / 2 + 0.5


def walks(z, steps=10):
    """From each z of the first half to one of the second; cos and sin keep the length of z."""
    start, end = z[: len(z) // 2], z[len(z) // 2 :]
    angles = np.linspace(0, math.pi / 2, steps).tolist()
    walk = [start * math.cos(t) + end * math.sin(t) for t in angles]
    return mg.stack(walk, axis=1).reshape(-1, z.shape[1])  # a row of the sheet is a walk


@mg.no_grad()
def accuracy(discriminator, real, fake):
    """Per cent of the real and of the fake images that it takes for what they are."""
    right = {"real": discriminator(real).data > 0, "fake": discriminator(fake).data < 0}
    return {name: 100 * float(hits.mean()) for name, hits in right.items()}


def load_judge(path, data, classes, device):
    """The classifier that examples/cnn.py left at path; None, said at once, where it left none."""
    train = f"train one by `python examples/cnn.py --data {data} --out DIR` for --judge "
    train += f"DIR/{JUDGE.name}"
    if not path.exists():
        print(f"no judge at {path}: {train}, also later, with --resume")
        return None
    state = checkpoint.load_state(path)
    of = state.get("config", {})
    if (of.get("example"), of.get("data")) != ("cnn", data):
        theirs = f"{of.get('example')} on {of.get('data')}"
        raise CheckpointError(f"{path} is of {theirs}, not of cnn on {data}: {train}")
    judge = models.CNN(classes, hidden=int(of["hidden"]), device=device)
    judge.load_state_dict(state["model"])
    return judge


def report(judge, samples, train_x, test_x, device):
    """Print how many samples the judge finds in each class, and how far they are from data."""
    raw = lambda x: mg.tensor(x.astype(np.float32), device=device)
    see = lambda images: predict(lambda x: judge.features(raw(x[:, None])), images)
    drawn, data, target = see(samples), see(train_x[: len(test_x)] / 255), see(test_x / 255)
    found = predict(lambda x: judge.head(raw(x)), drawn).argmax(1)
    shares = 100 * np.bincount(found, minlength=judge.head.bias.size) / len(samples)
    print(f"per cent of {len(samples)} samples in each class, {shares.min():.2f} at least:")
    words = [f"{name} {share:4.1f}" for name, share in zip(GLYPH_CLASSES, shares)]
    print("\n".join("  ".join(words[i : i + 12]) for i in range(0, len(words), 12)))
    distance, floor = frechet_distance(drawn, target), frechet_distance(data, target)
    print(f"Frechet distance to test images: {distance:.1f}; that of training images: {floor:.1f}")


def flags():
    parser = argument_parser(__doc__, out="runs/gan", epochs="100 for dense, 20 for dc")
    parser.add_argument("--arch", choices=list(SHAPES), default="dense", help="networks")
    says = "a checkpoint of examples/cnn.py, or none"
    parser.add_argument("--judge", type=Path, default=JUDGE, help=says)
    args = parser.parse_args()
    args.epochs = args.epochs or EPOCHS[args.arch]
    return args


if __name__ == "__main__":
    run_example(main)
