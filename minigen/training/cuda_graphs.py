"""A training step recorded once as a CUDA graph, and then replayed with one launch.

A small step is a hundred launches, each of which costs the host more time than the GPU. Replayed,
it costs one. What is replayed is what was done to memory: so batches are copied to where the
recorded ones lay, all results lie where they lay, and the little that the host decides anew each
step, learning rates and step counts and the places in random streams, is read from memory too.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from minigen.autodiff.primitives import raw
from minigen.backend.arrays import Array, cupy, is_cupy
from minigen.backend.devices import capturing, cuda_is_available, pinned, to_device
from minigen.errors import BackendUnavailable
from minigen.optim import Optimizer
from minigen.random import Generator
from minigen.tensors import Tensor

WARM_UP = 3  # steps before: kernels are compiled, moments made, and cuBLAS has its workspace


def capture(step: Callable) -> "Captured":
    """step, a function of a batch that trains (forward, backward, optimizer), as one CUDA graph.

    Call the result as step, with arrays or tensors of the same shapes each time; batches of other
    shapes run eagerly. Nothing in step may need the host to wait (.item(), clip_grad_norm): read
    what it returns, tensors that the next call overwrites, outside. Learning rates may change
    between calls; other settings, networks and whatever else Python decides stay as recorded. An
    index out of range raises IndexError one call late. Where capturing cannot work, steps run
    eagerly, and one warning says why.
    """
    return Captured(step)


class Captured:
    """See `capture`."""

    def __init__(self, step: Callable):
        self.step, self.calls, self.recording = step, 0, None
        self.no_gpu, self.refused = not cuda_is_available(), False
        if self.no_gpu:
            _warn("there is no GPU")

    def __call__(self, *batch: Any) -> Any:
        """One step: eagerly at first, then recorded, then replayed."""
        if self.no_gpu:
            return self.step(*batch)
        if self.recording is None:
            self.recording = Recording(self.step, batch)
        recording = self.recording
        if not recording.fits(batch):
            return self.step(*map(_on_gpu, batch))
        if recording.graph is not None and recording.is_stale():
            recording.graph, self.calls = None, 0
        self.calls += 1
        if self.calls <= WARM_UP or self.refused:
            return recording.run(batch)
        if recording.graph is None:
            try:
                recording.record()
            except Exception as error:  # of CUDA, CuPy or NumPy: whatever cannot be recorded
                self.refused = True
                _warn(f"the step cannot be recorded ({error})")
                return recording.run(batch)
        return recording.replay(batch)


def _warn(reason: str) -> None:
    warnings.warn(f"capture: {reason}; steps run eagerly", RuntimeWarning, stacklevel=4)


class Recording:
    """A step on a stream and in memory of its own, so that nobody else comes to use its arrays.

    While the step is recorded, `devices.capturing` is this object: generators, optimizers, kernels
    that read values of the host and checks of indices tell it what each replay has to do.

    What is written between replays lies elsewhere: memory that an array is given while recording
    is what others had before it, and in a replay they have it again.
    """

    def __init__(self, step: Callable, batch: tuple):
        cuda = cupy().cuda
        self.step, self.graph, self.result = step, None, None
        self.stream, self.pool = cuda.Stream(non_blocking=True), cuda.MemoryPool()
        # CuPy's pools keep what is free even when they go.
        weakref.finalize(self, self.pool.free_all_blocks).atexit = False
        self.lasting = cuda.get_allocator()
        self.kinds = [_kind(x) for x in batch]
        self.inputs = [Upload(raw(x)) for x in batch]

    def fits(self, batch: tuple) -> bool:
        """Whether a batch has the kinds, shapes and dtypes of the first."""
        return [_kind(x) for x in batch] == self.kinds

    def run(self, batch: tuple) -> Any:
        """The step, eagerly, on the stream and in the memory of the recording."""
        with self._own_place():
            self._send(self.inputs, batch)
            return self.step(*self._static())

    def record(self) -> None:
        """Record the step. The host's part of it is done; on the device nothing happens."""
        self.trained, self.draws, self.values, self.faults = {}, {}, [], []
        with self._own_place():
            self.stream.begin_capture()
            token = capturing.set(self)
            try:
                self.result = self.step(*self._static())
                self._check()
                self._gather_faults()
                graph = self.stream.end_capture()
            except BaseException:
                self._undo()
                with suppress(RuntimeError):  # what went wrong first says more
                    self.stream.end_capture()
                raise
            finally:
                capturing.reset(token)
            if self.faults:
                self.seen.fill(False)
        self.graph, self.arrays, self.fresh = graph, self._arrays(), True

    def replay(self, batch: tuple) -> Any:
        """One step: the host's part, unless recording has done it, and the device's."""
        self._raise_fault()
        if not self.fresh:
            for optimizer in self.trained:
                optimizer.advance()
            for draws in self.draws.values():
                draws.advance()
        self.fresh = False
        with self._own_place():
            self._send(self.inputs, batch)
            self._send(self.values, [upload.source for upload in self.values])
            self.graph.launch(self.stream)
            if self.faults:  # a graph cannot hold this copy: CuPy lets none to the host be captured
                self.seen.get(out=self.found, blocking=False)
        return self.result

    def is_stale(self) -> bool:
        """Whether what the graph reads and writes has been replaced, by load_state_dict say."""
        arrays = self._arrays()
        return (
            len(arrays) != len(self.arrays)
            or any(x is not y for x, y in zip(arrays, self.arrays))
            or any(draws.seed != draws.generator.state[0] for draws in self.draws.values())
        )

    # ------------------------------------------------------ what the step tells its recording

    def host_values(self, values: np.ndarray) -> Array:
        """An array of the device that holds, at each replay, what values hold then."""
        with cupy().cuda.using_allocator(self.lasting):
            self.values.append(Upload(values))
        return self.values[-1].there

    def trains(self, optimizer: Optimizer) -> None:
        """optimizer is about to take a step."""
        self.trained[optimizer] = [dict(entries) for entries in optimizer.state]

    def draws_from(self, generator: Generator) -> None:
        """generator is about to draw."""
        if generator.state[0] not in self.draws:
            self.draws[generator.state[0]] = Draws(generator)

    def offset(self, seed: int) -> Array:
        """One int64 on the device: how many words of the stream of seed a replay is further on."""
        draws = self.draws[seed]
        if draws.there is None:
            draws.there = self.host_values(draws.offset)
        return draws.there

    def must_not_be(self, wrong: Array, message: str) -> None:
        """IndexError, at a later call, where an element of wrong is true."""
        self.faults.append((wrong.any(), message))

    # ------------------------------------------------------------------------------ its parts

    @contextmanager
    def _own_place(self) -> Iterator[None]:
        """Its stream, which waits for the current one and is waited for, and its memory."""
        outside = cupy().cuda.get_current_stream()
        self.stream.wait_event(outside.record())
        try:
            with cupy().cuda.using_allocator(self.pool.malloc), self.stream:
                yield
        finally:
            outside.wait_event(self.stream.record())

    def _send(self, uploads: list["Upload"], values: Sequence) -> None:
        for upload, x in zip(uploads, values):
            upload.send(raw(x), self.stream)

    def _static(self) -> list:
        """The inputs of the step: of the kind that it was given, always in the same memory."""
        pairs = zip(self.inputs, self.kinds)
        return [Tensor(x.there) if kind[0] is Tensor else x.there for x, kind in pairs]

    def _arrays(self) -> list:
        """All that the optimizers read and write."""
        return [
            x
            for optimizer in self.trained
            for p, entries in zip(optimizer.params, optimizer.state)
            for x in (p.data, *entries.values())
            if is_cupy(x)
        ]

    def _check(self) -> None:
        """Whether the device does what a training step does, all of it."""
        if not self._arrays():
            raise BackendUnavailable("no optimizer takes a step on the GPU")
        on_device = {id(upload.source) for upload in self.values}
        for optimizer, before in self.trained.items():
            if not all(id(bucket.settings) in on_device for bucket in optimizer.buckets):
                raise BackendUnavailable(f"{type(optimizer).__name__} computes on the host")
            if any(x.keys() != y.keys() for x, y in zip(before, optimizer.state)):
                raise BackendUnavailable("an optimizer takes its first step in it")
        for draws in self.draws.values():
            draws.words = draws.generator.state[1] - draws.start
            if draws.words and draws.there is None:
                raise BackendUnavailable("its random numbers are not drawn on the GPU")

    def _gather_faults(self) -> None:
        """Have replays add to the faults seen: the host may be some replays behind."""
        shape = (max(len(self.faults), 1),)
        with cupy().cuda.using_allocator(self.lasting):
            self.seen, self.found = cupy().empty(shape, bool), pinned(shape, bool)
        self.found[...] = False
        for i, (flag, _) in enumerate(self.faults):
            self.seen[i] |= flag

    def _raise_fault(self) -> None:
        if self.faults and self.found.any():
            message = self.faults[int(self.found.argmax())][1]
            self.stream.synchronize()  # replays under way see the fault, too
            with self._own_place():
                self.seen.fill(False)
            self.found[...] = False
            raise IndexError(f"{message}, in a replay of a captured step before this one")

    def _undo(self) -> None:
        """Take the host's part back."""
        for draws in self.draws.values():
            draws.generator.state = draws.seed, draws.start
        for optimizer, states in self.trained.items():
            optimizer.state = states


class Upload:
    """An array of the device that is filled from the host, by way of pinned memory."""

    def __init__(self, source: Array):
        self.source, self.sent = source, None
        self.there = cupy().empty(source.shape, source.dtype)
        self.here = None if is_cupy(source) else pinned(source.shape, source.dtype)

    def send(self, x: Array, stream: Any) -> None:
        """Copy x there, in the order of the stream, without waiting for it."""
        if is_cupy(x):
            self.there[...] = x
            return
        if self.sent is not None:
            self.sent.synchronize()  # the pinned memory has been read
        self.here[...] = x
        self.there.set(self.here, stream)
        self.sent = stream.record()


class Draws:
    """How far a generator is ahead of where it was recorded."""

    def __init__(self, generator: Generator):
        self.generator, (self.seed, self.start) = generator, generator.state
        self.offset, self.there = np.zeros(1, np.int64), None
        self.words = 0  # that a step draws

    def advance(self) -> None:
        """Another step draws, from where the generator is now."""
        counter = self.generator.state[1]
        self.offset[0] = counter - self.start
        self.generator.state = self.seed, counter + self.words


def _on_gpu(x: Any) -> Any:
    """An array or tensor of the host, on the GPU; else x."""
    if is_cupy(raw(x)):
        return x
    return Tensor(to_device(x.data, "cuda")) if isinstance(x, Tensor) else to_device(x, "cuda")


def _kind(x: Any) -> tuple:
    return type(x) if isinstance(x, Tensor) else Array, x.shape, x.dtype, is_cupy(raw(x))
