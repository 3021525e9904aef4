"""Writes tests/fixtures/*.safetensors with PyTorch; run by hand, torch is not needed by the tests.

pip install torch==2.13.0 && python tests/make_fixtures.py
"""

from pathlib import Path

import torch
from optimizer_cases import CASES, SHAPES, STEPS, gradient
from safetensors.torch import save_file
from schedule_cases import CASES as SCHEDULES
from schedule_cases import EPOCHS, LRS, made
from schedule_cases import step as schedule_step

FOLDER = Path(__file__).parent / "fixtures"


def optimizers():
    """Each optimizer of CASES after STEPS steps on given gradients, in float64."""
    result = {}
    for name, (kind, settings) in CASES.items():
        params = [
            torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True) for shape in SHAPES
        ]
        optimizer = getattr(torch.optim, kind)(params, **settings)
        for step in range(STEPS):
            for i, p in enumerate(params):
                p.grad = torch.tensor(gradient(step, i))
            optimizer.step()
        result |= {f"{name}.{i}": p.detach() for i, p in enumerate(params)}
    save_file(result, FOLDER / "optimizers.safetensors")


def schedules():
    """The learning rates, and momenta, of two groups over EPOCHS steps of each schedule."""
    result = {}
    for name in (*SCHEDULES, "chained", "sequential"):
        groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in LRS]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        running, rows = made(torch.optim.lr_scheduler, optimizer, name), []
        for epoch in range(EPOCHS + 1):
            rows.append([[g["lr"], g["momentum"]] for g in optimizer.param_groups])
            optimizer.step()
            if epoch < EPOCHS:
                schedule_step(running, name, epoch)
        result[name] = torch.tensor(rows, dtype=torch.float64)
    save_file(result, FOLDER / "schedules.safetensors")


def dense_net():
    """A small net with every dense layer: its state, an input, the output and all gradients."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(5, 7),
        torch.nn.GELU(),
        torch.nn.LayerNorm(7),
        torch.nn.Linear(7, 4, bias=False),
        torch.nn.SiLU(),
        torch.nn.Linear(4, 3),
    ).double()
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (6,))
    y = net(x)
    loss = torch.nn.functional.cross_entropy(y, target, label_smoothing=0.1)
    loss.backward()
    result = {f"state.{name}": p for name, p in net.state_dict().items()}
    result |= {f"grad.{name}": p.grad for name, p in net.named_parameters()}
    result |= {"x": x, "target": target, "y": y, "loss": loss, "gx": x.grad}
    save_file({k: v.detach().clone() for k, v in result.items()}, FOLDER / "dense_net.safetensors")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    optimizers()
    schedules()
    dense_net()
