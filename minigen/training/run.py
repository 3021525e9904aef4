"""A training run that can stop and go on. Use:

with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
    for epoch in run.epochs():
        for x, y in run.batches():
            ...one step...
            run.record(loss=loss)
        run.end_epoch(test_loss=...)
"""

import argparse
import copy
import hashlib
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from minigen import checkpoint
from minigen.autodiff.trace import detect_anomaly
from minigen.backend import cuda_is_available, resolve_device
from minigen.data import DataLoader
from minigen.errors import CheckpointError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.random import Generator
from minigen.tensors import Tensor
from minigen.training.progress import Progress

ANYWHERE = ("out", "resume", "max_seconds", "device")  # flags that training does not depend on
PAUSE = 100  # between two saves at least as many times the time that one takes: 1 % in all


class Run(Progress):
    """Progress, metrics.jsonl, checkpoints and exact resume of one training run, a context.

    The state of model, optimizer, loader and rng is saved after an epoch, not so often that it
    costs more than 1 % of the time; and after the last, at the first Ctrl-C (exit code 130) and
    after --max-seconds. `--resume` goes on bit for bit; it refuses to if a flag on which training
    depends or the data has changed. Flags named in free may change: "epochs" where no schedule
    runs over them. Several networks come as a ModuleDict, their optimizers as a dict.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        *,
        model: Module,
        optimizer: Optimizer | Mapping[str, Optimizer],
        loader: DataLoader,
        rng: Generator,
        contents: Sequence[np.ndarray | str] = (),
        free: Sequence[str] = (),
    ):
        super().__init__(model, optimizer, loader, rng)
        self.out, self.total, self.max_seconds = Path(args.out), args.epochs, args.max_seconds
        flags = {k: str(v) for k, v in sorted(vars(args).items()) if k not in (*ANYWHERE, *free)}
        self.config = {"example": Path(sys.argv[0]).stem, **flags, "contents": _digest(contents)}
        self.device = resolve_device(args.device)
        self.started, self.interrupted, self.bar = time.monotonic(), False, None
        self.on_disk: tuple[int, int] | None = None  # the progress that the checkpoint has
        self.next_save = 0.0  # not before this time
        self.good: Any = None  # the state that the epoch goes back to, if the disk has it not
        self.in_step, self.trouble, self.reported = False, "", ""
        if args.device == "auto" and not cuda_is_available():
            self._say("no GPU in use here: training on the CPU")
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
        """The batches of the epoch that are left; stops the run between two where it must.

        Where a recorded number or a weight is not finite, the steps since the last good state are
        taken again, twice: to find the step that begins it, and to watch that step, op by op.
        """
        self.epoch_started = time.monotonic()
        self.good = None if self.on_disk == self.place else copy.deepcopy(self.state_dict())
        yield from self._steps()
        if not self.trouble:
            return
        self._say(f"{self.trouble}; looking for the op that begins it")
        self.reported, last = self.trouble, self.step + 1
        self._go_back()
        yield from self._steps(careful=True, last=last)
        first = self.step + 1
        if self.trouble:
            self._go_back()
            yield from self._steps(watched=first, last=first)
            raise FloatingPointError("every op gave finite values")
        raise FloatingPointError("it did not come again, when all was repeated")

    def _steps(
        self, careful: bool = False, watched: int | None = None, last: int | None = None
    ) -> Iterator[Any]:
        """The batches that are left, up to that of step last; they end early at trouble.

        careful: look at the weights after each step; watched: the step that detects anomalies.
        """
        from tqdm import tqdm

        if sys.stderr.isatty():
            label = f"epoch {self.epoch + 1}/{self.total}"
            progress = {"total": len(self.loader), "initial": self.count, "desc": label}
            self.bar = tqdm(**progress, leave=False)
        for batch in self.loader:
            with detect_anomaly() if self.step + 1 == watched else nullcontext():
                self.in_step = True
                yield batch
                self.in_step = False
            late = time.monotonic() - self.started > self.max_seconds and last is None
            stops = self.interrupted or late
            if careful or stops or self.count + 1 == len(self.loader):
                self.trouble = self.trouble or self._spoilt_at(self.step + 1)
            if self.trouble or self.step + 1 == last:
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
            self.trouble = self.trouble or f"{name} is {value} at step {self.step + 1}"
            if not self.in_step:
                raise FloatingPointError(self.trouble)

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
        self._say(f"epoch {self.epoch:>3}/{self.total}  {numbers}  {seconds:.1f} s")
        if self.epoch >= self.total:
            self.save()
        elif time.monotonic() >= self.next_save:
            try:
                self.save()
            except CheckpointError as error:  # a disk that is full now may have room later
                self._say(f"not saved, training goes on: {error}")
        if self.interrupted:  # while the epoch was evaluated
            self._stop()
        return line

    def series(self, name: str) -> list[float]:
        """A number of every epoch so far."""
        return [line[name] for line in self.history]

    # -------------------------------------------------------------- stopping and going on

    def __enter__(self) -> "Run":
        try:
            self.old_handler = signal.signal(signal.SIGINT, self._interrupt)
        except ValueError:  # not on the main thread: no signals there
            self.old_handler = None
        return self

    def __exit__(self, kind: Any, error: Any, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.old_handler is not None:
            signal.signal(signal.SIGINT, self.old_handler)
        if self.reported and kind is FloatingPointError:
            kept = f"; the last good state is in {self.checkpoint_path}" if self.on_disk else ""
            raise FloatingPointError(
                f"{self.reported}: in step {self.step + 1} {error}{kept}"
            ) from error
        if self.interrupted and kind is None:  # behind the last epoch: all is saved and drawn
            raise SystemExit(130)

    def _interrupt(self, *_: Any) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C stops at once
        with suppress(RuntimeError):  # where it came in the middle of another print
            self._say("interrupted: what runs ends and is saved; Ctrl-C again to stop at once")

    def _stop(self) -> None:
        if self.on_disk != self.place:
            self.save()
        self._say(f"stopped at step {self.step}; --resume goes on from {self.checkpoint_path}")
        raise SystemExit(130 if self.interrupted else 0)

    def save(self) -> None:
        """Write the checkpoint, then metrics.jsonl, each whole or not at all.

        FloatingPointError where a weight is not finite: the checkpoint is of a good state.
        """
        start = time.monotonic()
        if trouble := self.trouble or self._spoilt_at(self.step):
            raise FloatingPointError(f"{trouble}: this state is not saved")
        checkpoint.save_state(self.checkpoint_path, {"config": self.config, **self.state_dict()})
        self._write_metrics()
        self.on_disk, end = self.place, time.monotonic()
        self.next_save = end + PAUSE * (end - start)

    def _spoilt_at(self, step: int) -> str:
        spoilt = self.spoilt_weights()
        return spoilt and f"{spoilt} at step {step}"

    def _go_back(self) -> None:
        """To the state that the epoch, or what was left of it, began with."""
        self.trouble = ""
        self.load_state_dict(self.good or checkpoint.load_state(self.checkpoint_path))
        if self.on_disk and self.on_disk != self.place:  # a new run has it in memory alone
            self.save()

    def _restore(self) -> None:
        path = self.checkpoint_path
        state = checkpoint.load_state(path)
        theirs, mine = state.get("config", {}) if isinstance(state, dict) else {}, self.config
        if theirs.get("example") != mine["example"]:
            raise CheckpointError(f"{path} is of {theirs.get('example')}, not of {mine['example']}")
        changes = [
            f"{key}: {theirs.get(key)} then, {mine.get(key)} now"
            for key in sorted(theirs.keys() | mine.keys())
            if theirs.get(key) != mine.get(key)
        ]
        if changes:
            raise CheckpointError(f"{path} is of a run with other settings: {'; '.join(changes)}")
        try:
            self.load_state_dict(state)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        self.on_disk = self.place
        self._write_metrics()  # a crash may have come before they were written, or another run
        self._say(f"going on from step {self.step}")

    def _write_metrics(self) -> None:
        rows = "".join(json.dumps(row) + "\n" for row in self.history)
        checkpoint.replace_file(self.metrics_path, rows.encode())

    def _say(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)


def _digest(contents: Sequence[np.ndarray | str]) -> str:
    """What tells arrays and texts from others: a part of their SHA-256."""
    hasher = hashlib.sha256()
    for part in contents:
        hasher.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).data)
    return hasher.hexdigest()[:16]
