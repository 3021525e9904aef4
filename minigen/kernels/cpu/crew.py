"""Threads that take pieces of products by themselves, without the interpreter and its lock.

A thread of the pool that has nothing to do for the interpreter waits here a while, in compiled
code. It finds what there is to do in lines of pieces, each an address and some numbers. So a
product of 0.1 ms is handed over in a microsecond, not fifty, and work that nobody waits for yet
is done while the thread that leads runs Python.
"""

import os
import threading
from array import array
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigen import threads
from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.gemm import ALL, product, space_for
from minigen.kernels.cpu.tiles import RUN, address_of

COLUMNS = 2048  # of a piece at most: so many fit the space that a thread has
LENGTH = 256  # pieces that a line holds, each in the place of that so many before
# What a line counts, each number in a cache line of its own: pieces that were ever put in, and
# taken; threads that look at it. From MADE on it has the number of the last one made in a place.
PUT, TAKEN, WATCHED, MADE = range(0, 32, 8)
PATIENCE = 3000  # times that a thread looks for work before it sleeps: a millisecond, about
CROWDED = 50_000  # cycles: if giving way takes so many, another thread needs this core
PUT_OFF = 3  # products at most that are not made yet: what they are made from takes memory


@intrinsic
def _load(typing, x, i):
    """x[i] as other threads see it now."""

    def generate(context, builder, signature, args):
        place = address_of(context, builder, signature, args, 0, args[1])
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(x, types.int64), generate


@intrinsic
def _add(typing, x, i, amount):
    """x[i] += amount, in one go for all threads."""

    def generate(context, builder, signature, args):
        place = address_of(context, builder, signature, args, 0, args[1])
        builder.atomic_rmw("add", place, args[2], "seq_cst")
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64), generate


@intrinsic
def _swap(typing, x, i, old, new):
    """x[i] = new if it is old, in one go for all threads; whether it was."""

    def generate(context, builder, signature, args):
        place = address_of(context, builder, signature, args, 0, args[1])
        pair = builder.cmpxchg(place, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(x, types.int64, types.int64, types.int64), generate


@intrinsic
def _give_way(typing):
    """Let another thread have this core, if one waits for it; the cycles that this took."""

    def generate(context, builder, signature, args):
        clock = ir.FunctionType(ir.IntType(64), [])
        clock = cgutils.get_or_insert_function(builder.module, clock, "llvm.readcyclecounter")
        start = builder.call(clock, [])
        if hasattr(os, "sched_yield"):
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return builder.sub(builder.call(clock, []), start)

    return types.int64(), generate


@compiled
def _put(line, pieces, a, b, c, level, sides):
    """Put a product into the line, in pieces with these sides; see `gemm.product`."""
    first = line[PUT]
    for i in range(len(sides)):
        piece = pieces[(first + i) % LENGTH]
        piece[0], piece[1], piece[2] = a
        piece[3], piece[4], piece[5] = b
        piece[6], piece[7], piece[8] = c
        piece[9] = level
        for j in range(5):
            piece[10 + j] = sides[i, j]
    _add(line, PUT, len(sides))


@compiled
def _take(line, pieces, space):
    """Make the next piece of the line; whether there was one."""
    while True:
        i = _load(line, TAKEN)
        if i >= _load(line, PUT):
            return False
        if _swap(line, TAKEN, i, i + 1):
            break
    p = pieces[i % LENGTH]
    a, b, c, sides = (p[0], p[1], p[2]), (p[3], p[4], p[5]), (p[6], p[7], p[8]), p[10:15]
    sides = sides[0], sides[1], sides[2], sides[3], sides[4]
    product(a, b, c, p[9], sides, ALL, space)
    made = MADE + i % LENGTH
    _add(line, made, i + 1 - line[made])
    return True


@compiled
def _made(line, pieces, end, wait, space):
    """Whether all pieces before number end are made; if wait, after helping with them."""
    for i in range(max(end - LENGTH, 0), end):
        while _load(line, MADE + i % LENGTH) <= i:
            if not wait:
                return False
            if not _take(line, pieces, space):
                _give_way()
    return True


@compiled
def _serve(now, pieces, later, pieces_for_later, bell, heard, space):
    """Make what there is, until nothing has come for a while, or the bell rings."""
    _add(now, WATCHED, 1)
    idle = 0
    while idle < PATIENCE:
        if _take(now, pieces, space) or _take(later, pieces_for_later, space):
            idle = 0
        elif _load(bell, 0) != heard or _give_way() > CROWDED:
            break
        else:
            idle += 1
    _add(now, WATCHED, -1)


class Line:
    """Pieces of products, taken in the order in which they are put in."""

    def __init__(self):
        self.state = np.zeros(MADE + LENGTH, np.int64), np.zeros((LENGTH, 16), np.int64)
        # Pieces hold addresses: whatever interrupts, arrays are kept until those up to a number
        # are made.
        self.kept: deque[tuple[int, Any]] = deque()

    def put(self, product: tuple, arrays: Any, space: np.ndarray) -> int:
        """Put in a product, given as `_put` takes it; in how many pieces."""
        *given, pieces = product
        for i in range(0, len(pieces), LENGTH):
            some, first = pieces[i : i + LENGTH], int(self.state[0][PUT])
            if first % LENGTH == 0 or first % LENGTH + len(some) > LENGTH:
                self.settle(0, space)  # their places are those of others
            self.kept.append((first + len(some), arrays))
            _put(*self.state, *given, some)
        return len(pieces)

    def settle(self, most: int, space: np.ndarray) -> None:
        """Let arrays go as soon as can be; wait for pieces where those of more than most remain."""
        while self.kept:
            end = min(self.kept[0][0], int(self.state[0][PUT]))
            if not _made(*self.state, end, len(self.kept) > most, space):
                break
            self.kept.popleft()


class Crew:
    """The lines of products of one dtype: those that are waited for, and those that are put off."""

    def __init__(self, dtype: np.dtype):
        self.dtype, self.lead = dtype, threading.Lock()
        self.now, self.later, self.space = Line(), Line(), self._space()

    def _space(self):
        return space_for(self.dtype, RUN, COLUMNS)

    def run(self, products: Sequence[tuple], arrays: Any, meanwhile: Sequence[tuple]) -> bool:
        """Make products, given as `_put` takes them, of arrays; meanwhile call what else there is.

        False, and nothing is done, if another thread leads.
        """
        if not self.lead.acquire(blocking=False):
            return False
        try:
            self._call(sum(self.now.put(product, arrays, self.space) for product in products))
            for function, *args in meanwhile:
                function(*args)
        finally:
            self.now.settle(0, self.space)
            self.lead.release()
        return True

    def put_off(self, product: tuple, arrays: Any) -> bool:
        """Have a product made by the time that `finish` returns; False as above."""
        if not self.lead.acquire(blocking=False):
            return False
        try:
            self._call(1 + self.later.put(product, arrays, self.space))
            self.later.settle(PUT_OFF, self.space)
        finally:
            self.lead.release()
        return True

    def finish(self) -> None:
        """Make what was put off."""
        with self.lead:
            self.later.settle(0, self.space)

    def _call(self, pieces):
        helpers, there = min(threads.get_num_threads(), pieces) - 1, int(self.now.state[0][WATCHED])
        if there < helpers:
            threads.wake(helpers, there, self.serve)

    def serve(self, bell: array, heard: int) -> None:
        """What a thread of the pool does when it has nothing else to do."""
        bell = np.frombuffer(bell, np.int64)
        _serve(*self.now.state, *self.later.state, bell, heard, self._space())


@cache
def crew_for(dtype: np.dtype) -> Crew:
    return Crew(dtype)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew_for.cache_clear)
