"""Writes tests/fixtures/recurrent.safetensors with PyTorch; run by hand, as make_fixtures.py."""

from pathlib import Path

import torch
from safetensors.torch import save_file

FILE = Path(__file__).parent / "fixtures" / "recurrent.safetensors"
KINDS = {"RNN": {}, "RNN_relu": {"nonlinearity": "relu"}, "LSTM": {}, "GRU": {}}


def record(name, settings):
    """Two layers, both directions, batch first, initial states: state dict, outputs, gradients."""
    net = getattr(torch.nn, name.partition("_")[0])(
        3, 4, num_layers=2, batch_first=True, bidirectional=True, **settings
    ).double()
    make = lambda *shape: torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    x, states = make(2, 5, 3), [make(4, 2, 4) for _ in range(2 if name == "LSTM" else 1)]
    y, end = net(x, tuple(states) if name == "LSTM" else states[0])
    ends = list(end) if name == "LSTM" else [end]
    weights = [torch.randn_like(part) for part in (y, *ends)]
    sum((w * part).sum() for w, part in zip(weights, (y, *ends))).backward()
    result = {f"state.{key}": p for key, p in net.state_dict().items()}
    result |= {f"grad.{key}": p.grad for key, p in net.named_parameters()}
    result |= {"x": x, "gx": x.grad, "y": y}
    for i, (s, e) in enumerate(zip(states, ends)):
        result |= {f"s{i}": s, f"gs{i}": s.grad, f"end{i}": e}
    result |= {f"w{i}": w for i, w in enumerate(weights)}
    return {f"{name}.{key}": v.detach().clone().contiguous() for key, v in result.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    parts = [record(name, settings) for name, settings in KINDS.items()]
    save_file({k: v for part in parts for k, v in part.items()}, FILE)
