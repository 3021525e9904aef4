"""A classifier of points whose two experts are mixed by a gate."""

import minigen as mg
from minigen import nn


class Gate(nn.Module):
    """How much each expert is asked, and how undecided the gate is."""

    def __init__(self, width, experts, rng):
        super().__init__()
        self.score = nn.Linear(width, experts, rng=rng)

    def forward(self, x):
        score = self.score(x)
        best = score.max(axis=-1, keepdims=True)
        kept = mg.where(score < best - 1.0, 0.0, mg.exp(score - best))
        share = kept / kept.sum(axis=-1, keepdims=True)
        undecided = -(share * mg.log(share)).sum(axis=-1)
        return share, undecided.mean()


class Mixture(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(2, 24, rng=rng), nn.Tanh(), nn.Linear(24, 24, rng=rng))
        self.gate = Gate(24, 4, rng)
        self.experts = nn.ModuleList(nn.Linear(24, 3, rng=rng) for _ in range(4))

    def forward(self, x):
        h = mg.tanh(self.embed(x))
        share, undecided = self.gate(h)
        answers = mg.stack([expert(h) for expert in self.experts], axis=1)
        return (answers * share.reshape(*share.shape, 1)).sum(axis=1), undecided


rng = mg.Generator(3)
model = Mixture(rng)
optimizer = mg.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(20):
    x = rng.normal((64, 2)) * 2
    y = (x[:, 0] > 0).astype("int64") + (x[:, 1] > 0).astype("int64")
    logits, undecided = model(mg.tensor(x))
    loss = mg.cross_entropy(logits, y) - 0.01 * undecided
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
