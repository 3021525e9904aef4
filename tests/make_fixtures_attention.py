"""Writes tests/fixtures/attention.safetensors with PyTorch; run by hand, as make_fixtures.py."""

import torch
from attention_cases import CASES, CAUSAL, PADDING, B, H, arguments
from make_fixtures import FOLDER
from safetensors.torch import save_file


def masks(kinds, inputs):
    """Boolean masks, True for what is masked out; no row is masked out as a whole."""
    batch_first = inputs[0].ndim == 3
    made = {}
    for name, kind in kinds.items():
        source = inputs[0] if name.startswith(("tgt", "src")) else inputs[-1]
        queries, keys = inputs[0].shape[1], source.shape[1]
        if kind == CAUSAL:
            made[name] = torch.ones(queries, queries, dtype=torch.bool).triu(1)
        elif kind == PADDING:
            made[name] = torch.arange(keys) >= torch.tensor([keys, keys - 2])[:, None]
        else:
            made[name] = torch.rand(B * H, queries, keys) < 0.4
            made[name][..., 0] = False
    assert batch_first or not made
    return made


def main():
    torch.manual_seed(0)
    saved = {}
    for name, (kind, sizes, settings, shapes, kinds, options) in CASES.items():
        layer = getattr(torch.nn, kind)(*sizes, **settings).double()
        for p in layer.parameters():  # biases and norms start at values that hide mistakes
            torch.nn.init.normal_(p, std=0.5)
        inputs = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
        given = masks(kinds, inputs)
        result = layer(*arguments(kind, inputs), **given, **options)
        outputs = [y for y in (result if isinstance(result, tuple) else [result]) if y is not None]
        gs = [torch.randn_like(y) for y in outputs]
        sum((y * g).sum() for y, g in zip(outputs, gs)).backward()
        saved |= {f"{name}/state/{key}": p for key, p in layer.state_dict().items()}
        saved |= {f"{name}/grad/{key}": p.grad for key, p in layer.named_parameters()}
        saved |= {f"{name}/mask/{key}": mask for key, mask in given.items()}
        for part, values in (("x", inputs), ("y", outputs), ("g", gs)):
            saved |= {f"{name}/{part}/{i}": x for i, x in enumerate(values)}
        saved |= {f"{name}/gx/{i}": x.grad for i, x in enumerate(inputs)}
    saved = {key: x.detach().clone().contiguous() for key, x in saved.items()}
    save_file(saved, FOLDER / "attention.safetensors")


if __name__ == "__main__":
    main()
