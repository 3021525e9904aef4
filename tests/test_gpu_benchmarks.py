"""The tables of a GPU: what is measured is a training, and lies in the right columns."""

import argparse
from itertools import cycle

import pytest
from test_benchmarks import FOLDER, run

import minigen as mg

KINDS = {
    "tanh": {"batch": 2},
    "gan": {"batch": 2},
    "vae": {"batch": 2, "hidden": 3},
    "cnn": {"batch": 2, "channels": 1, "side": 8, "widths": (2, 3)},
    "lstm": {"batch": 2, "hidden": 3},
    "gpt": {"batch": 2, "block": 4, "layers": 1, "width": 8, "heads": 2},
}


@pytest.fixture
def folder(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


@pytest.fixture
def tables(folder, monkeypatch):
    """The module train_step_gpu, with workloads in this process and not in children."""
    import measuring
    import train_step_gpu

    class InThisProcess:
        def __init__(self, *workload, open_workload=measuring.on_cpu):
            self.open = lambda: open_workload(*workload)

        def __enter__(self):
            self.shapes, self.answers = self.open()
            return self

        def __exit__(self, *_):
            pass

        def ask(self, question, *values):
            return self.answers[question](*values)

    monkeypatch.setattr(train_step_gpu, "Child", InThisProcess)
    monkeypatch.setattr(train_step_gpu, "pytorch_finds_gpu", lambda: False)
    monkeypatch.setattr(train_step_gpu, "TURN_SECONDS", 1e-4)
    return train_step_gpu


def flags(**given):
    named = {"pairs": 3, "warm_up": 1, "threads": mg.get_num_threads(), "precision": "highest"}
    return argparse.Namespace(**named, **given)


@pytest.mark.parametrize("kind", KINDS)
def test_eager_and_captured_steps_of_a_gpu_and_those_of_the_cpu_train_alike(kind, device, folder):
    from workloads import ours

    losses = {}
    for side, captured in {"eager": False, "captured": True}.items():
        step = ours.prepared(getattr(ours, kind)(**KINDS[kind], device=device)[0], captured)
        losses[side] = [step().item() for _ in range(3)]
    step, _ = getattr(ours, kind)(**KINDS[kind])
    on_cpu = [step().item() for _ in range(ours.WARM_UP + 4)]
    assert losses["captured"] == losses["eager"] == pytest.approx(on_cpu[-3:], rel=1e-4)


def test_a_step_that_cannot_be_captured_is_not_measured_as_if_it_were(device, folder):
    from workloads import ours

    step, _ = ours.tanh(2, device=device)
    with pytest.raises(RuntimeWarning, match="cannot be recorded"):
        ours.prepared(lambda: step().item(), True)


def test_the_table_of_a_gpu_has_a_line_a_workload(device, tables, capsys):
    (row,) = tables.gpu_table(flags(only=["tanh"]))
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["minigen", "ms", "captured"]
    name, eager, captured, *pytorch, _, _, no, none = line.split()
    assert name == "tanh" and {*pytorch, no, none} == {"-"} and len(pytorch) == 4
    seconds = row["seconds"]
    assert [f"{1e3 * seconds[side]:.3f}" for side in tables.OURS] == [eager, captured]
    assert row["parameters"] == 337 and row["bytes"].keys() == seconds.keys() == tables.OURS.keys()


def test_the_crossover_has_a_line_a_size_and_says_from_which_on(
    device, tables, monkeypatch, capsys
):
    monkeypatch.setattr(tables, "CROSSOVER", [("tanh", "batch", (2, 4))])
    rows = tables.crossover_table(flags())
    lines = capsys.readouterr().out.splitlines()
    assert [row["batch"] for row in rows] == [2, 4]
    for row, line in zip(rows, lines[1:3]):
        assert row["ratio"].keys() == {"CPU", *tables.OURS} and row["ratio"]["CPU"] == 1
        assert line.startswith(f"tanh, batch {row['batch']} ") and len(line.split()) == 8
    assert [line.split(":")[0].strip() for line in lines[3:]] == [*tables.OURS]


@pytest.mark.parametrize(
    "ratios, found",
    [
        ((2, 0.9, 0.5), "faster from batch 2 on"),
        ((2, 0.9, None), "faster from batch 2 on"),
        ((0.9, 1, 2), "not faster than the CPU"),
        ((None, None), "not measured"),
    ],
)
def test_a_side_wins_from_a_size_on_if_it_wins_at_all_that_follow(ratios, found, tables):
    measured = [{} if ratio is None else {"minigen": ratio} for ratio in ratios]
    series = [{"batch": i + 1, "ratio": ratio} for i, ratio in enumerate(measured)]
    assert tables.wins(series, "minigen", "batch") == found


def test_ratios_are_of_the_same_turn_and_a_side_that_fails_is_left_out(tables):
    def side(*seconds):
        times = cycle(seconds)
        return [(2, 3)], {"seconds": lambda repeats: next(times), "memory": lambda: 5}

    def fails():
        raise tables.ChildFailed

    workloads = {
        "PyTorch": lambda: side(1, 1, 2, 4, 8),  # two turns are warm-up
        "minigen": lambda: side(1, 1, 3, 12, 16),
        "minigen captured": fails,
    }
    starts = {
        name: lambda open_workload=open_workload: tables.Child(open_workload=open_workload)
        for name, open_workload in workloads.items()
    }
    row = tables.take_turns(starts, "PyTorch", flags())
    assert row["parameters"] == 6
    assert row["seconds"] == {"PyTorch": 4, "minigen": 12}
    assert row["ratio"] == {"PyTorch": 1, "minigen": 2}
    assert row["bytes"] == {"PyTorch": 5, "minigen": 5}


@pytest.mark.parametrize("kind", KINDS)
def test_pytorchs_tensors_lie_on_the_device_that_is_asked_for(kind, folder, monkeypatch):
    torch = pytest.importorskip("torch")
    from workloads import theirs

    sgd = lambda parameters, **_: torch.optim.SGD(parameters, lr=0.1)
    monkeypatch.setattr(torch.optim, "Adam", sgd)  # the fused one does not take "meta"
    step, _ = getattr(theirs, kind)(**KINDS[kind], device="meta")
    assert step().device.type == "meta"


@pytest.mark.parametrize("flag", [("--device", "cuda"), ("--crossover",)])
def test_without_a_gpu_a_sentence_says_so(flag, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run("train_step.py", *flag)
    assert done.returncode == 1
    assert done.stderr.startswith("BackendUnavailable: ") and len(done.stderr.splitlines()) == 1
