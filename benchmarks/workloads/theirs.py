"""The training steps of `ours` in PyTorch, with the settings that are fastest for PyTorch."""

import warnings
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

WARM_UP = 4  # steps on a GPU before it is timed
Workload = tuple[Callable[[], torch.Tensor], list[tuple[int, ...]]]


def set_threads(count: int) -> None:
    torch.set_num_threads(count)


def adam(parameters, **settings):
    parameters = list(parameters)
    capturable = parameters[0].is_cuda  # a CUDA graph requires it; the fused kernel is the same
    return torch.optim.Adam(parameters, **settings, fused=True, capturable=capturable)


def workload(model: nn.Module, loss: Callable, optimizer: Callable = adam) -> Workload:
    """Forward, zero_grad, backward and the optimizer's step."""
    optimizer = optimizer(model.parameters())

    def step():
        lost = loss()
        optimizer.zero_grad()
        lost.backward()
        optimizer.step()
        return lost

    return step, shapes_of(model)


def shapes_of(*parts: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for part in parts for p in part.parameters()]


class VAE(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, hidden), nn.ReLU())
        self.mean, self.logvar = nn.Linear(hidden, 20), nn.Linear(hidden, 20)
        self.decoder = nn.Sequential(nn.Linear(20, hidden), nn.ReLU(), nn.Linear(hidden, 784))

    def loss(self, x):
        h = self.encoder(x)
        mean, logvar = self.mean(h), self.logvar(h)
        logits = self.decoder(mean + torch.exp(0.5 * logvar) * torch.randn_like(mean))
        total = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1).mean()
        return total / len(x) + kl


def vae(batch: int, hidden: int, device: str = "cpu") -> Workload:
    model, x = VAE(hidden).to(device), torch.rand(batch, 784, device=device)
    return workload(model, lambda: model.loss(x))


def dense(sizes: tuple[int, ...], activation: Callable) -> nn.Sequential:
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def gan(batch: int, device: str = "cpu") -> Workload:
    generator = nn.Sequential(*dense((100, 256, 512, 784), nn.ReLU), nn.Tanh())
    discriminator = dense((784, 512, 256, 1), lambda: nn.LeakyReLU(0.2))
    generator, discriminator = generator.to(device), discriminator.to(device)
    rate = {"lr": 5e-4, "betas": (0.5, 0.999)}
    of_generator = adam(generator.parameters(), **rate)
    of_discriminator = adam(discriminator.parameters(), **rate)
    real = torch.rand(batch, 784, device=device) * 2 - 1

    def descend(lost, part, optimizer):
        """A step of one part with its gradients only, the fastest way in PyTorch."""
        parameters = list(part.parameters())
        for p, g in zip(parameters, torch.autograd.grad(lost, parameters)):
            p.grad = g
        optimizer.step()

    def step():
        fake = generator(torch.randn(batch, 100, device=device))
        logit = discriminator(real)
        lost_on_real = F.softplus(-logit) + 0.1 * logit
        lost = (lost_on_real + F.softplus(discriminator(fake.detach()))).mean()
        descend(lost, discriminator, of_discriminator)
        lost = F.softplus(-discriminator(fake)).mean()
        descend(lost, generator, of_generator)
        return lost

    return step, shapes_of(generator, discriminator)


def cnn(
    batch: int, channels: int, side: int, widths: tuple[int, int], device: str = "cpu"
) -> Workload:
    first, second = widths
    model = nn.Sequential(
        *(nn.Conv2d(channels, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(second * (side // 4) ** 2, 128), nn.ReLU()),
        nn.Linear(128, 10),
    ).to(device)
    x = torch.randn(batch, channels, side, side, device=device)
    label = torch.randint(10, (batch,), device=device)
    return workload(model, lambda: F.cross_entropy(model(x), label))


class LSTMClassifier(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm, self.head = nn.LSTM(28, hidden, batch_first=True), nn.Linear(hidden, 10)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.head(h[-1])


def lstm(batch: int, hidden: int, device: str = "cpu") -> Workload:
    model = LSTMClassifier(hidden).to(device)
    x = torch.randn(batch, 28, 28, device=device)
    label = torch.randint(10, (batch,), device=device)
    return workload(model, lambda: F.cross_entropy(model(x), label))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.out_proj, self.norm2 = nn.Linear(width, width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        B, T, W = x.shape
        qkv = self.qkv(self.norm1(x)).view(B, T, 3, self.heads, W // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out_proj(y.transpose(1, 2).reshape(B, T, W))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, block, layers, heads, width):
        super().__init__()
        self.token, self.position = nn.Embedding(65, width), nn.Embedding(block, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.token(ids) + self.position(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token.weight)


def gpt(
    batch: int, block: int, layers: int, width: int, heads: int = 4, device: str = "cpu"
) -> Workload:
    model = GPT(block, layers, heads, width).to(device)
    ids, targets = torch.randint(65, (2, batch, block), device=device)
    return workload(model, lambda: F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()))


def tanh(batch: int, device: str = "cpu") -> Workload:
    model = nn.Sequential(
        *(nn.Linear(2, 16), nn.Tanh()),
        *(nn.Linear(16, 16), nn.Tanh()),
        nn.Linear(16, 1),
    ).to(device)
    x, y = (torch.randn(batch, n, device=device) for n in (2, 1))
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.01)
    return workload(model, lambda: F.mse_loss(model(x), y), sgd)


# -------------------------------------------------------------------------------- on a GPU


def set_precision(precision: str) -> None:
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision == "high"  # True by default
    torch.backends.cudnn.benchmark = True  # measures which convolution is fastest


def prepared(step: Callable, captured: bool) -> Callable:
    """The step after its first runs; if captured, replayed from one CUDA graph.

    The first runs are on a side stream, as PyTorch's notes on CUDA graphs demand. Memory is counted
    after them, so without that in which convolutions were measured.
    """
    warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
    current, side_stream = torch.cuda.current_stream(), torch.cuda.Stream()
    side_stream.wait_stream(current)
    with torch.cuda.stream(side_stream):
        for _ in range(WARM_UP):
            step()
    current.wait_stream(side_stream)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return Captured(step) if captured else step


class Captured:
    """A step as one CUDA graph. The step is kept: it holds the tensors that the graph works on."""

    def __init__(self, step: Callable):
        self.step, self.graph = step, torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.lost = step()

    def __call__(self) -> torch.Tensor:
        self.graph.replay()
        return self.lost


def device_seconds(step: Callable, repeats: int) -> float:
    """The mean time of one step over `repeats` in a row, by events on the GPU."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e-3 / repeats


def device_bytes(_: Callable) -> int:
    """The bytes that PyTorch's allocator held of the GPU at the peak, with gaps between arrays."""
    return torch.cuda.max_memory_reserved()
