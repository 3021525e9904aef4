"""A training run that can stop and go on. Use:

with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
    for epoch in run.epochs():
        for x, y in run.batches():
            ...one step...
            run.record(loss=loss)
        run.end_epoch(test_loss=...)

Without a loader, `for step in run.steps(250)` makes an epoch of 250 steps.
"""

import argparse
import copy
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from minigen import tensor_files
from minigen.autodiff.trace import detect_anomaly
from minigen.backend.devices import cuda_is_available, resolve_device
from minigen.data import DataLoader
from minigen.errors import CheckpointError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.random import Generator
from minigen.tensors import Tensor
from minigen.training import checkpoint
from minigen.training.interrupts import Interrupts
from minigen.training.nonfinite import nonfinite_weight, search
from minigen.training.progress import Progress

FREE_FLAGS = ("out", "resume", "max_seconds", "device")  # --resume lets these change
SAVE_SPACING = 100  # times the time of a save pass before the next one: saving costs 1 %


class Run(Progress):
    """Progress, metrics.jsonl, checkpoints and exact resume of one training run, a context.

    The state of model, optimizer, loader and rng is saved as epochs end, as long as that costs at
    most 1 % of the time; also after the last epoch, at the first Ctrl-C (exit code 130) and after
    --max-seconds. `--resume` goes on bit for bit. It refuses to if the data or a flag has changed
    on which training depends; `free` names more flags that may change, such as "epochs" where no
    schedule depends on them. Several networks come as a ModuleDict, their optimizers as a dict.
    `contents` are data sets or texts, of which the checkpoint keeps a hash.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        *,
        model: Module,
        optimizer: Optimizer | Mapping[str, Optimizer],
        rng: Generator,
        loader: DataLoader | None = None,
        contents: Sequence[np.ndarray | str] = (),
        free: Sequence[str] = (),
    ):
        super().__init__(model, optimizer, rng, loader)
        self.out, self.total, self.max_seconds = Path(args.out), args.epochs, args.max_seconds
        flags = {k: str(v) for k, v in sorted(vars(args).items()) if k not in (*FREE_FLAGS, *free)}
        self.config = {"example": Path(sys.argv[0]).stem, **flags, "contents": _digest(contents)}
        self.device = resolve_device(args.device)
        self.started, self.bar, self.interrupts = time.monotonic(), None, Interrupts(self.say)
        self.saved_position: tuple[int, int] | None = None  # that of the checkpoint on the disk
        self.next_save = 0.0  # the earliest time of it
        self.start_state: Any = None  # of the epoch, unless the checkpoint on the disk has it
        self.in_step, self.nonfinite, self.reported = False, "", ""
        if args.device == "auto" and not cuda_is_available():
            self.say("no GPU in use here: training on the CPU")
        if args.resume:
            self._restore()
        self.out.mkdir(parents=True, exist_ok=True)

    metrics_path = property(lambda self: self.out / "metrics.jsonl")
    checkpoint_path = property(lambda self: self.out / "checkpoint.safetensors")

    # ------------------------------------------------------------------------- the loop

    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs that are left, from 1."""
        while self.epoch < self.total:
            yield self.epoch + 1

    def batches(self) -> Iterator[Any]:
        """The loader's batches that are left in the epoch; may stop the run between two."""
        return self._epoch(lambda: self.loader, len(self.loader))

    def steps(self, n: int) -> Iterator[int]:
        """The numbers, from 0, of the steps left in an epoch of n; for runs without a loader."""
        return self._epoch(lambda: range(self.count, n), n)

    def _epoch(self, items: Callable[[], Iterable], length: int) -> Iterator[Any]:
        """The items that are left; if a recorded number or a weight is not finite, `search`."""
        self.epoch_started = time.monotonic()
        on_disk = self.saved_position == self.position
        self.start_state = None if on_disk else copy.deepcopy(self.state_dict())
        yield from self._steps(items, length)
        if self.nonfinite:
            yield from search(self, lambda **kwargs: self._steps(items, length, **kwargs))

    def _steps(
        self,
        items: Callable[[], Iterable],
        length: int,
        check_weights: bool = False,
        watched: int | None = None,
        last: int | None = None,
    ) -> Iterator[Any]:
        """The items that are left, up to that of step `last`; fewer once a value is not finite.

        check_weights: after every step; watched: the number of the step under detect_anomaly.
        """
        from tqdm import tqdm

        if sys.stderr.isatty():
            label = f"epoch {self.epoch + 1}/{self.total}"
            progress = {"total": length, "initial": self.count, "desc": label}
            self.bar = tqdm(**progress, leave=False)
        for item in items():
            with detect_anomaly() if self.step + 1 == watched else nullcontext():
                self.in_step = True
                yield item
                self.in_step = False
            late = time.monotonic() - self.started > self.max_seconds and last is None
            stops = self.interrupts.requested or late
            if check_weights or stops or self.count + 1 == length:
                self.nonfinite = self.nonfinite or self._nonfinite_weight_at(self.step + 1)
            if self.nonfinite or self.step + 1 == last:
                break
            self.step += 1
            self.count += 1
            if self.bar is not None:
                self.bar.update()
            if stops:
                self._stop()
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def record(self, **values: Any) -> None:
        """Add a step's numbers to the epoch's means, each over the steps that record it.

        NaN or inf stops the run with FloatingPointError, which names the op, when the step ends.
        """
        for name, value in values.items():
            value = float(value.item() if isinstance(value, Tensor) else value)
            if math.isfinite(value):
                total, times = self.sums.get(name, (0.0, 0))
                self.sums[name] = total + value, times + 1
                continue
            self.nonfinite = self.nonfinite or f"{name} is {value} at step {self.step + 1}"
            if not self.in_step:
                raise FloatingPointError(self.nonfinite)

    def end_epoch(self, **values: float) -> dict[str, float]:
        """Close an epoch: means and values to the screen and to metrics.jsonl; a checkpoint."""
        self.epoch += 1
        row = {name: total / times for name, (total, times) in self.sums.items()}
        row |= {name: float(value) for name, value in values.items()}
        self.sums, self.count = {}, 0
        seconds = time.monotonic() - self.epoch_started
        line = {"epoch": self.epoch, "step": self.step, **row, "seconds": round(seconds, 3)}
        self.history.append(line)
        numbers = "  ".join(f"{name} {value:.5g}" for name, value in row.items())
        self.say(f"epoch {self.epoch:>3}/{self.total}  {numbers}  {seconds:.1f} s")
        if self.epoch >= self.total:
            self.save()
        elif time.monotonic() >= self.next_save:
            try:
                self.save()
            except CheckpointError as error:  # a disk that is full now may have room later
                self.say(f"not saved, training goes on: {error}")
        if self.interrupts.requested:  # while the epoch was evaluated
            self._stop()
        return line

    def series(self, name: str) -> list[float]:
        """A number of every epoch so far."""
        return [line[name] for line in self.history]

    # -------------------------------------------------------------- stopping and going on

    def __enter__(self) -> "Run":
        self.interrupts.install()
        return self

    def __exit__(self, kind: Any, error: Any, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        self.interrupts.remove()
        if self.reported and kind is FloatingPointError:
            path = self.checkpoint_path
            kept = f"; the last good state is in {path}" if self.saved_position else ""
            raise FloatingPointError(
                f"{self.reported}: in step {self.step + 1} {error}{kept}"
            ) from error
        if self.interrupts.requested and kind is None:  # after the last epoch: all is saved
            raise SystemExit(130)

    def _stop(self) -> None:
        if self.saved_position != self.position:
            self.save()
        self.say(f"stopped at step {self.step}; --resume goes on from {self.checkpoint_path}")
        raise SystemExit(130 if self.interrupts.requested else 0)

    def save(self) -> None:
        """Write the checkpoint, then metrics.jsonl, each whole or not at all.

        FloatingPointError where a weight is not finite: the checkpoint is of a good state.
        """
        start = time.monotonic()
        if nonfinite := self.nonfinite or self._nonfinite_weight_at(self.step):
            raise FloatingPointError(f"{nonfinite}: this state is not saved")
        checkpoint.save_state(self.checkpoint_path, {"config": self.config, **self.state_dict()})
        self._write_metrics()
        self.saved_position, end = self.position, time.monotonic()
        self.next_save = end + SAVE_SPACING * (end - start)

    def _nonfinite_weight_at(self, step: int) -> str:
        found = nonfinite_weight(self.model)
        return found and f"{found} at step {step}"

    def go_back(self) -> None:
        """Return to the state with which the epoch, or what was left of it, began."""
        self.nonfinite = ""
        self.load_state_dict(self.start_state or checkpoint.load_state(self.checkpoint_path))
        if self.saved_position and self.saved_position != self.position:
            self.save()  # a new run has its first state in memory alone

    def _restore(self) -> None:
        path = self.checkpoint_path
        state = checkpoint.load_state(path)
        saved, own = state.get("config", {}) if isinstance(state, dict) else {}, self.config
        if saved.get("example") != own["example"]:
            raise CheckpointError(f"{path} is of {saved.get('example')}, not of {own['example']}")
        changes = [
            f"{key}: {saved.get(key)} then, {own.get(key)} now"
            for key in sorted(saved.keys() | own.keys())
            if saved.get(key) != own.get(key)
        ]
        if changes:
            raise CheckpointError(f"{path} is of a run with other settings: {'; '.join(changes)}")
        try:
            self.load_state_dict(state)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        self.saved_position = self.position
        self._write_metrics()  # the file may be older, or another run's
        self.say(f"going on from step {self.step}")

    def _write_metrics(self) -> None:
        rows = "".join(json.dumps(row) + "\n" for row in self.history)
        tensor_files.replace_file(self.metrics_path, rows.encode())

    def say(self, line: str) -> None:
        """Print a line, above the progress bar where there is one."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)


def _digest(contents: Sequence[np.ndarray | str]) -> str:
    """The first 16 digits of the SHA-256 of arrays and texts."""
    hasher = hashlib.sha256()
    for part in contents:
        hasher.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).data)
    return hasher.hexdigest()[:16]
