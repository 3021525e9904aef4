"""Running a script until it has taken its N-th training step, which is recorded."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from contextvars import copy_context
from importlib.abc import ExecutionLoader
from importlib.util import decode_source, module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType
from typing import Any

from minigen import console
from minigen.autodiff.graph import trace_observer
from minigen.optim.observing import StepObserver, step_observer
from minigen.study.recording import Recording, record

PATIENCE = 3  # further steps that a script may begin which catches `Reached` and goes on


class Reached(BaseException):
    """Ends a script whose step is recorded. As it is no Exception, few handlers catch it."""


class StepRecorder(StepObserver):
    """Counts the training steps of a script, and records one of them.

    A step ends where a `Run` asks for the next batch; without a Run, where the optimizer that
    stepped first has stepped. The first step without a Run begins where the optimizer is made.
    own_out: whether the user chose the folder of the script's own files. leave: called, and not to
    return, if the script catches every exception and goes on.
    """

    def __init__(self, wanted: int, own_out: bool, leave: Callable[[], Any]):
        self.wanted, self.own_out, self.leave = wanted, own_out, leave
        self.completed, self.reached, self.in_step = 0, False, False
        self.recording: Recording | None = None
        self.hidden = False  # another observer was active where the step ended
        self._first: Any = None  # the optimizer that stepped first
        self._has_run = False
        self._recorder, self._folders = ExitStack(), ExitStack()
        self._observer: Any = None  # that of the recording
        self._ignored = 0

    def optimizer_made(self, optimizer):
        begun = self.recording is not None and self.recording.passes
        self.in_step = self.in_step or not self._has_run
        if self.wanted == 1 and not (self._has_run or self.completed or begun):
            self._record()

    def optimizer_stepped(self, optimizer):
        if self._has_run:
            return
        self._first = optimizer if self._first is None else self._first
        if optimizer is self._first or self.reached:  # a script that goes on may make others
            self._end()
            if self.completed + 1 == self.wanted:
                self._record()

    def run_made(self, out, resumed):
        self._has_run, self.in_step = True, False
        self._discard()
        if resumed and out.is_dir():
            folder = self._temporary_folder()
            for file in filter(Path.is_file, out.iterdir()):
                shutil.copy2(file, folder)
            console.say(f"this is a copy of the run in {out}, which stays as it is")
            return folder
        if resumed or self.own_out:
            return out
        folder = self._temporary_folder()
        console.say(
            f"the script's own files go to {folder} and are removed at the end; to keep them, "
            "end the command with: -- --out FOLDER"
        )
        return folder

    def step_began(self):
        self.in_step = True
        if self.completed + 1 == self.wanted:
            self._record()
        elif self.reached:
            self._end()

    def step_ended(self):
        self.in_step = False
        self._end()

    def stop(self) -> None:
        """Stop recording."""
        with suppress(ValueError):  # it was begun in a coroutine, which has ended
            self._recorder.close()

    def remove_folders(self) -> None:
        """Remove the script's own files, if they went to a temporary folder."""
        self._folders.close()

    def _record(self) -> None:
        self._discard()
        self.recording = self._recorder.enter_context(record())
        self._observer = trace_observer.get()
        self._observer.warns = False  # `hidden` tells what matters of it

    def _discard(self) -> None:
        self._recorder.close()
        self.recording = None

    def _end(self) -> None:
        """A step has ended; raises Reached if it was the one to record."""
        if self.reached:
            self._ignored += 1
            if self._ignored > PATIENCE:
                self.leave()
            raise Reached
        self.completed += 1
        if self.completed == self.wanted:
            self.reached = True
            self.hidden = trace_observer.get() is not self._observer
            self._recorder.close()
            raise Reached

    def _temporary_folder(self) -> Path:
        return Path(self._folders.enter_context(tempfile.TemporaryDirectory(prefix="minigen-")))


class _Script(ExecutionLoader):
    """Runs a file as the module `__main__`, as Python itself does: no bytecode is kept."""

    def __init__(self, path: str):
        self.path = path

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_source(self, fullname: str) -> str:
        return decode_source(Path(self.path).read_bytes())

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(Path(self.path).read_bytes(), self.path)


def run_script(script: str, arguments: Sequence[str], observer: StepRecorder) -> None:
    """Run a script as `python script arguments` does, under an observer of its steps.

    It raises what the script raises, but for Reached.
    """
    path = os.path.abspath(script)
    spec = spec_from_loader("__main__", _Script(path))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    module.__spec__ = None  # as that of a script
    outer = sys.argv, sys.path[:], sys.modules["__main__"]
    sys.argv = [script, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    sys.modules["__main__"] = module
    context = copy_context()  # what the script leaves in context variables ends with it
    context.run(step_observer.set, observer)
    try:
        context.run(spec.loader.exec_module, module)
    except Reached:
        pass
    finally:
        context.run(observer.stop)
        sys.argv, sys.path[:], sys.modules["__main__"] = outer
