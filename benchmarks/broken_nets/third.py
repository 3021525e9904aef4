"""Two views of one signal: a net learns from both what the signal was."""

import minigen as mg
from minigen import nn


class View(nn.Module):
    def __init__(self, width, rng):
        super().__init__()
        self.first = nn.Linear(width, 32, rng=rng)
        self.norm = nn.LayerNorm(32)
        self.second = nn.Linear(32, 16, rng=rng)

    def forward(self, x):
        return mg.tanh(self.second(mg.relu(self.norm(self.first(x)))))


class TwoViews(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.coarse, self.fine = View(8, rng), View(24, rng)
        self.head = nn.Linear(32, 4, rng=rng)

    def forward(self, coarse, fine):
        a = self.coarse(coarse)
        b = self.fine(fine)
        scale = mg.tensor(b.numpy()) if not a.requires_grad else b.detach() / (1 + abs(a.detach()))
        joined = mg.concatenate([a, scale], axis=1)
        return self.head(joined)


rng = mg.Generator(8)
model = TwoViews(rng)
optimizer = mg.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(30):
    signal = rng.normal((48, 4))
    coarse = mg.tensor(signal.repeat(2, axis=1) + 0.5 * rng.normal((48, 8)))
    fine = mg.tensor(signal.repeat(6, axis=1) + 0.1 * rng.normal((48, 24)))
    loss = mg.mse_loss(model(coarse, fine), mg.tensor(signal))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
