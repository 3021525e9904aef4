"""Train a generative adversarial network, and judge its samples by a classifier.

--arch dense: Goodfellow et al. 2014, "Generative Adversarial Nets": 100-256-512-784 against
784-512-256-1, batch 128. --arch dc: Radford et al. 2016, DCGAN, batch 64. Both with the
non-saturating loss, Adam with betas 0.5 and 0.999, and two tricks: a target of 0.9 for real images
(one-sided label smoothing, Salimans et al. 2016), and a rate of 5e-4, faster than the usual 2e-4.

The judge is a network trained by examples/cnn.py on the same data. On 8,000 MNIST digits expect at
least 5 % of the samples in each class, and a Frechet distance of 80 to 110 (dense, four minutes on
two busy cores) and 80 to 90 (dc, nine minutes); that of training images is 5. On glyphs the dense
generator draws all 36 classes. Under --out it leaves samples.png, rewritten after each epoch,
walks.png, curves.png (accuracies at the end of each epoch), metrics.jsonl and a checkpoint.
"""

import math
from pathlib import Path

import numpy as np

import minigen as mg
from minigen import distributed, figures, models, training
from minigen.data import DataLoader
from minigen.random import draw_of_batch
from minigen.training import Run, argument_parser, image_data
from minigen.training.classification import predict
from minigen.training.judging import load_judge, report_samples

NETWORKS = {
    "dense": (models.Generator, models.Discriminator),
    "dc": (models.DCGenerator, models.DCDiscriminator),
}
SHAPES = {"dense": (784,), "dc": (1, 28, 28)}  # of one image
BATCH, EPOCHS = {"dense": 128, "dc": 64}, {"dense": 100, "dc": 20}
RATE, BETAS, SMOOTHING = 5e-4, (0.5, 0.999), 0.1
JUDGE, SAMPLES = Path("runs/cnn/checkpoint.safetensors"), 2_000


def main():
    args = flags()
    run = training.saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    train_x, _, test_x, _, names = image_data(args.data)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    judge = load_judge(args.judge, args.data, len(names), device) if names else None
    generator, discriminator = (network(rng=rng, device=device) for network in NETWORKS[args.arch])
    model = mg.nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    adam = lambda name: mg.optim.Adam(model[name].parameters(), lr=RATE, betas=BETAS)
    optimizer = {name: training.distribute(adam(name), world, args) for name in model}
    g_adam, d_adam = optimizer["generator"], optimizer["discriminator"]
    loader = DataLoader(train_x, BATCH[args.arch], shuffle=True, rng=rng, world=world)
    noise = lambda n, rng: mg.Tensor(rng.normal((n, generator.latent), device=device))
    fixed_z, test_images = noise(500, mg.Generator(1)), pixels(test_x[:500], args.arch, device)
    for network, example in ((generator, fixed_z), (discriminator, test_images)):
        print(mg.nn.summary(network, example[:1]))

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    state |= {"settings": {name: {} for name in model}}  # the defaults
    with Run(args, **state, contents=[train_x], free=["judge", "epochs"]) as run:
        for _ in run.epochs():
            for x in run.batches():
                random, shape = draw_of_batch(rng, (len(x), generator.latent))  # of this process
                z = mg.Tensor(random.normal(shape, device=device))
                real, fake = pixels(x, args.arch, device), generator(z)
                loss = models.non_saturating.critic(discriminator, real, fake, SMOOTHING)
                d_adam.step(mg.grad(loss, d_adam.params))
                run.record(discriminator=loss)
                # loss.backward() would also compute gradients of the discriminator's weights.
                loss = models.non_saturating.generator(discriminator, fake)
                g_adam.step(mg.grad(loss, g_adam.params))
                run.record(generator=loss)
            images = sample(generator, fixed_z)
            fake = pixels(255 * images, args.arch, device)
            run.end_epoch(**accuracy(discriminator, test_images, fake))
            if run.leads:
                figures.image_sheet(run.path("samples.png"), images[:100], 10)
    if judge is not None and run.leads:
        samples = sample(generator, noise(SAMPLES, mg.Generator(2)))
        report_samples(judge, samples, train_x, test_x, names, device)
    return run


def draw(run):
    """Draw samples, walks between two of them, and the curves."""
    generator = run.model["generator"]
    z = mg.Tensor(run.generator(1).normal((500, generator.latent), device=run.device))
    figures.image_sheet(run.path("samples.png"), sample(generator, z)[:100], 10)
    figures.image_sheet(run.path("walks.png"), sample(generator, walks(z[:20])), 10)
    losses = {name: run.series(name) for name in ("generator", "discriminator")}
    right = {f"{name} images": run.series(name) for name in ("real", "fake")}
    figures.curves(run.path("curves.png"), [losses, right], ylabels=["nats", "right, %"])
    print(f"figures, metrics and checkpoint: {run.out}")


def pixels(images, arch, device):
    """uint8 (N, 28, 28) as a tensor in [-1, 1], the range of tanh: (N, *SHAPES[arch])."""
    return mg.tensor(images.reshape(-1, *SHAPES[arch])).to(device) / 127.5 - 1


def sample(generator, z):
    """Images (N, 28, 28) in [0, 1] for z (N, latent), with batch norm's running statistics."""
    with mg.nn.evaluation(generator):
        x = predict(generator, z)
    return x.reshape(-1, 28, 28) / 2 + 0.5


def walks(z, steps=10):
    """Paths from z[: N / 2] to z[N / 2 :], (N / 2 * steps, latent); cos and sin keep the norm."""
    start, end = z[: len(z) // 2], z[len(z) // 2 :]
    angles = np.linspace(0, math.pi / 2, steps).tolist()
    walk = [start * math.cos(t) + end * math.sin(t) for t in angles]
    return mg.stack(walk, axis=1).reshape(-1, z.shape[1])  # from (N / 2, steps, latent)


@mg.no_grad()
def accuracy(discriminator, real, fake):
    """The discriminator's accuracy on real and on fake images, in per cent."""
    right = {"real": discriminator(real).data > 0, "fake": discriminator(fake).data < 0}
    return {name: 100 * float(hits.mean()) for name, hits in right.items()}


def flags():
    parser = argument_parser(__doc__, out="runs/gan", epochs="100 for dense, 20 for dc")
    parser.add_argument("--arch", choices=list(SHAPES), default="dense", help="networks")
    parser.add_argument("--judge", type=Path, default=JUDGE, help="checkpoint of cnn.py, or none")
    args = parser.parse_args()
    args.epochs = args.epochs or EPOCHS[args.arch]
    return args


if __name__ == "__main__":
    training.run_example(main)
