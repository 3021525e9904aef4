"""A training step that is recorded once as a CUDA graph, and then replayed with one launch.

A small step is about a hundred launches, each of which takes longer on the host than on the GPU. A
replay is one launch. It repeats the recorded operations on the same memory: results are in the same
arrays each time, and batches, learning rates, step counts and positions in random streams are
copied to arrays that the graph reads (see replay_inputs).
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from minigen.autodiff.graph import trace_observer
from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, cupy, is_cupy
from minigen.backend.devices import capturing, cuda_is_available, pinned
from minigen.communication.world import current
from minigen.errors import BackendUnavailable
from minigen.optim import Optimizer
from minigen.optim.observing import step_observer
from minigen.random import Generator
from minigen.tensors import Tensor
from minigen.training.replay_inputs import StreamPosition, Upload, on_gpu, signature

# Eager steps before the recording: they compile kernels, create the optimizer's state and the
# workspaces of cuBLAS, none of which can be captured.
WARM_UP = 3


def capture(step: Callable) -> "Captured":
    """step, a function of a batch that trains (forward, backward, optimizer), as one CUDA graph.

    Call the result like step, with arrays or tensors of the same shapes each time; batches of other
    shapes, and steps that are observed, run eagerly. Nothing in step may make the host wait
    (.item(), clip_grad_norm): read the returned tensors, which the next call overwrites, outside of
    step. Learning rates may change between calls; other settings, networks and Python's decisions
    stay as recorded. An index out of range raises IndexError at a later call. Where capturing
    cannot work, steps run eagerly, and one warning says why.

    Of several processes that train in step, all replay or all run eagerly: the graph has the sums
    over ranks by NCCL.
    """
    return Captured(step)


class Captured:
    """The result of `capture`: a step that runs eagerly at first, and is then replayed."""

    def __init__(self, step: Callable):
        self.step, self.calls, self.recording = step, 0, None
        self.no_gpu, self.refused = not cuda_is_available(), False
        if self.no_gpu:
            _warn("there is no GPU")

    def __call__(self, *batch: Any) -> Any:
        """One step: eager in the first WARM_UP calls, then recorded, then replayed."""
        if self.no_gpu:
            return self.step(*batch)
        if self.recording is None:
            self.recording = Recording(self.step, batch)
        recording = self.recording
        if not _all_ranks(recording.fits(batch) and not _is_observed()):
            return self.step(*map(on_gpu, batch))
        if recording.graph is not None and recording.is_stale():
            recording.graph, self.calls = None, 0
        self.calls += 1
        if self.calls <= WARM_UP or self.refused:
            return recording.run(batch)
        if recording.graph is None:
            reason = None
            try:
                recording.record()
            except Exception as error:  # any error of CUDA, CuPy or NumPy means: not recordable
                reason = f"the step cannot be recorded ({error})"
            if not _all_ranks(reason is None):
                self.refused = True
                _warn(reason or "the step cannot be recorded on another rank")
                if reason is None:
                    recording.discard()
                return recording.run(batch)
        return recording.replay(batch)


def _is_observed() -> bool:
    """Whether an observer wants to see ops or steps, which a replay does not show."""
    return trace_observer.get() is not None or step_observer.get() is not None


def _all_ranks(yes: bool) -> bool:
    """Whether yes is true on all ranks that train in step.

    NCCL allows no replay on one of them beside an eager step on another.
    """
    world = current()
    return bool(world.all_reduce(float(yes), "min")) if world.in_step else yes


def _warn(reason: str) -> None:
    """Warn that steps run eagerly, and why; the warning points to the user's code."""
    warnings.warn(f"capture: {reason}; steps run eagerly", RuntimeWarning, stacklevel=4)


class Recording:
    """A captured step, with a CUDA stream and a memory pool that nothing else uses.

    While the step is recorded, `devices.capturing` is this object. Generators, optimizers, kernels
    that read host values, and checks of indices then register with it the work that the host has
    to do at each replay.

    Arrays that are written between replays are not allocated from the pool: its memory is reused
    within a step, so that each replay overwrites it with intermediate results.
    """

    def __init__(self, step: Callable, batch: tuple):
        cuda = cupy().cuda
        self.step, self.graph, self.result = step, None, None
        self.stream, self.pool = cuda.Stream(non_blocking=True), cuda.MemoryPool()
        # CuPy does not free the unused blocks of a pool when the pool is deleted.
        weakref.finalize(self, self.pool.free_all_blocks).atexit = False
        self.outer_allocator = cuda.get_allocator()
        self.signatures = [signature(x) for x in batch]
        self.rows = current().rows  # the graph has the weight of the rows, and draws for them
        self.inputs = [Upload(raw(x)) for x in batch]

    def fits(self, batch: tuple) -> bool:
        """Whether the batch has the types, shapes, dtypes, devices and rows of the first batch."""
        return current().rows == self.rows and [signature(x) for x in batch] == self.signatures

    def run(self, batch: tuple) -> Any:
        """The step, eagerly, on the stream and in the pool of the recording."""
        with self._on_own_stream():
            self._send(self.inputs, batch)
            return self.step(*self._step_arguments())

    def record(self) -> None:
        """Record the step: the host does its part of a step, the device executes nothing."""
        self.optimizers: dict[Optimizer, list] = {}  # their states before the step
        self.positions: dict[int, StreamPosition] = {}  # by the seed of the generator
        self.uploads: list[Upload] = []
        self.checks: list[tuple[Array, str]] = []  # (whether it fails, message)
        with self._on_own_stream():
            self.stream.begin_capture()
            token = capturing.set(self)
            try:
                self.result = self.step(*self._step_arguments())
                self._check_that_device_trains()
                self._record_checks()
                graph = self.stream.end_capture()
            except BaseException:
                self._undo_host_part()
                with suppress(RuntimeError):  # the first error is the one to report
                    self.stream.end_capture()
                raise
            finally:
                capturing.reset(token)
            if self.checks:
                self.failed_on_device.fill(False)
        self.graph, self.arrays, self.host_part_done = graph, self._optimizer_arrays(), True

    def replay(self, batch: tuple) -> Any:
        """One step: the host's part, unless recording has just done it, and the graph."""
        self._raise_failed_check()
        if not self.host_part_done:
            for optimizer in self.optimizers:
                optimizer.advance()
            for position in self.positions.values():
                position.advance()
        self.host_part_done = False
        with self._on_own_stream():
            self._send(self.inputs, batch)
            self._send(self.uploads, [upload.source for upload in self.uploads])
            self.graph.launch(self.stream)
            if self.checks:  # not in the graph: CuPy refuses to capture copies to the host
                self.failed_on_device.get(out=self.failed, blocking=False)
        return self.result

    def is_stale(self) -> bool:
        """Whether arrays or seeds of the graph were replaced since, as load_state_dict does."""
        arrays = self._optimizer_arrays()
        return (
            len(arrays) != len(self.arrays)
            or any(x is not y for x, y in zip(arrays, self.arrays))
            or any(p.seed != p.generator.state[0] for p in self.positions.values())
        )

    # ------------------------------------- called through `devices.capturing` while recording

    def register_optimizer(self, optimizer: Optimizer) -> None:
        """Called before the optimizer takes a step."""
        self.optimizers[optimizer] = [dict(entries) for entries in optimizer.state]

    def register_generator(self, generator: Generator) -> None:
        """Called before the generator draws."""
        if generator.state[0] not in self.positions:
            self.positions[generator.state[0]] = StreamPosition(generator)

    def upload_at_replays(self, values: np.ndarray) -> Array:
        """A device array into which each replay copies the current contents of values."""
        with cupy().cuda.using_allocator(self.outer_allocator):
            self.uploads.append(Upload(values))
        return self.uploads[-1].on_device

    def stream_offset(self, seed: int) -> Array:
        """A device array of one int64: how far the stream of seed is past its recorded state."""
        position = self.positions[seed]
        if position.device_offset is None:
            position.device_offset = self.upload_at_replays(position.offset)
        return position.device_offset

    def raise_if_any(self, wrong: Array, message: str) -> None:
        """Raise IndexError, at a later call, if an element of wrong is true in a replay."""
        self.checks.append((wrong.any(), message))

    # ------------------------------------------------------------------------- inner workings

    @contextmanager
    def _on_own_stream(self) -> Iterator[None]:
        """Use the stream and the pool; the current stream and this one wait for each other."""
        outer = cupy().cuda.get_current_stream()
        self.stream.wait_event(outer.record())
        try:
            with cupy().cuda.using_allocator(self.pool.malloc), self.stream:
                yield
        finally:
            outer.wait_event(self.stream.record())

    def _send(self, uploads: list[Upload], values: Sequence) -> None:
        """Copy each value to the device array of its upload."""
        for upload, x in zip(uploads, values):
            upload.send(raw(x), self.stream)

    def _step_arguments(self) -> list:
        """The arguments of the step: tensors or arrays as in the first batch, in fixed memory."""
        return [
            Tensor(upload.on_device) if of_tensor else upload.on_device
            for upload, (of_tensor, *_) in zip(self.inputs, self.signatures)
        ]

    def _optimizer_arrays(self) -> list:
        """The device arrays that the optimizers read and write: parameters and states."""
        return [
            x
            for optimizer in self.optimizers
            for p, entries in zip(optimizer.params, optimizer.state)
            for x in (p.data, *entries.values())
            if is_cupy(x)
        ]

    def _check_that_device_trains(self) -> None:
        """BackendUnavailable if a part of the step ran on the host, where no replay repeats it."""
        if not self._optimizer_arrays():
            raise BackendUnavailable("no optimizer takes a step on the GPU")
        uploaded = {id(upload.source) for upload in self.uploads}
        for optimizer, states in self.optimizers.items():
            if not all(id(bucket.settings) in uploaded for bucket in optimizer.buckets):
                raise BackendUnavailable(f"{type(optimizer).__name__} computes on the host")
            if any(x.keys() != y.keys() for x, y in zip(states, optimizer.state)):
                raise BackendUnavailable("an optimizer takes its first step in it")
        for position in self.positions.values():
            position.words_per_step = position.generator.state[1] - position.start
            if position.words_per_step and position.device_offset is None:
                raise BackendUnavailable("its random numbers are not drawn on the GPU")

    def _record_checks(self) -> None:
        """Record operations that collect failed checks, for the host to read at a later call."""
        shape = (max(len(self.checks), 1),)
        with cupy().cuda.using_allocator(self.outer_allocator):
            self.failed_on_device, self.failed = cupy().empty(shape, bool), pinned(shape, bool)
        self.failed[...] = False
        for i, (flag, _) in enumerate(self.checks):
            self.failed_on_device[i] |= flag

    def _raise_failed_check(self) -> None:
        """IndexError if a check of an earlier replay has failed; the failure is then cleared."""
        if self.checks and self.failed.any():
            message = self.checks[int(self.failed.argmax())][1]
            self.stream.synchronize()  # replays that still run may fail the check, too
            with self._on_own_stream():
                self.failed_on_device.fill(False)
            self.failed[...] = False
            raise IndexError(f"{message}, in a replay of a captured step before this one")

    def discard(self) -> None:
        """Forget the graph that was recorded, and the host's part of a step with it."""
        self.graph = None
        self._undo_host_part()

    def _undo_host_part(self) -> None:
        """Restore generators and optimizers to their states before the recording."""
        for position in self.positions.values():
            position.generator.state = position.seed, position.start
        for optimizer, states in self.optimizers.items():
            optimizer.state = states
