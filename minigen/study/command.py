"""The command `python -m minigen study SCRIPT`: files about one training step of a script."""

import atexit
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from minigen import console
from minigen.study.recording import Recording
from minigen.study.scripts import StepRecorder, run_script

FILES = ("step.html", "step.py", "memory.png", "roofline.png")
CONTENTS = {
    "step.html": "the steps, with their values: open it in a browser",
    "step.py": "the same computation as a NumPy program",
    "memory.png": "which memory is in use when, and for what",
    "roofline.png": "the speed of each op, and what the machine could do",
}
FAILED, BAD_CALL, INTERRUPTED = 1, 2, 130  # exit codes


class Folder:
    """A folder as the user named it; it stays the same when a script changes the current one."""

    def __init__(self, named: Path):
        self.named, self.path = named, named.absolute()


def study(script: str, step: int, out: str | None, arguments: Sequence[str]) -> int:
    """Run a script up to its training step of that number, and write FILES about this step.

    Returns the exit code: 0 if every file was written.
    """
    path = Path(script)
    folder = Folder(Path(out if out is not None else Path("runs/study", path.stem)))
    if problem := _problem(path, folder):
        console.say(problem, sys.stderr)
        return BAD_CALL
    subject = f"training step {step} of {script}"

    def leave():  # the script catches even the exception that ends it
        observer.stop()
        observer.remove_folders()
        code = _write(observer, subject, folder)
        console.close_broken()
        os._exit(code)

    observer = StepRecorder(step, _names_out(arguments), leave)
    atexit.register(observer.remove_folders)  # after the script's own handlers, which may write
    code = 0
    try:
        run_script(script, arguments, observer)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as stop:
        code = _exit_code(stop)
    except BaseException as error:
        if not observer.reached:
            _print_traceback(error, os.path.abspath(script))
        code = FAILED
    try:
        if observer.reached and code != INTERRUPTED:
            return _write(observer, subject, folder)
        return _unfinished(observer, script, code, folder)
    except KeyboardInterrupt:
        console.say("interrupted before every file was written", sys.stderr)
        return INTERRUPTED


def _problem(path: Path, folder: Folder) -> str:
    """Why a path is no script, or the files of its study replace it; "" if all is well."""
    if not path.exists():
        return f"there is no script {path}: check the path, which starts from {Path.cwd()}"
    if path.is_dir():
        return f"{path} is a folder: name the script in it"
    if path.suffix == ".ipynb":
        return f"{path} is a notebook: write `with study.record() as run:` in one of its cells"
    if path.resolve() in [(folder.path / name).resolve() for name in FILES]:
        return f"{path} would be replaced by a file of the study: name another --out"
    return ""


def _names_out(arguments: Sequence[str]) -> bool:
    """Whether the arguments of a script name its --out; argparse takes `--o` for it, too."""
    flags = [word.partition("=")[0] for word in arguments]
    return any(len(flag) > 2 and "--out".startswith(flag) for flag in flags)


def _exit_code(stop: SystemExit) -> int:
    """The exit code that Python would have; a text in place of a code is printed."""
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    console.say(str(stop.code), sys.stderr)
    return FAILED


def _print_traceback(error: BaseException, script: str) -> None:
    """Print the traceback of a script's exception, from the script's own line on."""
    tb: TracebackType | None = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename != script:
        tb = tb.tb_next
    text = "".join(traceback.format_exception(type(error), error, tb))
    console.say(text.rstrip(), sys.stderr)


def _unfinished(observer: StepRecorder, script: str, code: int, folder: Folder) -> int:
    """Say why a step was not recorded, and write what was recorded of it. Returns the code."""
    done, wanted, run = observer.completed, observer.wanted, observer.recording
    steps = f"{done} training step{'s' * (done != 1)}"
    if code == INTERRUPTED:
        console.say(f"interrupted after {steps}, before the end of step {wanted}", sys.stderr)
    elif code and done + 1 == wanted and run is not None and run.steps:
        say = f"{script} failed in step {wanted}: what follows shows this step until then"
        console.say(say, sys.stderr)
        _write(observer, f"the beginning of training step {wanted} of {script}", folder)
    elif code and (done or observer.in_step):
        where = f"in step {done + 1}" if observer.in_step else f"after {steps}"
        remedy = f"--step {done + 1}" if observer.in_step else f"a --step of at most {done}"
        say = f"{script} failed {where}, before step {wanted} was recorded: {remedy} shows more"
        console.say(say, sys.stderr)
    elif code:
        console.say(f"{script} ended with exit code {code} before it trained", sys.stderr)
    elif run is not None and run.passes:
        console.say(f"{script} ended before its step {wanted} did", sys.stderr)
        _write(observer, f"the beginning of training step {wanted} of {script}", folder)
    elif done:
        say = f"{script} ended after {steps}, before step {wanted}: take a --step of at most {done}"
        console.say(say, sys.stderr)
    else:
        console.say(
            f"{script} has trained nothing: no Run handed out a batch, and no optimizer made a "
            "step, in its main thread; put `with study.record() as run:` around what to record",
            sys.stderr,
        )
    return code or FAILED


def _write(observer: StepRecorder, subject: str, folder: Folder) -> int:
    """Write FILES about what was recorded, as far as possible. Returns the exit code."""
    run = observer.recording
    assert run is not None
    if observer.hidden or not run.passes:
        why = "the optimizer stepped, but no backward pass was recorded"
        if observer.hidden:
            why = "another observer was active where it ended"
        console.say(
            f"{subject} is not all there: {why}; take detect_anomaly, profile or record out of the "
            "script",
            sys.stderr,
        )
    if not run.steps:
        return FAILED
    seconds = sum(step.seconds for step in run.steps)
    backward = sum(step.kind == "backward" for step in run.steps)
    console.say(
        f"{subject}: {len(run.steps) - backward} steps forward, {backward} backward, "
        f"{seconds * 1e3:.1f} ms"
    )
    if observer.wanted == 1:
        console.say("the first step also loads kernels: --step 2 shows what a step usually takes")
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder.path / name).unlink(missing_ok=True)  # of an earlier study
    except OSError as error:
        console.say(f"cannot write to {folder.named}: {error}; name another --out", sys.stderr)
        return FAILED
    code = 0
    for name, write in zip(FILES, _writers(run, subject)):
        try:
            write(folder.path / name)
        except BaseException as error:
            (folder.path / name).unlink(missing_ok=True)
            if not isinstance(error, Exception):  # as of Ctrl-C
                raise
            text = f"{name} was not written: {type(error).__name__}: {error}"
            console.say(text, sys.stderr)
            code = FAILED
        else:
            console.say(f"{folder.named / name}  {CONTENTS[name]}")
    return code


def _writers(run: Recording, subject: str) -> tuple[Callable[[Path], object], ...]:
    """A function for each of FILES that writes it."""
    begin, _, script = subject.rpartition(" of ")
    title = f"{begin} of {Path(script).name}"
    return (
        lambda path: run.page(path, title),
        lambda path: path.write_text(run.source(), encoding="utf-8"),
        lambda path: run.memory().figure(path),
        lambda path: run.times().figure(path),
    )
