"""Prototypes: a point belongs to the class whose prototype is nearest."""

import minigen as mg
from minigen import nn


class Prototypes(nn.Module):
    """Minus the distance of each point to each prototype: (B, K)."""

    def __init__(self, classes, width, rng):
        super().__init__()
        self.points = nn.Parameter(rng.normal((classes, width)))

    def forward(self, x):
        gap = x.reshape(len(x), 1, -1) - self.points
        return -mg.sqrt((gap * gap).sum(axis=-1))


class Spread(nn.Module):
    """How far the prototypes are from each other, in the mean."""

    def forward(self, points):
        gap = points.reshape(len(points), 1, -1) - points
        return mg.sqrt((gap * gap).sum(axis=-1)).mean()


class Net(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 20, rng=rng), nn.GELU(), nn.Linear(20, 6, rng=rng))
        self.prototypes = Prototypes(4, 6, rng)
        self.spread = Spread()

    def forward(self, x):
        return self.prototypes(self.body(x)), self.spread(self.prototypes.points)


rng = mg.Generator(11)
model = Net(rng)
optimizer = mg.optim.SGD(model.parameters(), lr=0.05)
for _ in range(10):
    x = rng.normal((40, 5))
    y = (x[:, 0] > 0).astype("int64") + 2 * (x[:, 1] > 0).astype("int64")
    logits, spread = model(mg.tensor(x))
    loss = mg.cross_entropy(logits, y) - 0.05 * spread
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
