"""The U-Net of examples/diffusion.py beside the same net in PyTorch, with the same weights.

    python benchmarks/diffusion.py [--widths 48 96] [--patch 2] [--turns 9]

Prints the time of a training step (batch 64, Adam) and of 100 samples (8 steps of Heun, with
guidance), and the losses of both after as many steps on the same images, times and noise. The two
take turns; a ratio is the median of those of turns, and below 1 minigen is faster. Two threads
each, float32. It needs `pip install torch==2.13.0`.
"""

import argparse
import itertools
import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import minigen as mg
from minigen import data, models
from minigen.models.diffusion import flow
from minigen.models.unet import GROUP, waves

BATCH, RATE, GUIDANCE = 64, 1e-3, 1.5


class Residual(nn.Module):
    def __init__(self, before, after, embed):
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(w // GROUP, w) for w in (before, after))
        self.conv1, self.conv2 = (nn.Conv2d(w, after, 3, padding=1) for w in (before, after))
        self.dense = nn.Linear(embed, after)
        self.skip = nn.Conv2d(before, after, 1) if before != after else None

    def forward(self, x, e):
        h = self.conv1(F.silu(self.norm1(x))) + self.dense(e)[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.skip is None else self.skip(x))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.norm = heads, nn.GroupNorm(width // GROUP, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        B, width, H, W = x.shape
        rows = self.norm(x).reshape(B, width, H * W).transpose(1, 2)
        parts = self.qkv(rows).reshape(B, H * W, 3, self.heads, width // self.heads)
        y = F.scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4))
        y = self.out(y.transpose(1, 2).reshape(B, H * W, width))
        return x + y.transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    """`minigen.models.UNet`, with its names of parameters."""

    def __init__(self, channels, widths, classes, patch, heads=4, embed=128):
        super().__init__()
        self.patch, self.classes, last = patch, classes, widths[-1]
        pairs = list(itertools.pairwise(widths))
        self.time = nn.ModuleList([nn.Linear(embed, embed), nn.Linear(embed, embed)])
        self.label = nn.Embedding(classes + 1, embed)
        self.entry = nn.Conv2d(channels * patch**2, widths[0], 3, 1, 1)
        self.down = nn.ModuleList([Residual(w, w, embed) for w in widths[:-1]])
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in pairs])
        self.middle = nn.ModuleList([Residual(last, last, embed) for _ in range(2)])
        self.attention = Attention(last, heads)
        self.grow = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in reversed(pairs)])
        self.up = nn.ModuleList([Residual(2 * a, a, embed) for a, _ in reversed(pairs)])
        self.norm = nn.GroupNorm(widths[0] // GROUP, widths[0])
        self.exit = nn.Conv2d(widths[0], channels * patch**2, 3, 1, 1)

    def forward(self, x, time, label):
        first, second = self.time
        e = second(F.silu(first(torch.from_numpy(waves(time, first.in_features, np.float32)))))
        e = F.silu(e + self.label(label))
        h, skips = self.entry(F.pixel_unshuffle(x, self.patch)), []
        for block, shrink in zip(self.down, self.shrink):
            skips.append(block(h, e))
            h = shrink(skips[-1])
        before, after = self.middle
        h = after(self.attention(before(h, e)), e)
        for block, grow in zip(self.up, self.grow):
            h = block(torch.cat([F.interpolate(grow(h), scale_factor=2.0), skips.pop()], 1), e)
        return F.pixel_shuffle(self.exit(F.silu(self.norm(h))), self.patch)


class Pair:
    """Both nets, with equal weights, and a training step and a sample of each."""

    def __init__(self, widths, patch):
        rng = self.rng = mg.Generator(0)
        self.ours = models.UNet(1, widths, 10, patch, rng=rng)
        self.theirs = UNet(1, widths, 10, patch)
        arrays = self.ours.state_dict().items()
        state = {name: torch.from_numpy(p.data.copy()) for name, p in arrays}
        self.theirs.load_state_dict(state)
        self.adam = mg.optim.Adam(self.ours.parameters(), lr=RATE)
        self.torch_adam = torch.optim.Adam(self.theirs.parameters(), lr=RATE, fused=True)
        images, self.labels = data.glyphs(2_000, 0)
        self.images = (images[:, None] / 127.5 - 1).astype(np.float32)
        self.labels %= 10

    def batch(self):
        """A point between noise and images, times, labels, and the velocity there."""
        i, noise = self.rng.integers(0, 2_000, BATCH), self.rng.normal((BATCH, 1, 28, 28))
        x, t = self.images[i], self.rng.uniform(BATCH)
        weight = t[:, None, None, None]
        return (1 - weight) * noise + weight * x, t, self.labels[i], x - noise

    def our_step(self, x, t, label, velocity):
        loss = mg.square(self.ours(mg.Tensor(x), t, label) - velocity).mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return loss.item()

    def their_step(self, x, t, label, velocity):
        found = self.theirs(torch.from_numpy(x), t, torch.from_numpy(label))
        loss = (found - torch.from_numpy(velocity)).square().mean()
        self.torch_adam.zero_grad()
        loss.backward()
        self.torch_adam.step()
        return loss.item()

    def samples(self, net, n=100):
        """100 images of ten classes, each by 16 calls of net on 200 images."""
        label = np.concatenate([np.arange(n) % 10, np.full(n, 10)])

        def velocity(x, t):
            v = net(np.concatenate([x, x]), np.full(2 * n, t), label)
            return v[n:] + GUIDANCE * (v[:n] - v[n:])

        return flow(velocity, mg.Generator(1).normal((n, 1, 28, 28)), 8)[-1]

    def our_samples(self):
        with mg.no_grad():
            return self.samples(lambda x, t, label: self.ours(mg.Tensor(x), t, label).data)

    def their_samples(self):
        asarray = torch.from_numpy
        with torch.no_grad():
            net = lambda x, t, label: self.theirs(asarray(x), t, asarray(label)).numpy()
            return self.samples(net)


def timed(f, *args):
    start = time.perf_counter()
    result = f(*args)
    return result, time.perf_counter() - start


def compared(title, turns, ours, theirs, args):
    """Print the least times and the median ratio; returns what the last turn gave."""
    times = []
    for i in range(turns):
        both, results = {}, {}
        given = args()
        for name, f in [("ours", ours), ("theirs", theirs)][:: 1 if i % 2 else -1]:
            results[name], both[name] = timed(f, *given)
        times.append(both)
    least = {name: 1e3 * min(t[name] for t in times) for name in ("ours", "theirs")}
    ratio = statistics.median(t["ours"] / t["theirs"] for t in times)
    print(f"| {title} | {least['ours']:.0f} | {least['theirs']:.0f} | {ratio:.2f} |", flush=True)
    return results["ours"], results["theirs"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[48, 96])
    parser.add_argument("--patch", type=int, default=2)
    parser.add_argument("--turns", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(2)
    pair = Pair(args.widths, args.patch)
    size = sum(p.size for p in pair.ours.parameters())
    print(f"widths {args.widths}, patch {args.patch}, {size:,} weights\n")
    print("| | minigen ms | PyTorch ms | ratio |\n|---|---|---|---|")
    steps = pair.our_step, pair.their_step
    compared("first two steps", 2, *steps, pair.batch)
    losses = compared("training step", args.turns, *steps, pair.batch)
    drawn = compared("100 samples", 3, pair.our_samples, pair.their_samples, tuple)
    print(f"\nloss of step {args.turns + 2}: {losses[0]:.6f}, in PyTorch {losses[1]:.6f}")
    print(f"largest difference of a sample's pixel: {np.abs(drawn[0] - drawn[1]).max():.1e}")


if __name__ == "__main__":
    main()
