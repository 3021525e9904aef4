"""An autoencoder of glyphs with a classifier on its code."""

import numpy as np

import minigen as mg
from minigen import nn
from minigen.data import glyphs


class Autoencoder(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(784, 64, rng=rng), nn.SiLU(), nn.Linear(64, 12, rng=rng)
        )
        self.decoder = nn.Sequential(
            nn.Linear(12, 64, rng=rng), nn.SiLU(), nn.Linear(64, 784, rng=rng)
        )
        self.classifier = nn.Linear(12, 10, rng=rng)

    def code(self, x):
        with mg.no_grad():
            scale = x.std(axis=1, keepdims=True) + 1e-3
            h = self.encoder(x / scale)
        return h

    def loss(self, x, y):
        h = self.code(x)
        drawn = mg.binary_cross_entropy_with_logits(self.decoder(h), x)
        return drawn + 0.1 * mg.cross_entropy(self.classifier(h), y)


rng = mg.Generator(4)
images, labels = glyphs(256, 2)
x = images.reshape(256, 784).astype(np.float32) / 255
y = labels.astype(np.int64) % 10
model = Autoencoder(rng)
optimizer = mg.optim.Adam(model.parameters(), lr=2e-3)
for start in range(0, 256, 32):
    loss = model.loss(mg.tensor(x[start : start + 32]), y[start : start + 32])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
