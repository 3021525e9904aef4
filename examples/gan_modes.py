"""Mode collapse: learn a grid of 25 Gaussians by the plain GAN and by WGAN-GP.

Two pairs of equal dense networks are trained: the plain GAN (Goodfellow et al. 2014) with the
non-saturating loss, and WGAN-GP (Gulrajani et al. 2017), whose critic needs second derivatives.
The modes have a spacing of 2 and a standard deviation of 0.05. A sample belongs to the nearest
mode and is good within three standard deviations of it, as 98.9 % of the data are; a mode is
found if at least 20 good samples of 10,000 belong to it.

Expect WGAN-GP to find all 25 modes with 89 to 92 % of its samples good, at least 280 of 10,000 in
each mode, and the plain GAN to find 12 to 19 modes, in about four minutes on two busy cores
(3,000 steps of the generators; an epoch is 500). Tricks: data scaled to a standard deviation of
1, a penalty weight of 0.1 (10 in the paper), a high learning rate, 4e-3, on a cosine to 0; no
averaging of weights, no packing. --out gets samples.png, curves.png, metrics.jsonl, a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import distributed, figures, nn, schedule, training
from minigen.models import MLP, non_saturating, wasserstein_gp
from minigen.training import Run, argument_parser, positive_int

MODES = np.array([(2 * i, 2 * j) for i in range(-2, 3) for j in range(-2, 3)], np.float32)
STD, SCALE = 0.05, 8**0.5  # standard deviation of a mode; of all the data, on each axis
SAMPLES, ENOUGH = 10_000, 20  # samples to judge; good samples that a mode needs to be found
LATENT, BATCH, RATE, PENALTY = 2, 256, 4e-3, 0.1
METHODS = {  # title, loss, critic steps per generator step, as in each paper
    "plain": ("plain GAN", non_saturating, 1),
    "wgan": ("WGAN-GP", wasserstein_gp, 5),
}


def main():
    args = flags()
    run = training.saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    hidden = [args.width] * 3  # sizes of layers, with relu between
    settings = {"generator": {"sizes": [LATENT, *hidden, 2]}, "critic": {"sizes": [2, *hidden, 1]}}
    world = distributed.start()  # this process alone, or all that mpiexec has started
    make_pair = lambda loss, steps: Pair(loss, steps, settings, rng, device)
    pairs, optimizers = {name: make_pair(*rest) for name, (_, *rest) in METHODS.items()}, {}
    for name, pair in pairs.items():
        pair.optimizers = {k: training.distribute(adam, world, args) for k, adam in pair.adams()}
        optimizers |= {f"{name}_{k}": each for k, each in pair.optimizers.items()}
    factor = schedule.cosine(args.epochs * args.steps)

    state = {"model": nn.ModuleDict(pairs), "optimizer": optimizers, "rng": rng}
    with Run(args, **state, settings=dict.fromkeys(pairs, settings)) as run:
        for _ in run.epochs():
            for _ in run.steps(args.steps):
                rows = world.split(BATCH)  # of this process: all, or its part
                for name, pair in pairs.items():
                    run.record(**{f"{name}_loss": pair.train_step(rng, rows, factor(run.step))})
            scores = {}
            for name, pair in pairs.items():
                points = samples(pair["generator"], mg.Generator(1), device)
                scores |= {f"{name}_{score}": value for score, value in judge(points).items()}
            run.end_epoch(**scores)
    return run


def real(n, rng, device):
    """n points of the data, (n, 2), scaled to a standard deviation of 1."""
    points = MODES[rng.integers(0, len(MODES), n)] + rng.normal((n, 2), std=STD)
    return mg.tensor(points / SCALE, device=device)


class Pair(nn.ModuleDict):
    """A generator and its critic, their loss and, once they are made, their optimizers."""

    def __init__(self, loss, critic_steps, settings, rng, device):
        self.loss, self.critic_steps, self.device = loss, critic_steps, device
        super().__init__({k: MLP(**settings[k], rng=rng, device=device) for k in settings})

    def adams(self):
        """An optimizer for each of the two."""
        for name, net in self.named_children():
            yield name, mg.optim.Adam(net.parameters(), lr=RATE, betas=(0.5, 0.9))

    def train_step(self, rng, rows, factor):
        """The steps of the critic, then one of the generator; returns the critic's last loss."""
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = RATE * factor
        penalty = {"weight": PENALTY, "rng": rng} if self.loss is wasserstein_gp else {}
        rng = rng.rows(rows.start, rows.stop)
        for _ in range(self.critic_steps):
            with mg.no_grad():
                fake = generate(self["generator"], BATCH, rng, self.device)
            loss = self.loss.critic(self["critic"], real(BATCH, rng, self.device), fake, **penalty)
            self.optimizers["critic"].step(mg.grad(loss, self["critic"].parameters()))
        fake = generate(self["generator"], BATCH, rng, self.device)
        generator_loss = self.loss.generator(self["critic"], fake)
        self.optimizers["generator"].step(mg.grad(generator_loss, self["generator"].parameters()))
        return loss


def generate(generator, n, rng, device):
    """n generated points, (n, 2)."""
    return generator(mg.Tensor(rng.normal((n, LATENT), device=device)))


@mg.no_grad()
def samples(generator, rng, device):
    """Generated points (SAMPLES, 2), unscaled."""
    return SCALE * generate(generator, SAMPLES, rng, device).numpy()


def judge(points):
    """Modes found, good points of the mode that has fewest, per cent of points that are good."""
    distance = np.linalg.norm(points[:, None] - MODES, axis=2)  # (N, 25)
    good = distance.min(1) < 3 * STD
    counts = np.bincount(distance.argmin(1)[good], minlength=len(MODES))
    found = (counts >= ENOUGH).sum()
    return {"modes": found, "least": counts.min(), "good": 100 * good.mean()}


def draw(run):
    """Draw the data beside the samples, and the curves."""
    clouds, titled = {"data": SCALE * real(SAMPLES, run.generator(1), "cpu").numpy()}, {}
    for name, (title, *_) in METHODS.items():
        clouds[title] = samples(run.model[name]["generator"], run.generator(1), run.device)
    for title, points in clouds.items():
        scores = judge(points)
        titled[f"{title}: {scores['modes']} modes, {scores['good']:.1f} % good"] = points
    figures.point_clouds(run.path("samples.png"), titled, MODES, 3 * STD)
    series = lambda score: {METHODS[k][0]: run.series(f"{k}_{score}") for k in METHODS}
    panels = [series(score) for score in ("good", "modes")]
    figures.curves(run.path("curves.png"), panels, ylabels=["good samples, %", "modes found"])
    print(f"figures, metrics and checkpoint: {run.out}")


def flags():
    parser = argument_parser(
        __doc__, out="runs/gan_modes", epochs=6, data="grid", data_help="grid, which is generated"
    )
    parser.add_argument("--width", type=positive_int, default=128, help="of hidden layers")
    parser.add_argument("--steps", type=positive_int, default=500, help="in an epoch")
    args = parser.parse_args()
    if args.data != "grid":
        parser.error(f"argument --data: there is only the grid, which is made, not {args.data!r}")
    return args


if __name__ == "__main__":
    training.run_example(main)
