"""A queue of tasks, parts of matrix products, that threads compute without the interpreter lock.

A `TaskQueue` is a ring buffer in memory that all threads share. Compiled code reads and writes it
with atomic operations, so a product of 0.1 ms is handed over in a microsecond. Through the
interpreter and `pool.run` it would take fifty.

A task is numbered in the order of arrival; number i uses slot i % SLOTS of the buffer:

    free slot --(_enqueue)--> queued --(_claim)--> taken --(_compute)--> done: a free slot again

A worker, a thread of the pool, runs `serve_tasks`:

    looking for tasks   --(claims a task)-->                          computing
    computing           --(the task is done)-->                       looking for tasks
    looking for tasks   --(POLLS times none, or its core is busy)-->  asleep
    asleep              --(a caller that queues tasks wakes it)-->    looking for tasks
    looking or asleep   --(the pool has a job: EVENTS changes)-->     returned to the pool
"""

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.extending import intrinsic

from minigen.kernels.cpu.atomics import add, compare_and_swap, load, sleep, yield_core
from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.gemm import DENSE, Shape, gemm
from minigen.kernels.cpu.packing import Strided
from minigen.kernels.cpu.tiles import element_pointer
from minigen.parallel.bell import ASLEEP, CAN_SLEEP, EVENTS

SLOTS = 256  # tasks that are queued or being computed, at most
# The memory of a queue, as indices of an int64 array. Each of the three counters is in a cache line
# of its own: threads that change one do not slow down those that read another.
QUEUED = 0  # number of tasks that were ever queued
TAKEN = 8  # number of tasks that were ever taken
POLLING = 16  # number of workers that look for tasks now
DONE = 24  # for each slot, 1 + the number of the task that was done in it last
TASKS = DONE + SLOTS  # for each slot, TASK_SIZE integers: a value of type TASK
TASK_SIZE = 16
POLLS = 3000  # times that a worker looks for a task before it sleeps: about a millisecond
BUSY_CORE = 50_000  # cycles: if a yield takes longer, another thread needs this core

MATRIX, PART = types.UniTuple(types.int64, 3), types.UniTuple(types.int64, 5)
# A task in memory: the fields of three Strided matrices, the pointers to the bias and to `gemm`
# for this dtype, the fields of a Shape. Tuples and NamedTuples are alike in memory.
TASK = types.Tuple((MATRIX, MATRIX, MATRIX, types.int64, types.int64, PART))
_strided = types.NamedUniTuple(types.int64, 3, Strided)
_shape = types.NamedUniTuple(types.int64, 5, Shape)
GEMM_ARGUMENTS = _strided, _strided, _strided, types.int64, _shape, types.int64  # and a workspace


class Product(NamedTuple):
    """c = bias + a b, as `gemm` takes it, and its parts.

    a, b and c are plain tuples, not `Strided`: Numba takes them over from Python faster.
    """

    a: tuple[int, int, int]
    b: tuple[int, int, int]
    c: tuple[int, int, int]
    bias: int
    parts: np.ndarray  # (tasks, 5) int64: a Shape for each task


def _task_pointer(context, builder, signature, args):
    """LLVM's pointer to the task that begins at index args[1] of the queue args[0]."""
    pointer = element_pointer(context, builder, signature, args, 0, args[1])
    return builder.bitcast(pointer, context.get_value_type(TASK).as_pointer())


@intrinsic
def _store_task(typing, queue, index, task):
    """Write a tuple of type TASK to queue[index:]."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _task_pointer(context, builder, signature, args), align=8)
        return context.get_dummy_value()

    return types.void(queue, types.int64, TASK), generate


@intrinsic
def _call_gemm(typing, queue, index, workspace):
    """Compute the task at queue[index:]: a call of `gemm` through the pointer that is in the task.

    A call by its name would compile `gemm` again as a part of the caller: a second more.
    """

    def generate(context, builder, signature, args):
        task = builder.load(_task_pointer(context, builder, signature, args), align=8)
        a, b, c, bias, function, shape = (builder.extract_value(task, i) for i in range(6))
        argument_types, convention = (*GEMM_ARGUMENTS, workspace), context.call_conv
        function_type = convention.get_function_type(types.none, argument_types)
        function = builder.inttoptr(function, function_type.as_pointer())
        arguments = a, b, c, bias, shape, ir.IntType(64)(DENSE), args[2]
        status, _ = convention.call_function(
            builder, function, types.none, argument_types, arguments
        )
        with builder.if_then(status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(queue, types.int64, workspace), generate


def gemm_pointer(workspace: np.ndarray) -> int:
    """Compile `gemm` for workspaces of this dtype; the pointer to its machine code."""
    signature = *GEMM_ARGUMENTS, typeof(workspace)
    gemm.compile(signature)
    result = gemm.overloads[signature]
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


@compiled
def _enqueue(queue, function, a, b, c, bias, parts):
    """Queue a task for each row of parts. The slots are free: the caller has made sure of it."""
    first = queue[QUEUED]
    for i in range(len(parts)):
        shape = parts[i, 0], parts[i, 1], parts[i, 2], parts[i, 3], parts[i, 4]
        slot = (first + i) % SLOTS
        _store_task(queue, TASKS + slot * TASK_SIZE, (a, b, c, bias, function, shape))
    add(queue, QUEUED, len(parts))


@compiled(inline="always")
def _claim(queue):
    """Take a queued task for the calling thread: its number, or -1 if there is none."""
    while True:
        i = load(queue, TAKEN)
        if i >= load(queue, QUEUED):
            return -1
        if compare_and_swap(queue, TAKEN, i, i + 1):
            return i


@compiled
def _compute(queue, i, workspace):
    """Compute task number i, and mark it as done."""
    slot = i % SLOTS
    _call_gemm(queue, TASKS + slot * TASK_SIZE, workspace)
    add(queue, DONE + slot, i + 1 - queue[DONE + slot])


@compiled
def _finish(queue, end, wait, workspace):
    """Whether the tasks before number `end` are done.

    With wait, always: the calling thread computes tasks until they are.
    """
    done = max(end - SLOTS, 0)  # earlier tasks are done, or their slots would not have been reused
    while True:
        while done < end and load(queue, DONE + done % SLOTS) > done:
            done += 1
        if done >= end or not wait:
            return done >= end
        i = _claim(queue)
        if i >= 0:
            _compute(queue, i, workspace)
        else:
            yield_core()  # a worker computes the last ones


@compiled
def serve_tasks(urgent, deferred, events, seen, workspace):
    """What a worker does: compute tasks of the urgent queue and, if it has none, of the other.

    It returns when the number of `events`, the state of an EventCount, is no longer `seen`, or
    instead of sleeping where the system has no semaphores. See the states above.
    """
    polls = 0
    add(urgent, POLLING, 1)
    while True:
        queue, i = urgent, _claim(urgent)
        if i < 0:
            queue, i = deferred, _claim(deferred)
        if i >= 0:
            polls = 0
            _compute(queue, i, workspace)
            continue
        is_busy, polls = yield_core() > BUSY_CORE, polls + 1
        if is_busy or polls == POLLS or load(events, EVENTS) != seen:
            add(urgent, POLLING, -1)
            if not events[CAN_SLEEP] or _sleep(urgent, deferred, events, seen):
                return
            add(urgent, POLLING, 1)
            polls = 0


@compiled(inline="always")
def _sleep(urgent, deferred, events, seen):
    """Sleep until one of the queues may have a task; True if there was an event."""
    # The counter is raised before the last look at the queues. A task that is queued after this
    # look comes from a thread that sees a sleeping worker, and wakes it.
    add(events, ASLEEP, 1)
    no_urgent = load(urgent, TAKEN) >= load(urgent, QUEUED)
    no_deferred = load(deferred, TAKEN) >= load(deferred, QUEUED)
    if no_urgent and no_deferred and load(events, EVENTS) == seen:
        sleep(events)
    add(events, ASLEEP, -1)
    return load(events, EVENTS) != seen


class TaskQueue:
    """Tasks of products, taken in the order in which they are queued.

    One thread at a time enqueues and waits; any number of workers take tasks.
    """

    def __init__(self, function: int):
        self.function = function  # pointer to `gemm` for the dtype of this queue
        self.memory = np.zeros(TASKS + SLOTS * TASK_SIZE, np.int64)
        # Tasks hold pointers. So the arrays of a product are kept alive until its last task is
        # done, also after an error or Ctrl-C: (one past the number of this task, the arrays).
        self.unfinished: deque[tuple[int, Any]] = deque()

    def enqueue(self, product: Product, arrays: Any, workspace: np.ndarray) -> None:
        """Queue the tasks of a product of arrays."""
        *operands, parts = product
        for i in range(0, len(parts), SLOTS):
            some, first = parts[i : i + SLOTS], int(self.memory[QUEUED])
            end = first + len(some)
            self._finish(end - SLOTS, True, workspace)  # the tasks whose slots these will use
            self.unfinished.append((end, arrays))
            _enqueue(self.memory, self.function, *operands, some)

    def finish(self, remaining: int, workspace: np.ndarray) -> None:
        """Compute or wait until at most `remaining` products are unfinished.

        References to the arrays of products that are done are dropped.
        """
        while self.unfinished:
            # An interrupted `enqueue` may have registered tasks that it did not queue.
            end = min(self.unfinished[0][0], int(self.memory[QUEUED]))
            if not self._finish(end, len(self.unfinished) > remaining, workspace):
                break
            self.unfinished.popleft()

    def _finish(self, end, wait, workspace):
        """Whether the tasks before number end are done; with wait, they are computed."""
        return end <= 0 or _finish(self.memory, end, wait, workspace)
