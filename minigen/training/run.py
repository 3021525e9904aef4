"""A training run that can stop and go on. Use:

with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
    for epoch in run.epochs():
        for x, y in run.batches():
            ...one step...
            run.record(loss=loss)
        run.end_epoch(test_loss=...)
"""

import argparse
import hashlib
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigen import checkpoint
from minigen.backend import cuda_is_available, resolve_device
from minigen.data import DataLoader
from minigen.errors import CheckpointError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.random import Generator
from minigen.tensors import Tensor

ANYWHERE = ("out", "resume", "max_seconds", "device")  # flags that training does not depend on


class Run:
    """Progress, metrics.jsonl, checkpoints and exact resume of one training run, a context.

    The state of model, optimizer, loader and rng is saved after every epoch, at the first Ctrl-C
    (exit code 130) and after --max-seconds. `--resume` goes on from there, bit for bit; it refuses
    to if a flag has changed on which training depends, or the contents of the data. Flags named in
    free may change: "epochs" where no schedule runs over them. Several networks come as a
    ModuleDict, their optimizers as a dict.
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
        self.model, self.loader, self.rng = model, loader, rng
        self.optimizers = {"optimizer": optimizer}
        if isinstance(optimizer, Mapping):
            self.optimizers = {f"{name}_optimizer": each for name, each in optimizer.items()}
        self.out, self.total, self.max_seconds = Path(args.out), args.epochs, args.max_seconds
        flags = {k: str(v) for k, v in sorted(vars(args).items()) if k not in (*ANYWHERE, *free)}
        self.config = {"example": Path(sys.argv[0]).stem, **flags, "contents": _digest(contents)}
        self.device = resolve_device(args.device)
        self.epoch, self.step, self.sums, self.count = 0, 0, {}, 0
        self.history: list[dict[str, float]] = []
        self.started, self.interrupted, self.saved, self.bar = time.monotonic(), False, False, None
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
        """The batches of the epoch that are left; stops the run between two where it must."""
        from tqdm import tqdm

        self.epoch_started = time.monotonic()
        if sys.stderr.isatty():
            done = self.count
            label = f"epoch {self.epoch + 1}/{self.total}"
            self.bar = tqdm(total=len(self.loader), initial=done, desc=label, leave=False)
        for batch in self.loader:
            yield batch
            self.step += 1
            self.count += 1
            if self.bar is not None:
                self.bar.update()
            if self.interrupted or time.monotonic() - self.started > self.max_seconds:
                self._stop()
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def record(self, **values: Any) -> None:
        """Add a step's numbers to the epoch's means, each over the steps that record it.

        FloatingPointError for NaN or inf.
        """
        for name, value in values.items():
            value = float(value.item() if isinstance(value, Tensor) else value)
            if not math.isfinite(value):
                kept = f"; the last good state is in {self.checkpoint_path}" if self.saved else ""
                raise FloatingPointError(
                    f"{name} is {value} at step {self.step + 1}{kept}. To find the op, run the "
                    "step inside mg.detect_anomaly()"
                )
            total, times = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, times + 1

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
        self.save()
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

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.old_handler is not None:
            signal.signal(signal.SIGINT, self.old_handler)
        if self.interrupted and kind is None:  # behind the last epoch: all is saved and drawn
            raise SystemExit(130)

    def _interrupt(self, *_: Any) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C stops at once
        self._say("interrupted: what runs ends and is saved; Ctrl-C again to stop at once")

    def _stop(self) -> None:
        self.save()
        self._say(f"stopped at step {self.step}; --resume goes on from {self.checkpoint_path}")
        raise SystemExit(130 if self.interrupted else 0)

    def save(self) -> None:
        """Write metrics.jsonl and the checkpoint, each whole or not at all."""
        rows = "".join(json.dumps(row) + "\n" for row in self.history)
        checkpoint.replace_file(self.metrics_path, rows.encode())
        state = {
            "config": self.config,
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums,
            "count": self.count,
            "model": self.model.state_dict(),
            **{name: each.state_dict() for name, each in self.optimizers.items()},
            "loader": self.loader.state,
            "rng": list(self.rng.state),
        }
        checkpoint.save_state(self.checkpoint_path, state)
        self.saved = True

    def _restore(self) -> None:
        state = checkpoint.load_state(self.checkpoint_path)
        theirs, mine = state.get("config", {}), self.config
        if theirs.get("example") != mine["example"]:
            raise CheckpointError(
                f"{self.checkpoint_path} is of {theirs.get('example')}, not of {mine['example']}"
            )
        changes = [
            f"{key}: {theirs.get(key)} then, {mine.get(key)} now"
            for key in sorted(theirs.keys() | mine.keys())
            if theirs.get(key) != mine.get(key)
        ]
        if changes:
            differences = "; ".join(changes)
            raise CheckpointError(
                f"{self.checkpoint_path} is of a run with other settings: {differences}"
            )
        self.model.load_state_dict(state["model"])
        for name, each in self.optimizers.items():
            each.load_state_dict(state[name])
        self.loader.state, self.rng.state = state["loader"], tuple(state["rng"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.sums, self.count = state["sums"], state["count"]
        self.history = self._rows_until(self.epoch)
        self.saved = True
        self._say(f"going on from step {self.step}")

    def _rows_until(self, epoch: int) -> list[dict[str, float]]:
        """The rows of metrics.jsonl up to the checkpoint's epoch, one for each."""
        try:
            lines = self.metrics_path.read_text().splitlines()
            rows = [row for row in map(json.loads, lines) if row["epoch"] <= epoch]
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{self.metrics_path}: cannot be read: {error}") from None
        if len(rows) != epoch:
            raise CheckpointError(
                f"{self.metrics_path} has {len(rows)} rows, and the checkpoint beside it "
                f"{epoch} epochs: they are not of one run"
            )
        return rows

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
