"""The folder of a run: its checkpoint and metrics.jsonl, which rank 0 writes and reads for all."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigen import tensor_files
from minigen.communication.agreement import first_for_all
from minigen.communication.world import World
from minigen.errors import CheckpointError
from minigen.training import checkpoint
from minigen.training.nonfinite import nonfinite_weight
from minigen.training.progress import Progress
from minigen.training.ranks import load_for_all, sums_of_ranks
from minigen.training.results import Results

SAVE_SPACING = 100  # durations of a save before the next one, so that saving takes 1 % of the time
STATES = 3  # a checkpoint has the weights, and of each the two moments of Adam


class Saving(Progress, Results):
    """The base of `Run` that saves and restores its state; all ranks call each method."""

    world: World
    description: Any
    watched: Any
    nonfinite: str
    start_state: Any
    saved_position: tuple[int, int] | None = None  # of the checkpoint on the disk
    next_save = 0.0  # the earliest time of the next save at the end of an epoch

    metrics_path: Path = property(lambda self: self.out / checkpoint.METRICS)  # type: ignore
    checkpoint_path: Path = property(lambda self: self.out / checkpoint.NAME)  # type: ignore

    def say(self, line: str) -> None:
        """Print a line."""
        raise NotImplementedError

    def save(self) -> None:
        """Write the checkpoint, then metrics.jsonl, each completely or not at all.

        Raises FloatingPointError if a weight is not finite, and keeps the previous checkpoint.
        """
        if nonfinite := self.nonfinite or self._nonfinite_weight_at(self.step):
            raise FloatingPointError(f"{nonfinite}: this state is not saved")
        start = time.monotonic()
        state = self.state_dict()
        if self.world.size > 1:
            state["sums_of_ranks"] = self.world.gather(self.sums)
            state["sums"] = sums_of_ranks(state["sums_of_ranks"])
        with self.world.busy("saving"):
            first_for_all(self.world, lambda: self._write(state))
        self.saved_position, end = self.position, time.monotonic()
        self.next_save = end + SAVE_SPACING * (end - start)

    def _write(self, state: dict[str, Any]) -> None:
        also = {"config": self.config, "description": self.description, "kept": self.kept}
        checkpoint.save_state(self.checkpoint_path, {**also, **state})
        self._write_metrics()
        self.watched.write()

    def _write_metrics(self) -> None:
        rows = "".join(json.dumps(row) + "\n" for row in self.history)
        tensor_files.replace_file(self.metrics_path, rows.encode())

    def _nonfinite_weight_at(self, step: int) -> str:
        found = nonfinite_weight(self.model)
        return found and f"{found} at step {step}"

    def return_to_start(self) -> None:
        """Load the state at the first step of the epoch, or at the step that was resumed."""
        self.nonfinite = ""
        state = self.start_state or load_for_all(self.world, self.checkpoint_path)
        self.load_state_dict({**state, "sums": self._own_sums(state)})
        # If this run has not saved yet, a checkpoint in the folder is an older run's: keep it.
        if self.saved_position and self.saved_position != self.position:
            self.save()

    def _own_sums(self, state: dict[str, Any]) -> Any:
        """The sums of this rank in a state: its own, if as many ranks have saved it."""
        parts: Sequence = state.get("sums_of_ranks") or []
        if len(parts) == self.world.size:
            return parts[self.world.rank]
        return state["sums"] if self.leads or state is self.start_state else {}

    def _restore(self, args: argparse.Namespace) -> None:
        path, own = self.checkpoint_path, self.config
        state = load_for_all(self.world, path)
        checkpoint.refuse_another_example(path, state, own["example"])
        saved = state["config"]
        changes = [
            f"{key}: {saved.get(key)} then, {own.get(key)} now"
            for key in sorted(saved.keys() | own.keys())
            if saved.get(key) != own.get(key)
        ]
        if changes:
            reason = f"{path} is of a run with other settings: {'; '.join(changes)}"
            raise CheckpointError(reason)
        try:
            self.load_state_dict({**state, "sums": self._own_sums(state)})
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        self.saved_position = self.position
        if args.resume:
            # The file may be older, or from another run.
            first_for_all(self.world, self._write_metrics)
            self.watched.resume()
            self.say(f"going on from step {self.step}")

    def _prepare_folder(self, is_new: bool, trains: bool) -> None:
        """Make the folder, with room for a checkpoint if the run trains.

        CheckpointError if it cannot be made, or has a run and is to be new.
        """

        def prepare() -> None:
            if is_new:
                checkpoint.refuse_to_overwrite(self.out)
            try:
                self.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                reason = f"cannot make a folder: {error}; name another --out"
                raise CheckpointError(reason) from None
            if trains:
                weights = sum(p.data.nbytes for p in self.model.state_dict().values())
                checkpoint.reserve(self.out, STATES * weights)

        first_for_all(self.world, prepare)
