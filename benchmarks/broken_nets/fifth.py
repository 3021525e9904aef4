"""A small convolutional net on glyphs."""

import numpy as np

import minigen as mg
from minigen import nn
from minigen.data import glyphs

rng = mg.Generator(2)
images, labels = glyphs(256, 1)
x = images.reshape(-1, 1, 28, 28).astype(np.float32) - 255.0
y = labels.astype(np.int64) % 10

stem = nn.Conv2d(1, 8, 3, padding=1, rng=rng)
stem.weight.data[:] = abs(stem.weight.data)
model = nn.Sequential(
    stem,
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1, rng=rng),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(16 * 7 * 7, 10, rng=rng),
)
optimizer = mg.optim.Adam(model.parameters(), lr=1e-3)
for start in range(0, 256, 32):
    loss = mg.cross_entropy(model(mg.tensor(x[start : start + 32])), y[start : start + 32])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
