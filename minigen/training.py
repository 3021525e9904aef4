"""What the examples share: their flags, their data, and a run that can stop and go on. Use:

with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
    for epoch in run.epochs():
        for x, y in run.batches():
            ...one step...
            run.record(loss=loss)
        run.end_epoch(test_loss=...)
"""

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigen import checkpoint, data
from minigen.backend import cuda_is_available, resolve_device
from minigen.errors import BackendUnavailable, CheckpointError, DatasetError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.random import Generator
from minigen.tensors import Tensor

IMAGE_DATA = "glyphs (no files needed), mnist, fashion_mnist or a folder with IDX files"


def argument_parser(
    doc: str, *, out: str, epochs: int, data: str = "glyphs", kinds: str = IMAGE_DATA
):
    """A parser with the flags that every example has; add the example's own to it.

    kinds says what --data takes.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=data, help=f"{kinds}; default {data}")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default auto")
    parser.add_argument("--seed", type=int, default=0, help="of everything random; default 0")
    parser.add_argument("--epochs", type=count, default=epochs, help=f"default {epochs}")
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder; default {out}")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--max-seconds", type=float, default=math.inf, help="save and stop then")
    return parser


def count(text: str) -> int:
    """The type of a flag that is a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def run_example(main: Callable[[], None]) -> None:
    """Call main; what the user can mend ends it with one sentence instead of a traceback."""
    try:
        main()
    except (BackendUnavailable, CheckpointError, DatasetError, FloatingPointError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None


def image_data(name: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    """(train_x, train_y, test_x, test_y) of --data: uint8 (N, 28, 28) and int64 (N,)."""
    if name == "glyphs":
        images, labels = data.glyphs(12_000, seed)
        return images[:10_000], labels[:10_000], images[10_000:], labels[10_000:]
    if name in ("mnist", "fashion_mnist"):
        return data.mnist() if name == "mnist" else data.fashion_mnist()
    return data.mnist(name, download=False)


class Run:
    """Progress, metrics.jsonl, checkpoints and exact resume of one training run, a context.

    The state of model, optimizer, loader and rng is saved after every epoch, at the first Ctrl-C
    (exit code 130) and after --max-seconds. `--resume` goes on from there, bit for bit, if no
    setting has changed but those named in free, which the training does not depend on. Several
    networks come as a ModuleDict, their optimizers as a dict.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        *,
        model: Module,
        optimizer: Optimizer | Mapping[str, Optimizer],
        loader: data.DataLoader,
        rng: Generator,
        free: Sequence[str] = (),
    ):
        self.model, self.loader, self.rng = model, loader, rng
        self.optimizers = {"optimizer": optimizer}
        if isinstance(optimizer, Mapping):
            self.optimizers = {f"{name}_optimizer": each for name, each in optimizer.items()}
        self.out, self.total, self.max_seconds = Path(args.out), args.epochs, args.max_seconds
        self.config = {
            key: str(value)
            for key, value in sorted(vars(args).items())
            if key not in ("out", "resume", "max_seconds", "epochs", "device", *free)
        }
        self.device = resolve_device(args.device)
        self.epoch, self.step, self.sums, self.count = 0, 0, {}, 0
        self.history: list[dict[str, float]] = []
        self.started, self.interrupted, self.bar = time.monotonic(), False, None
        self.out.mkdir(parents=True, exist_ok=True)
        if args.device == "auto" and not cuda_is_available():
            self._say("no GPU in use here: training on the CPU")
        if args.resume:
            self._restore()
        else:
            self.metrics_path.write_text("")

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
                raise FloatingPointError(
                    f"{name} is {value} at step {self.step + 1}; the last good state is in "
                    f"{self.checkpoint_path}. A lower learning rate may help; to find the op, "
                    "run the step inside mg.detect_anomaly()"
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
        with open(self.metrics_path, "a") as file:
            file.write(json.dumps(line) + "\n")
        self.history.append(line)
        numbers = "  ".join(f"{name} {value:.5g}" for name, value in row.items())
        self._say(f"epoch {self.epoch:>3}/{self.total}  {numbers}  {seconds:.1f} s")
        self.save()
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

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.old_handler is not None:
            signal.signal(signal.SIGINT, self.old_handler)

    def _interrupt(self, *_: Any) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C stops at once
        self._say("interrupted: the step ends and is saved; Ctrl-C again to stop at once")

    def _stop(self) -> None:
        self.save()
        self._say(f"stopped at step {self.step}; --resume goes on from {self.checkpoint_path}")
        raise SystemExit(130 if self.interrupted else 0)

    def save(self) -> None:
        """Write the checkpoint."""
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

    def _restore(self) -> None:
        state = checkpoint.load_state(self.checkpoint_path)
        theirs = state.get("config", {})
        mine = self.config
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
        lines = self.metrics_path.read_text().splitlines() if self.metrics_path.exists() else []
        self.history = [row for row in map(json.loads, lines) if row["step"] <= self.step]
        kept = "".join(json.dumps(row) + "\n" for row in self.history)
        temporary = self.metrics_path.with_suffix(".new")
        temporary.write_text(kept)
        os.replace(temporary, self.metrics_path)
        self._say(f"going on from step {self.step}")

    def _say(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)
