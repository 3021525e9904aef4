"""A dense classifier of glyphs, ten classes at a time."""

import numpy as np

import minigen as mg
from minigen import nn
from minigen.data import glyphs

rng = mg.Generator(5)
images, labels = glyphs(512, 0)
x = images.reshape(len(images), -1).astype(np.float32) / 255
y = labels.astype(np.int64) % 10

layers = []
for width_in, width_out in [(784, 96), (96, 64), (64, 64), (64, 48), (48, 10)]:
    layers += [nn.Linear(width_in, width_out, rng=rng), nn.ReLU()]
model = nn.Sequential(*layers[:-1])
for path, p in model.named_parameters():
    if path.endswith("bias"):
        p.data[:] = -0.02 if p.shape != (48,) else -6.0
optimizer = mg.optim.SGD(model.parameters(), lr=0.05)
for start in range(0, 512, 64):
    logits = model(mg.tensor(x[start : start + 64]))
    loss = mg.cross_entropy(logits, y[start : start + 64])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
