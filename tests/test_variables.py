"""Environment variables, flags and closed streams: a sentence and the right exit code."""

import os
import subprocess
import sys

import pytest

from minigen.__main__ import main

STEP = """
import minigen as mg
x = mg.ones((3, 3), requires_grad=True)
mg.softmax(x @ x).sum().backward()
print("done", x.grad.shape)
"""


def python(*words, shell=None, **variables):
    """Run Python with environment variables; `shell` goes around the command, as "{} | head"."""
    env = {**os.environ, **variables}
    command = [sys.executable, *words]
    if shell:
        quoted = " ".join(f'"{word}"' for word in command)
        command = ["bash", "-c", "set -o pipefail; " + shell.format(quoted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=env)
    said = [line for line in done.stderr.splitlines(True) if "compiling kernels" not in line]
    done.stderr = "".join(said)  # without what the first run on a machine says
    return done


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [("MINIGEN_KERNELS", "refrence", "reference"), ("MINIGEN_WALK", "fast", "plain")],
)
def test_an_unknown_value_of_a_variable_is_named_once_and_ignored(name, value, known):
    done = python("-c", STEP, **{name: value})
    assert done.returncode == 0 and "done" in done.stdout
    says = f"{name}={value} is not a known value and is ignored: unset it, or set it to {known}"
    assert done.stderr.count(says) == 1
    assert python("-c", STEP, **{name: known}).stderr == ""


def test_with_numba_switched_off_the_plain_kernels_run():
    pytest.importorskip("numba")
    done = python("-c", STEP, NUMBA_DISABLE_JIT="1", MINIGEN_KERNELS="")
    assert done.returncode == 0 and "done" in done.stdout
    assert "switched off by NUMBA_DISABLE_JIT" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gradcheck", "tanh", "--device", "gpu"], "must be auto, cpu, cuda or cuda:N, got gpu"),
        (["gradcheck", "tanh", "--cases", "0"], "must be a whole number of at least 1, got 0"),
        (["gradcheck", "tanh", "--cases", "many"], "must be a whole number of at least 1"),
        (["gradcheck", "tanhh"], "there is no op 'tanhh'"),
        (["doctor", "--self-test", "gpu"], "must be auto, cpu, cuda or cuda:N, got gpu"),
        (["doctor", "--self-test", "cuda:99"], "BackendUnavailable: "),
        (["doctr"], "invalid choice: 'doctr'"),
    ],
)
def test_bad_words_after_minigen_get_one_sentence_and_exit_code_2(words, says, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minigen", *words])
    try:
        code = main()
    except SystemExit as ended:  # of argparse
        code = ended.code
    assert code == 2
    assert says in capsys.readouterr().err


def test_without_a_word_after_minigen_the_exit_code_is_2():
    done = python("-m", "minigen")
    assert done.returncode == 2
    assert "required: command" in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_goes_away_or_a_closed_stream_ends_without_a_traceback():
    words = "-m", "minigen", "gradcheck", "add", "exp", "--cases", "1"
    piped = python(*words, shell="{} | true")
    assert piped.stderr == ""
    assert piped.returncode == 141
    piped = python("-m", "minigen", "--help", shell="{} | true")
    assert piped.returncode in (0, 141) and piped.stderr == ""
    closed = python(*words, shell="{} >&-")
    assert closed.returncode == 0 and closed.stderr == ""
