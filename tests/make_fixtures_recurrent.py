"""Writes tests/fixtures/recurrent.safetensors with PyTorch; run by hand, as make_fixtures.py."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FILE = Path(__file__).parent / "fixtures" / "recurrent.safetensors"
PACKED = FILE.with_name("packed.safetensors")
LENGTHS = [2, 5, 1, 5]
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


def record_packed(name, settings):
    """As `record`, for padded sequences of LENGTHS; and a cell of the same kind."""
    kind = name.partition("_")[0]
    net = getattr(torch.nn, kind)(3, 4, num_layers=2, bidirectional=True, **settings).double()
    make = lambda *shape: torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    states = [make(4, 4, 4) for _ in range(2 if name == "LSTM" else 1)]
    x = make(6, 4, 3)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    y, end = net(packed, tuple(states) if name == "LSTM" else states[0])
    result = {"data": packed.data, "batch_sizes": packed.batch_sizes, "ydata": y.data}
    result |= {"sorted": packed.sorted_indices, "unsorted": packed.unsorted_indices}
    y, _ = pad_packed_sequence(y, total_length=6)
    ends = list(end) if name == "LSTM" else [end]
    weights = [torch.randn_like(part) for part in (y, *ends)]
    sum((w * part).sum() for w, part in zip(weights, (y, *ends))).backward()
    result |= {f"state.{key}": p for key, p in net.state_dict().items()}
    result |= {f"grad.{key}": p.grad for key, p in net.named_parameters()}
    result |= {"x": x, "gx": x.grad, "y": y}
    for i, (s, e) in enumerate(zip(states, ends)):
        result |= {f"s{i}": s, f"gs{i}": s.grad, f"end{i}": e}
    result |= {f"w{i}": w for i, w in enumerate(weights)}
    cell = getattr(torch.nn, f"{kind}Cell")(3, 4, **settings).double()
    hs = [make(5, 4) for _ in states]
    after = cell(x[0, 0].expand(5, 3), tuple(hs) if name == "LSTM" else hs[0])
    result |= {f"cell.state.{key}": p for key, p in cell.state_dict().items()}
    result |= {f"cell.h{i}": h for i, h in enumerate(hs)}
    after = after if name == "LSTM" else [after]
    result |= {f"cell.after{i}": h for i, h in enumerate(after)}
    return {f"{name}.{key}": v.detach().clone().contiguous() for key, v in result.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    parts = [record(name, settings) for name, settings in KINDS.items()]
    save_file({k: v for part in parts for k, v in part.items()}, FILE)
    parts = [record_packed(name, settings) for name, settings in KINDS.items()]
    save_file({k: v for part in parts for k, v in part.items()}, PACKED)
