"""A training run that can stop and resume. Use:

with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
    for epoch in run.epochs():
        for x, y in run.batches():
            ...one step...
            run.record(loss=loss)
        run.end_epoch(test_loss=...)

Without a loader, `for step in run.steps(250)` is an epoch of 250 steps.
"""

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from minigen import console, tensor_files
from minigen.autodiff.trace import detect_anomaly
from minigen.backend.devices import cuda_is_available, resolve_device
from minigen.communication.agreement import refuse_differences
from minigen.communication.faults import PATIENCE
from minigen.communication.world import current
from minigen.data import DataLoader
from minigen.errors import CheckpointError
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.optim.observing import folder_for
from minigen.random import Generator
from minigen.tensors import Tensor
from minigen.training import checkpoint
from minigen.training.interrupts import Interrupts
from minigen.training.nonfinite import search
from minigen.training.ranks import (
    Agreement,
    after_parts,
    end_if_asked,
    sums_of_ranks,
    synchronize,
)
from minigen.training.results import described
from minigen.training.saving import Saving
from minigen.training.watched_steps import WatchedSteps

CHANGEABLE_FLAGS = (  # may differ when a run is resumed
    *("out", "resume", "overwrite", "sample", "new_seed", "max_seconds", "device", "watch"),
    "patience",
)
NEWER_FLAGS = ("local_steps", "staleness")


class Run(Saving):
    """A context manager for one training run: progress, metrics.jsonl, checkpoints, exact resume.

    The state of model, optimizer, loader and rng is saved at the end of epochs (rarely enough that
    it takes 1 % of the time), after the last epoch, at the first Ctrl-C (exit code 130) and after
    --max-seconds. --resume continues bit for bit; it raises CheckpointError if a flag or the data
    has changed. `free` names flags that may change, such as "epochs" if no schedule depends on it.
    Several networks are a ModuleDict and a dict of optimizers. `contents` are the data sets or
    texts; their hash is stored to recognise them. `settings` are the arguments of the model, for
    `load_run` (see `results.described`); `kept` are arrays and texts that drawing needs. A new run
    in the folder of another raises CheckpointError, except with --overwrite.
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
        settings: Mapping[str, Any] | None = None,
        kept: Mapping[str, np.ndarray | str] | None = None,
    ):
        super().__init__(model, optimizer, rng, loader)
        self.world, self.busy = current(), ExitStack()
        self.world.set_patience(getattr(args, "patience", PATIENCE))
        self.agreement = Agreement(self.world)
        self.description, self.kept = described(model, settings), dict(kept or {})
        self.out = folder_for(tensor_files.home_path(args.out), args.resume)
        self.max_seconds, self.total_epochs = args.max_seconds, args.epochs
        changeable = {*CHANGEABLE_FLAGS, *free}
        flags = {k: str(v) for k, v in sorted(vars(args).items()) if k not in changeable}
        for name in NEWER_FLAGS:  # which checkpoints of earlier releases lack
            if flags.get(name) == "None":
                del flags[name]
        self.config = {
            "example": Path(sys.argv[0]).stem,
            **flags,
            "contents": checkpoint.digest(contents),
        }
        facts = {"the digest of the data": self.config["contents"], "the random state": rng.state}
        refuse_differences(self.world, facts, "start all ranks with the same data, script and seed")
        self.device = resolve_device(args.device)
        self.started, self.bar, self.interrupts = time.monotonic(), None, Interrupts(self.say)
        self.start_state: Any = None  # at the first step of the epoch; None: the checkpoint has it
        self.in_step = False  # the body of the loop over steps is running
        self.nonfinite = ""  # a sentence about the first number or weight that was not finite
        self.failure = ""  # the same, once `search` looks for its cause
        sample = getattr(args, "sample", False)  # args may be made without `argument_parser`
        if sample:
            self.new_seed, self.total_epochs = args.new_seed, 0  # no training
        elif args.device == "auto" and not cuda_is_available():
            self.say("no GPU in use here: training on the CPU")
        is_watched = getattr(args, "watch", False) and not sample and self.leads
        self.watched = WatchedSteps(self, is_watched)
        if args.resume or sample:
            self._restore(args)
        self._prepare_folder(
            is_new=not (args.resume or sample or getattr(args, "overwrite", False)),
            trains=self.epoch < self.total_epochs,
        )

    # ------------------------------------------------------------------------- the loop

    def epochs(self) -> Iterator[int]:
        """The numbers of the remaining epochs; the first epoch of a run is 1."""
        while self.epoch < self.total_epochs:
            yield self.epoch + 1

    def batches(self) -> Iterator[Any]:
        """The remaining batches of the epoch; the run may stop between two (SystemExit)."""
        items = lambda: ((self.loader.batches_given - 1, batch) for batch in self.loader)
        return self._epoch(items, len(self.loader))

    def steps(self, n: int) -> Iterator[int]:
        """The numbers of the remaining steps of an epoch of n, counted from 0; without a loader."""
        items = lambda: ((i, i) for i, _ in self.world.parts(self.epoch_step, n))
        return self._epoch(items, n)

    def _epoch(self, items: Callable[[], Iterable], length: int) -> Iterator[Any]:
        """The remaining items; if a number or a weight is not finite, then those of `search`."""
        self.epoch_started = time.monotonic()
        self.busy.close()
        on_disk = self.saved_position == self.position
        self.start_state = None if on_disk else copy.deepcopy(self.state_dict())
        yield from self._steps(items, length)
        if self.nonfinite:
            yield from search(self, lambda **kwargs: self._steps(items, length, **kwargs))
        synchronize(self)
        self.busy.enter_context(self.world.busy("evaluating"))  # until end_epoch

    def _steps(
        self,
        items: Callable[[], Iterable],
        length: int,
        check_weights: bool = False,
        watched: int | None = None,
        last: int | None = None,
    ) -> Iterator[Any]:
        """The remaining items, until step `last` or until a value is not finite.

        check_weights: check them after every step, not only at the end of the epoch. watched: the
        number of the step that runs under detect_anomaly.
        """
        from tqdm import tqdm

        if self.leads and console.is_terminal(sys.stderr):
            label = f"epoch {self.epoch + 1}/{self.total_epochs}"
            self.bar = tqdm(total=length, initial=self.epoch_step, desc=label, leave=False)
        for i, item in items():
            self.move_to(i)
            anomaly = detect_anomaly() if self.step + 1 == watched else nullcontext()
            with anomaly, self.watched.step(self.step + 1, repeated=last is not None):
                self.in_step = True
                yield item
                self.in_step = False
            self.world.rows = None
            self.world.progress()
            late = time.monotonic() - self.started > self.max_seconds and last is None
            if self.world.handing_out is not None:
                end_if_asked(self, late)
                continue
            is_last = check_weights or last is not None or self.epoch_step + 1 == length
            wishes = self.interrupts.requested, late, bool(self.nonfinite)
            requested, late, fails = self.agreement.exchange(wishes, now=is_last)
            self.interrupts.requested |= requested
            if check_weights or requested or late or self.epoch_step + 1 == length:
                self.nonfinite = self.nonfinite or self._nonfinite_weight_at(self.step + 1)
                fails = True  # perhaps: then on all ranks
            if fails:
                self.nonfinite = self.agreement.first_sentence(self.nonfinite)
            if (fails and self.nonfinite) or self.step + 1 == last:
                break
            self.step += 1
            self.epoch_step += 1
            if self.bar is not None:
                self.bar.update()
            if requested or late:
                self.stop()
        if self.world.handing_out is not None:
            after_parts(self)
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def move_to(self, i: int) -> None:
        """Begin step i of the epoch; other ranks may have taken those that were left out."""
        self.step += i - self.epoch_step
        self.epoch_step = i

    def record(self, **values: Any) -> None:
        """Add numbers of this step to the epoch's means; a mean is over the steps that record it.

        A NaN or infinity ends the run after this step with FloatingPointError, which names the op.
        """
        rows = self.world.rows
        weight = 1 if self.world.size == 1 else rows.weight if rows else 1 / self.world.size
        for name, value in values.items():
            value = float(value.item() if isinstance(value, Tensor) else value)
            if math.isfinite(value):
                total, n = self.sums.get(name, (0.0, 0))
                self.sums[name] = total + weight * value, n + weight
                continue
            self.nonfinite = self.nonfinite or f"{name} is {value} at step {self.step + 1}"
            if not self.in_step:
                raise FloatingPointError(self.nonfinite)

    def end_epoch(self, **values: float) -> dict[str, float]:
        """End an epoch: print its means and `values`, and save unless the last save was recent.

        Returns the row of the history.
        """
        self.epoch += 1
        seconds = time.monotonic() - self.epoch_started
        own = {name: float(value) for name, value in values.items()}
        due = time.monotonic() >= self.next_save
        shared = self.world.gather([self.sums, own, self.interrupts.requested, due, seconds])
        self.busy.close()
        _, own, _, due, seconds = shared[0]  # evaluated, and timed, on rank 0
        stops = any(requested for _, _, requested, *_ in shared)
        self.interrupts.requested |= stops
        row = {k: total / n for k, (total, n) in sums_of_ranks([x[0] for x in shared]).items()}
        row |= own
        self.sums, self.epoch_step = {}, 0
        line = {"epoch": self.epoch, "step": self.step, **row, "seconds": round(seconds, 3)}
        self.history.append(line)
        numbers = "  ".join(f"{name} {value:.5g}" for name, value in row.items())
        self.say(f"epoch {self.epoch:>3}/{self.total_epochs}  {numbers}  {seconds:.1f} s")
        if self.epoch >= self.total_epochs:
            self.save()
        elif due:
            try:
                self.save()
            except CheckpointError as error:  # a full disk may have room at the next save
                self.say(f"not saved, training goes on: {error}")
        # Ctrl-C since the last step. Of several ranks some may have got it after the exchange: they
        # all stop after the next step.
        if stops or (self.interrupts.requested and self.world.size == 1):
            self.stop()
        return line

    # ------------------------------------------------------------- stopping and resuming

    def __enter__(self) -> "Run":
        self.interrupts.install()
        return self

    def __exit__(self, error_class: Any, error: Any, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        self.interrupts.remove()
        self.watched.close()
        if self.failure and error_class is FloatingPointError:
            path = self.checkpoint_path
            kept = f"; the last good state is in {path}" if self.saved_position else ""
            raise FloatingPointError(
                f"{self.failure}: in step {self.step + 1} {error}{kept}"
            ) from error
        if self.interrupts.requested and error_class is None:  # after the last epoch; it is saved
            raise SystemExit(130)

    def stop(self) -> None:
        """Save, and end the process."""
        if self.saved_position != self.position:
            self.save()
        self.say(f"stopped at step {self.step}; --resume goes on from {self.checkpoint_path}")
        raise SystemExit(130 if self.interrupts.requested else 0)

    def say(self, line: str) -> None:
        """Print a line, above the progress bar where there is one."""
        if not self.leads:
            return
        if self.bar is not None:
            with self.bar.external_write_mode(sys.stdout):
                console.say(line)
        else:
            console.say(line)
