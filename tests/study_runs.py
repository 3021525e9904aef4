"""Recordings whose pages are opened in a browser."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

import minigen as mg
from minigen import nn, study
from minigen.models import VAE

HOSTILE = "</script><img src=x onerror='harm = 1'>\"&amp;"


def small_net():
    rng = mg.Generator(0)
    net = nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Tanh(), nn.Linear(3, 1, rng=rng))
    x = mg.tensor(np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2))
    with study.record() as run:
        mg.mse_loss(net(x), mg.tensor(np.ones((4, 1), np.float32))).backward()
    return run


def vae():
    rng = mg.Generator(0)
    model = VAE(latent=4, hidden=32, rng=rng)
    x = mg.tensor(rng.uniform((16, 784)))
    with study.record() as run:
        model.loss(x, np.zeros(16, np.int64))[0].backward()
    return run


def long():
    """2,000 steps, of a layer that is called again and again."""
    layer = nn.Linear(4, 4, rng=mg.Generator(0))
    x = mg.tensor(np.ones((2, 4), np.float32))
    with study.record() as run:
        for _ in range(500):
            x = mg.tanh(layer(x))
        mg.sum(x).backward()
    return run


class Broken(nn.Module):
    """NaN, infinities, and markup in names and in the source."""

    def __init__(self):
        self.parts = nn.ModuleDict({HOSTILE: nn.Linear(2, 2, rng=mg.Generator(0))})

    def forward(self, x):
        return mg.log(x) * 0 + self.parts[HOSTILE](x)  # </script><b>"bold"</b> & 'more' <!--


def broken():
    x = mg.tensor(np.array([[0.0, 1.0]], np.float32), requires_grad=True)
    with study.record() as run, np.errstate(all="ignore"):
        mg.sum(Broken()(x)).backward()
    return run


class Cut(nn.Module):
    """A detached layer, and one whose units are dead."""

    def __init__(self):
        rng = mg.Generator(0)
        self.before, self.dead = nn.Linear(2, 2, rng=rng), nn.Linear(2, 2, rng=rng)
        self.dead.bias.data[:] = -100
        self.last = nn.Linear(2, 1, rng=rng)

    def forward(self, x):
        h = self.before(x)
        return self.last(mg.relu(self.dead(mg.tanh(h.detach()))))


def cut():
    with study.record() as run:
        mg.mean(Cut()(mg.tensor(np.ones((3, 2), np.float32)))).backward()
    return run


def branches():
    """Two modules whose backward steps take turns."""
    rng = mg.Generator(0)
    parts = [[nn.Linear(2, 2, rng=rng), nn.Tanh(), nn.Linear(2, 2, rng=rng)] for _ in range(2)]
    net = nn.ModuleDict({"left": nn.Sequential(*parts[0]), "right": nn.Sequential(*parts[1])})
    x = mg.tensor(np.ones((3, 2), np.float32))
    with study.record(names=net) as run:
        (mg.mean(net["left"](x)) - mg.mean(net["right"](x)) ** 2).backward()
    return run


@cache
def _folder():
    return tempfile.TemporaryDirectory(prefix="minigen-pages-")


@cache
def saved(make):
    """The recording that the function make makes, and the path of its page."""
    run, path = make(), Path(_folder().name, f"{make.__name__}.html")
    run.page(path)
    return run, path
