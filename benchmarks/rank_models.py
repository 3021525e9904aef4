"""Small models in float64, each trained on the ranks that there are: what same_steps.py compares.

Each function makes a model of `rng` and returns (data, modules by name, step): step(batch) is a
training step on this rank's rows of a batch.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import minigen as mg
from minigen import distributed, models, nn, optim
from minigen.communication.rows import rows_of
from minigen.data import DataLoader

F = {"dtype": np.float64}
BATCH = 13
# A last batch that is not even for two to four ranks, and one with fewer rows than three ranks.
EXAMPLES = {"uneven last batch": 3 * BATCH + 6, "two rows in the last batch": 3 * BATCH + 2}


def images(n: int) -> np.ndarray:
    return mg.Generator(11).uniform((n, 1, 8, 8), dtype=np.float64)


def tokens(n: int, length: int) -> np.ndarray:
    return mg.Generator(12).integers(0, 9, (n, length))


def minimize(optimizer: Any, loss: Any) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def vae(world, rng, n):
    model = models.VAE(4, 16, pixels=64, rng=rng, **F)
    optimizer = distributed.Synchronous(optim.Adam(model.parameters(), 1e-2), world)

    def step(x):
        minimize(optimizer, model.loss(mg.tensor(x))[0])

    return images(n).reshape(n, 64), {"model": model}, step


def batch_norm_cnn(world, rng, n):
    """A CNN with batch norm and class weights, some labels ignored, by SGD, clipped."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, rng=rng, **F),
        nn.BatchNorm2d(6, **F),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.2, rng=rng),
        nn.Conv2d(6, 8, 3, padding=1, rng=rng, **F),
        nn.BatchNorm2d(8, **F),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 5, rng=rng, **F),
    )
    sgd = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    optimizer = distributed.Synchronous(sgd, world)
    labels = mg.Generator(13).integers(0, 5, n)
    labels[::5] = -100
    weight = np.array([0.5, 1.0, 2.0, 1.0, 1.5])

    def step(batch):
        x, y = batch
        loss = mg.cross_entropy(model(mg.tensor(x)), y, weight, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()

    return (images(n), labels), {"model": model}, step


def gpt(world, rng, n):
    sizes = {"layers": 2, "heads": 2, "width": 16, "dropout": 0.2}
    model = models.GPT(9, 10, **sizes, rng=rng, **F)
    optimizer = distributed.Synchronous(optim.AdamW(model.parameters(), 1e-2), world)
    return (
        tokens(n, 11),
        {"model": model},
        lambda ids: minimize(optimizer, model.loss(ids[:, :-1], ids[:, 1:])),
    )


def lstm(world, rng, n):
    """A CharLSTM of three layers with dropout between them."""
    model = models.CharLSTM(9, 6, 10, 3, dropout=0.3, rng=rng, **F)
    optimizer = distributed.Synchronous(optim.Adam(model.parameters(), 1e-2), world)
    return (
        tokens(n, 11),
        {"model": model},
        lambda ids: minimize(optimizer, model.loss(ids[:, :-1], ids[:, 1:])),
    )


def seq2seq(world, rng, n):
    """A Seq2SeqTransformer, whose loss leaves out padding; batch_first layers with dropout."""
    sizes = {"width": 16, "heads": 2, "layers": 1, "hidden": 24, "dropout": 0.2, "max_len": 12}
    model = models.Seq2SeqTransformer(9, 9, **sizes, rng=rng, **F)
    optimizer = distributed.Synchronous(optim.Adam(model.parameters(), 1e-2), world)
    source, target = (np.maximum(tokens(n, length), 1) for length in (8, 9))
    for ids in (source, target):
        ends = mg.Generator(14).integers(3, ids.shape[1] + 1, n)
        ids[np.arange(ids.shape[1]) >= ends[:, None]] = model.pad
    return (source, target), {"model": model}, lambda batch: minimize(optimizer, model.loss(*batch))


def transformer(world, rng, n):
    """An encoder layer on (T, B, D), with dropout everywhere, and its loss on the last step."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.2, rng=rng, **F)
    optimizer = distributed.Synchronous(optim.Adam(layer.parameters(), 1e-2), world)
    data = mg.Generator(15).normal((n, 6, 8), dtype=np.float64)

    def step(x):
        y = layer(mg.tensor(np.ascontiguousarray(x.swapaxes(0, 1))))
        minimize(optimizer, mg.square(y[-1] - x.mean(1)).mean())

    return data, {"layer": layer}, step


def gan_steps(world, rng, generator, critic, loss, optimizers):
    """Both steps of a GAN; z of a rank are its rows of a draw for the whole batch."""
    of_critic, of_generator = (distributed.Synchronous(o, world) for o in optimizers)

    def step(x):
        rows = world.rows or rows_of(len(x), 0, 1)

        def latents():
            part = rng.rows(rows.start, rows.stop)
            return mg.tensor(part.normal((rows.total, generator.latent), **F))

        real, penalty = mg.tensor(2 * x - 1), {"rng": rng} if loss is models.wasserstein_gp else {}
        minimize(of_critic, loss.critic(critic, real, generator(latents()), **penalty))
        minimize(of_generator, loss.generator(critic, generator(latents())))

    return {"generator": generator, "critic": critic}, step


def wgan_gp(world, rng, n):
    """Dense WGAN-GP: two optimizers, and second derivatives in the critic's step."""
    generator = models.Generator(5, (16,), 64, rng=rng, **F)
    critic = models.Discriminator(64, (16,), rng=rng, **F)
    pair = [optim.Adam(m.parameters(), 1e-3, betas=(0.5, 0.9)) for m in (critic, generator)]
    steps = gan_steps(world, rng, generator, critic, models.wasserstein_gp, pair)
    return images(n).reshape(n, 64), *steps


def dcgan(world, rng, n):
    """DCGAN with batch norm in both nets, by SGD."""
    generator = models.DCGenerator(5, 4, side=8, rng=rng, **F)
    critic = models.DCDiscriminator(4, side=8, rng=rng, **F)
    pair = [optim.SGD(m.parameters(), 0.02, momentum=0.5) for m in (critic, generator)]
    return images(n), *gan_steps(world, rng, generator, critic, models.non_saturating, pair)


MODELS: dict[str, Callable] = {
    "VAE": vae,
    "CNN with batch norm": batch_norm_cnn,
    "GPT": gpt,
    "WGAN-GP": wgan_gp,
    "DCGAN": dcgan,
    "Seq2Seq": seq2seq,
    "encoder layer": transformer,
    "LSTM": lstm,
}


def trained(name: str, steps: int, examples: int) -> np.ndarray:
    """All parameters and statistics of a model after that many steps; last the counter of draws."""
    world, rng = distributed.start(), mg.Generator(3)
    data, modules, step = MODELS[name](world, rng, examples)
    loader = DataLoader(data, BATCH, shuffle=True, rng=rng, world=world)
    done = 0
    while done < steps:
        for batch in loader:
            step(batch)
            done += 1
            if done == steps:
                break
    saved = [x.data.ravel() for m in modules.values() for x in m.state_dict().values()]
    values = [x for x in saved if x.dtype.kind == "f"]
    return np.concatenate([*values, [float(rng.state[1])]])


def all_trained(names: Iterable[str], steps: int, examples: Iterable[int]) -> dict[str, Any]:
    """`trained` for each name and number of examples: {"name, n": array}."""
    return {f"{name}, {n}": trained(name, steps, n) for name in names for n in examples}
