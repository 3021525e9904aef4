"""Streams that are missing, closed, full or narrow, or lack a character: the training goes on."""

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from minigen import console
from minigen.training import run_example

ROOT = Path(__file__).parent.parent
FLAGS = "--device cpu --embed 2 --hidden 2 --context 8 --batch 2 --steps 2 --epochs 2"
TEXT = "pack my box with five dozen jugs: naïve 日本\n" * 30


def script(tmp_path, extra=""):
    """The words of a tiny run of an example, after lines of Python."""
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    example = ROOT / "examples/char_lstm.py"
    code = f"import runpy, sys\n{extra}\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    code = code.replace("runpy.run_path", "sys.argv = sys.argv[1:]\nrunpy.run_path")
    data = ["--data", str(tmp_path / "text"), "--out", str(tmp_path / "out"), "--overwrite"]
    return [sys.executable, "-c", code, str(example), *FLAGS.split(), *data]


def finished(tmp_path):
    """Whether the run made all its files."""
    made = {path.name for path in (tmp_path / "out").iterdir()}
    return {"sample.txt", "curves.png", "metrics.jsonl", "checkpoint.safetensors"} <= made


@pytest.mark.parametrize("case", ["ascii, no home", "reader gone", "closed", "None"])
def test_an_example_trains_to_its_end_whatever_the_streams_are(case, tmp_path):
    env, around = dict(os.environ), {"closed": "{} >&- 2>&-", "reader gone": "{} | true"}
    extra = "sys.stdout = sys.stderr = None" if case == "None" else ""
    if case == "ascii, no home":
        env["PYTHONIOENCODING"] = "ascii"
        env.pop("HOME", None)
    quoted = " ".join(f"'{word}'" for word in script(tmp_path, extra.replace("'", '"')))
    quoted = quoted.replace("'__main__'", '"__main__"')
    command = "set -o pipefail; " + around.get(case, "{}").format(quoted)
    done = subprocess.run(["bash", "-c", command], capture_output=True, env=env, timeout=200)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr and b"Broken" not in done.stderr
    assert finished(tmp_path)
    if "ascii" in case:
        assert (tmp_path / "out/sample.txt").read_text("utf-8").isascii() or b"?" in done.stdout


def test_on_a_narrow_terminal_the_bar_fits(tmp_path, columns=20):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    done = subprocess.Popen(script(tmp_path), stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += (part := os.read(ours, 4096))
        except OSError:  # the other end is closed
            break
        if not part:
            break
    os.close(ours)
    assert done.wait(200) == 0 and finished(tmp_path)
    text = seen.decode("utf-8", "replace")
    assert "epoch" in text and "Traceback" not in text
    assert max(map(len, text.replace("\n", "\r").split("\r"))) <= columns


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


class Closed(io.StringIO):
    def __init__(self):
        super().__init__()
        self.close()


@pytest.mark.parametrize("stream", [None, Broken(), Closed()], ids=["None", "broken", "closed"])
def test_say_and_is_terminal_raise_nothing(stream, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    console.prepare()
    console.say("é 日本")
    assert not console.is_terminal(stream)
    console.close_broken()


def test_characters_that_a_stream_lacks_are_question_marks(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    console.say("é 日本 x")
    with console.printing_to_anyone():
        print("é y")
    assert raw.getvalue().split() == [b"?", b"??", b"x", b"?", b"y"]
    assert not sys.stdout.closed


def test_run_example_leaves_stdout_as_it_was(capfd):
    before = sys.stdout
    run_example(lambda: print("one line"))
    assert sys.stdout is before
    with pytest.raises(SystemExit, match="OSError: no room"):
        run_example(lambda: (_ for _ in ()).throw(OSError("no room")))
    assert sys.stdout is before
