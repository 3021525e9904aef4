"""A user's script: `mypy --strict` and `pyright` pass on it, and find these types."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np

import minigen as mg
import minigen.nn.functional as F
from minigen import data, nn, optim


class Net(nn.Module):
    """A residual network on rows of numbers."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Linear(2, width)
        self.body = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.1))
        self.last = nn.Linear(width, 3)
        self.scale = nn.Parameter(mg.ones(3))

    def forward(self, x: mg.Tensor, training: bool = True) -> mg.Tensor:
        h = F.relu(self.first(x))
        return self.last(h + self.body(h)) * self.scale


def accuracy(logits: mg.Tensor, labels: mg.Tensor) -> float:
    return (logits.argmax(1) == labels).astype(mg.float32).mean().item()


@mg.no_grad()
def evaluated(model: Net, x: mg.Tensor, labels: mg.Tensor) -> float:
    model.eval()
    return accuracy(model(x), labels)


def main(folder: Path) -> float:
    rng = np.random.default_rng(0)
    points: np.ndarray[Any, Any] = rng.normal(size=(60, 2)).astype(np.float32)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.99))
    rows = (points, (points[:, 0] > 0).astype(np.int64))
    for batch, targets in data.DataLoader(rows, batch_size=20, rng=mg.Generator(1)):
        x, labels = mg.tensor(batch), mg.tensor(targets)
        loss = mg.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
    x = mg.tensor(points, requires_grad=True)
    assert_type(x + 1, mg.Tensor)
    assert_type(2 * x.exp() - x / 3, mg.Tensor)
    assert_type(x.shape, tuple[int, ...])
    assert_type(mg.sum(x, axis=0), mg.Tensor)
    assert_type(x.mean(dim=1, keepdim=True), mg.Tensor)
    assert_type(model(x), mg.Tensor)
    assert_type(x > 0, mg.Tensor)
    assert_type(x[0], mg.Tensor)
    assert_type(mg.grad(model(x).sum(), x), mg.Tensor)
    mg.save(folder / "model.safetensors", model.state_dict())
    model.load_state_dict(mg.load(folder / "model.safetensors"))
    return evaluated(model, x.detach(), mg.tensor(rows[1]))
