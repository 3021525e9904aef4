"""python -m minigen study SCRIPT: the files about a step, and what goes wrong in a sentence."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest
from study_scripts import PLAIN, WITH_RUN, written

from minigen.study.command import study


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder is an empty one."""
    monkeypatch.chdir(tmp_path)


# ----------------------------------------------------------------------- what goes wrong


@pytest.fixture
def said(capsys):
    """A function that studies a script, and returns the exit code and what was said."""

    def run(name, step=1, arguments=()):
        capsys.readouterr()
        code = study(name, step, "out", arguments)
        output = capsys.readouterr()
        return code, output.out + output.err

    return run


@pytest.mark.parametrize(
    ("text", "step", "code", "sentence"),
    [
        (None, 1, 2, "there is no script script.py"),
        (PLAIN, 9, 1, "script.py ended after 5 training steps, before step 9: take a --step of"),
        (PLAIN.replace("range(5)", "range(1)"), 3, 1, "ended after 1 training step, before"),
        ("print(3)", 1, 1, "script.py has trained nothing"),
        ("import sys; sys.exit(4)", 1, 4, "script.py ended with exit code 4 before it trained"),
        ("import sys; sys.exit('no data')", 1, 1, "no data\n"),
        ("raise KeyboardInterrupt", 1, 130, "interrupted after 0 training steps, before"),
        ("if True print()", 1, 1, 'script.py", line 1\n    if True print()\n'),
        (PLAIN.replace("i + 1)", "1 / (i - 3))"), 9, 1, "failed in step 4, before step 9 was"),
    ],
)
def test_a_sentence_says_what_went_wrong(said, text, step, code, sentence):
    if text is not None:
        written(text)
    found, output = said("script.py", step)
    assert found == code
    assert sentence in output
    assert "minigen/study" not in output and "importlib" not in output
    assert not Path("out").exists()


def test_a_folder_and_a_notebook_are_no_scripts(said):
    Path("runs").mkdir()
    assert said("runs") == (2, "runs is a folder: name the script in it\n")
    code, output = said(written("{}", "a.ipynb"))
    assert code == 2 and "study.record()" in output


def test_a_failure_in_a_run_names_the_step(said):
    code, output = said(written(WITH_RUN), 8, ["--data", "FAIL"])
    assert code == 1
    assert "failed in step 3, before step 8 was recorded: --step 3 shows more" in output


@pytest.mark.filterwarnings("ignore:of study.record")
def test_an_observer_of_the_scripts_own_is_named(said):
    head, loop, rest = PLAIN.partition("for i")
    text = f"{head}with mg.detect_anomaly():\n" + indent(loop + rest, "    ")
    _, output = said(written(text), 1)
    assert "another observer was active where it ended" in output
    text = PLAIN.replace("    loss.backward()", "    with study.record(): loss.backward()")
    _, output = said(written(text), 2)
    assert "no backward pass was recorded; take detect_anomaly, profile or record out" in output


# ------------------------------------------------------------------------ the command line


def command(*words, **options):
    line = [sys.executable, "-m", "minigen", "study", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "agg"}
    return subprocess.run(
        line, capture_output=True, text=True, timeout=100, env=environment, **options
    )


def test_flags_of_the_script_stand_behind_two_dashes():
    name = written("import sys; sys.exit(' '.join(sys.argv))")
    done = command(name, "--step", "3", "--", "--epochs", "2", "--", "x")
    assert done.stderr.splitlines()[0] == f"{name} --epochs 2 -- x"
    done = command(name, "--epochs", "2")
    assert done.returncode == 2
    assert "unrecognized arguments: --epochs 2; arguments of the script go behind --" in done.stderr
    assert "must be a whole number of at least 1" in command(name, "--step", "0").stderr


def test_ctrl_c_gives_130():
    # A shell lets what it runs in the background ignore the signal.
    heeded = "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    text = heeded + PLAIN.replace(
        "    optimizer.zero_grad()", f"    os.kill(os.getpid(), {int(signal.SIGINT)})"
    )
    done = command(written(text), "--step", "2")
    assert done.returncode == 130
    assert done.stderr == "interrupted after 0 training steps, before the end of step 2\n"
    text = heeded + WITH_RUN.replace(
        "optimizer.zero_grad()", f"os.kill(os.getpid(), {int(signal.SIGINT)})"
    )
    done = command(written(text), "--step", "3")
    assert done.returncode == 130
    assert "interrupted after 1 training step, before the end of step 3" in done.stderr


# ------------------------------------------------------------------------------ the files


def test_what_was_recorded_before_an_exception_is_written(said):
    text = PLAIN.replace("    loss.backward()\n", "    loss.backward()\n    1 / (i - 2)\n")
    code, output = said(written(text), 3)
    assert code == 1
    assert "Traceback (most recent call last):\n  File" in output
    assert output.index("ZeroDivisionError") < output.index("failed in step 3: what follows")
    assert "the beginning of training step 3 of script.py: " in output
    assert Path("out/step.html").exists()
    assert "--step 3 shows more" in said("script.py", 4)[1]


def test_one_part_that_fails_leaves_the_others(said, monkeypatch):
    def broken(run):
        raise NotImplementedError("no line of NumPy for 'attention'")

    monkeypatch.setattr("minigen.study.recording.Recording.source", broken)
    Path("out").mkdir()
    Path("out/step.py").write_text("of an earlier study")
    code, output = said(written(PLAIN))
    assert code == 1
    assert "step.py was not written: NotImplementedError: no line of NumPy" in output
    assert {path.name for path in Path("out").iterdir()} == {
        *("step.html", "memory.png", "roofline.png")
    }


def test_ctrl_c_while_files_are_written_leaves_whole_files_alone(said, monkeypatch):
    def interrupted(run, path, title):
        path.write_text("half a page")
        raise KeyboardInterrupt

    monkeypatch.setattr("minigen.study.recording.Recording.page", interrupted)
    code, output = said(written(PLAIN))
    assert code == 130 and "interrupted before every file was written" in output
    assert list(Path("out").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(said):
    Path("out").write_text("a file")
    code, output = said(written(PLAIN))
    assert code == 1 and "cannot write to out: " in output and "name another --out" in output


def test_files_are_written_even_if_a_script_catches_everything_forever():
    text = "import atexit\natexit.register(print, 'not called')\n" + PLAIN.replace(
        "for i in range(5)", "i = 0\nwhile True"
    ).replace("    optimizer.step()", "    try: optimizer.step()\n    except: print('caught')")
    done = command(written(text))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("caught") == 4 and "step 1 of script.py: " in done.stdout
    assert Path("runs/study/script/step.html").exists()


def test_a_script_is_not_replaced_by_the_files_of_its_study(said):
    Path("out").mkdir()
    text = Path(written(PLAIN)).read_text()
    Path("out/step.py").write_text(text)
    code, output = said("out/step.py")
    assert code == 2 and "step.py would be replaced by a file of the study: name anoth" in output
    assert Path("out/step.py").read_text() == text


def test_handlers_at_exit_run_and_the_exit_code_is_0():
    text = "import atexit\natexit.register(print, 'goodbye')\n" + PLAIN
    done = command(written(text), "--out", "here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and done.stdout.endswith("goodbye\n")
    assert {path.name for path in Path("here").iterdir()} == {
        *("step.html", "step.py", "memory.png", "roofline.png")
    }
