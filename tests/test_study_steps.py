"""A script runs until its N-th training step, which is recorded, and is not disturbed before."""

import sys
from pathlib import Path
from textwrap import indent

import pytest
from study_scripts import HEAD, PLAIN, WITH_RUN, written

from minigen.study.scripts import StepRecorder, run_script


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder is an empty one."""
    monkeypatch.chdir(tmp_path)


def recorded(script, step=1, arguments=(), own_out=False):
    """What a study of a script sees."""
    observer = StepRecorder(step, own_out, leave=lambda: pytest.fail("the script went on"))
    try:
        run_script(script, arguments, observer)
    finally:
        observer.remove_folders()
    return observer


def ops(observer, kind="forward"):
    return [step.op for step in observer.recording.steps if step.kind == kind]


# ------------------------------------------------------------------------ which step it is


@pytest.mark.parametrize("step", [1, 2, 5])
def test_without_a_run_a_step_ends_where_the_optimizer_steps(step, capsys):
    observer = recorded(written(PLAIN), step)
    assert observer.reached and observer.completed == step
    assert "exp" not in ops(observer) and "tanh" in ops(observer)
    assert len(observer.recording.passes) == 1
    targets = [s for s in observer.recording.steps if s.op == "multiply" and s.kind == "forward"]
    assert [s.args[1] for s in targets[:1]] == [step]
    assert "the end" not in capsys.readouterr().out


@pytest.mark.parametrize("step", [1, 3, 4, 5])
def test_with_a_run_a_step_ends_where_the_next_batch_is_asked_for(step, capsys):
    observer = recorded(written(WITH_RUN), step)
    assert observer.reached
    assert {"tanh", "sin"} <= set(ops(observer)) and ops(observer).count("tanh") == 1
    assert "relu" not in ops(observer)
    assert ("epoch   1/2" in capsys.readouterr().out) == (step > 4)


def test_a_summary_before_training_is_no_part_of_the_step(capsys):
    text = WITH_RUN.replace("    model(x)\n", "    print(mg.nn.summary(model, x))\n")
    assert ops(recorded(written(text))).count("tanh") == 1  # and there is no warning


def test_two_optimizers_make_one_step_in_each_round():
    text = HEAD + (
        "one = mg.optim.SGD(model[0].parameters(), lr=0.1)\n"
        "two = mg.optim.SGD(model[2].parameters(), lr=0.1)\n"
        "for i in range(4):\n"
        "    for optimizer in (two, one):\n"
        "        optimizer.step(mg.grad(mg.mean(model(x)), optimizer.params))\n"
    )
    observer = recorded(written(text), 3)
    assert len(observer.recording.passes) == 2
    text = text.replace("for optimizer in (two, one)", "for optimizer in (two, two, one)")
    assert len(recorded(written(text), 2).recording.passes) == 1


def test_a_step_with_several_backward_passes_is_one():
    text = PLAIN.replace("    loss.backward()", "    loss.backward(); mg.mean(model(x)).backward()")
    assert len(recorded(written(text), 2).recording.passes) == 2


# -------------------------------------------------------------- the script is not disturbed


def test_argv_main_and_path_are_those_of_a_script():
    Path("folder").mkdir()
    Path("folder/neighbour.py").write_text("x = 3\n")
    text = "import os, sys, neighbour, __main__\nfound = 7\n" + PLAIN.replace(
        'print("the end")', ""
    ).replace(
        "mg.exp(x)\n",
        "assert __name__ == '__main__' and __main__.found == 7 and __spec__ is None\n"
        "assert sys.argv == ['folder/script.py', '--epochs', '2', '--', '--x'], sys.argv\n"
        "assert sys.path[0] == os.path.realpath('folder') and __file__ == sys.path[0] + "
        "'/script.py'\n",
    )
    before = sys.argv, sys.path[:], sys.modules["__main__"]
    name = written(text, "folder/script.py")
    assert recorded(name, 2, ["--epochs", "2", "--", "--x"]).reached
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before
    assert not list(Path("folder").glob("__pycache__/script*"))
    sys.modules.pop("neighbour")


def test_the_run_in_the_scripts_default_folder_stays_as_it_is(capsys):
    name = written(WITH_RUN)
    Path("runs/own").mkdir(parents=True)
    Path("runs/own/metrics.jsonl").write_text("an old run")
    assert recorded(name, 6).reached
    assert [path.name for path in Path("runs/own").iterdir()] == ["metrics.jsonl"]
    assert Path("runs/own/metrics.jsonl").read_text() == "an old run"
    said = capsys.readouterr().out
    folder = said.partition("own files go to ")[2].partition(" ")[0]
    assert folder and not Path(folder).exists() and "-- --out FOLDER" in said


def test_a_folder_that_the_user_names_is_used(capsys):
    assert recorded(written(WITH_RUN), 6, ["--out", "mine"], own_out=True).reached
    assert Path("mine/checkpoint.safetensors").exists()


def test_a_run_is_resumed_in_a_copy(capsys):
    name = written(WITH_RUN)
    observer = recorded(name, 20, ["--out", "mine"], own_out=True)
    assert observer.completed == 8 and not observer.reached
    before = {path.name: path.read_bytes() for path in Path("mine").iterdir()}
    written(WITH_RUN.replace("epochs=2", "epochs=4"))
    capsys.readouterr()
    observer = recorded(name, 6, ["--out", "mine", "--resume"], own_out=True)
    assert observer.reached
    assert {path.name: path.read_bytes() for path in Path("mine").iterdir()} == before
    said = capsys.readouterr().out
    assert "copy of the run in" in said and "going on from step 8" in said


def test_a_script_that_goes_on_with_another_optimizer_ends_all_the_same():
    body = indent(PLAIN.replace("range(5)", "range(2)"), "        ")
    text = f"for turn in range(9):\n    try:\n{body}\n    except BaseException: pass\n"
    turns = []
    run_script(written(text), (), StepRecorder(1, False, leave=lambda: turns.append("left")))
    assert turns


@pytest.mark.parametrize("handler", ["except Exception", "except", "except BaseException"])
def test_a_script_that_catches_exceptions_ends_all_the_same(handler):
    text = PLAIN.replace("    optimizer.step()", f"    try: optimizer.step()\n    {handler}: pass")
    assert recorded(written(text), 3).completed == 3
