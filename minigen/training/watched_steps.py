"""The --watch of a run: its steps are watched, and watch.jsonl and watch.png written to --out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minigen import tensor_files
from minigen.errors import CheckpointError
from minigen.optim.observing import training_step
from minigen.study import Watch

ROWS, FIGURE = "watch.jsonl", "watch.png"


class WatchedSteps:
    """Watches the steps of a `Run` if its flags say so, and otherwise does nothing.

    Rows of steps that come after the one at which a run is resumed are dropped, as those of
    metrics.jsonl are.
    """

    def __init__(self, run: Any, is_on: bool):
        self.run, self.watch, self._written = run, None, 0
        if is_on:
            self.watch = Watch(run.model, run.optimizers)
            self.watch.say = run.say

    def resume(self) -> None:
        """Read the rows and warnings up to the step of the run, if it was watched before."""
        path = self.run.out / ROWS
        if self.watch is not None and path.exists():
            try:
                self.watch.load_state(path.read_text(encoding="utf-8"))
            except (OSError, TypeError, ValueError, KeyError) as error:
                self.run.say(f"{path} cannot be read ({error}): watching from here on")
            self.watch.drop_after(self.run.step)

    @contextmanager
    def step(self, number: int, repeated: bool) -> Iterator[None]:
        """A context for the step of that number; one that is repeated is not watched again.

        Observers of training steps are told where it begins and ends.
        """
        with training_step(repeated):
            if self.watch is None or repeated:
                yield
                return
            self.watch.listen()
            self.watch.begin(number)
            yield  # a step that fails has no end
            self.watch.end()

    def write(self) -> None:
        """Write both files, if there are new rows; a full disk stops no run."""
        if self.watch is None or len(self.watch.rows) == self._written:
            return
        self._written = len(self.watch.rows)
        try:
            tensor_files.replace_file(self.run.out / ROWS, self.watch.state().encode())
            self.watch.figure(self.run.out / FIGURE)
        except (CheckpointError, OSError) as error:
            self.run.say(f"{ROWS} and {FIGURE} are not written, training goes on: {error}")

    def close(self) -> None:
        """Write what is not written, and stop watching."""
        if self.watch is not None:
            self.watch.close()
            self.write()
