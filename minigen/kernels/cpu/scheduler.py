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
from numba import typeof, types
from numba.extending import intrinsic

from minigen.kernels.cpu.atomics import add, give_way, load, sleep, swap
from minigen.kernels.cpu.compiling import compiled
from minigen.kernels.cpu.gemm import ALL, product, space_for
from minigen.kernels.cpu.tiles import RUN, address_of
from minigen.parallel import pool
from minigen.parallel.bell import ASLEEP, CAN_SLEEP, RUNG, SEMAPHORE

COLUMNS = 2048  # of a piece at most: so many fit the space that a thread has
LENGTH = 256  # pieces that a line holds, each in the place of that so many before
# What a line counts, the first three in cache lines of their own: pieces that were ever put in, and
# taken; threads that look at it. From MADE on it has, for each place, the number of the last piece
# made there, and one; behind that are the pieces, of SIZE numbers each.
PUT, TAKEN, WATCHED, MADE = range(0, 32, 8)
PIECES, SIZE = MADE + LENGTH, 16
PATIENCE = 3000  # times that a thread looks for work before it sleeps: a millisecond, about
CROWDED = 50_000  # cycles: if giving way takes so many, another thread needs this core
PLACE, SIDES = types.UniTuple(types.int64, 3), types.UniTuple(types.int64, 5)
PRODUCT = PLACE, PLACE, PLACE, types.int64, SIDES, types.int64
# A product as it lies in a line: `known` is left out, and the address of a function comes in.
PIECE = types.Tuple((PLACE, PLACE, PLACE, types.int64, types.int64, SIDES))
NO_BELL = np.zeros(SEMAPHORE + 8, np.int64)
PUT_OFF = 3  # products at most that are not made yet: what they are made from takes memory


def _memory(context, builder, signature, args):
    """Where the piece is that begins at place args[1] of a line, args[0]."""
    place = address_of(context, builder, signature, args, 0, args[1])
    return builder.bitcast(place, context.get_value_type(PIECE).as_pointer())


@intrinsic
def _write(typing, line, at, piece):
    """Write a piece into a line, as it lies in memory."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _memory(context, builder, signature, args), align=8)
        return context.get_dummy_value()

    return types.void(line, types.int64, PIECE), generate


@intrinsic
def _make(typing, line, at, space):
    """Make a piece of a line: its function is called as `gemm.product` is.

    By its name it would be compiled once more, for the caller: a second.
    """

    def generate(context, builder, signature, args):
        piece = builder.load(_memory(context, builder, signature, args), align=8)
        a, b, c, level, function, sides = (builder.extract_value(piece, i) for i in range(6))
        kinds, calls = (*PRODUCT, space), context.call_conv
        kind = calls.get_function_type(types.none, kinds)
        function = builder.inttoptr(function, kind.as_pointer())
        given = a, b, c, level, sides, ir.IntType(64)(ALL), args[2]
        status, _ = calls.call_function(builder, function, types.none, kinds, given)
        with builder.if_then(status.is_error):
            calls.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(line, types.int64, space), generate


def _address_of_product(space):
    """Where `gemm.product` for such a space is, compiled."""
    kinds = *PRODUCT, typeof(space)
    product.compile(kinds)
    result = product.overloads[kinds]
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


@compiled
def _put(line, function, a, b, c, level, sides):
    """Put a product into the line, in pieces with these sides; see `gemm.product`, the function."""
    first = line[PUT]
    for i in range(len(sides)):
        some = sides[i, 0], sides[i, 1], sides[i, 2], sides[i, 3], sides[i, 4]
        at = PIECES + (first + i) % LENGTH * SIZE
        _write(line, at, (a, b, c, level, function, some))
    add(line, PUT, len(sides))


@compiled(inline="always")
def _next(line):
    """The number of a piece that is now the caller's to make; -1 if there is none."""
    while True:
        i = load(line, TAKEN)
        if i >= load(line, PUT):
            return -1
        if swap(line, TAKEN, i, i + 1):
            return i


@compiled(inline="always")
def _heard_or_slept(first, second, bell, heard):
    """Sleep until there may be pieces in two lines; True if the bell has rung."""
    add(bell, ASLEEP, 1)  # before the looks: what comes after them wakes this thread
    nothing = load(first, TAKEN) >= load(first, PUT) and load(second, TAKEN) >= load(second, PUT)
    if nothing and load(bell, RUNG) == heard:
        sleep(bell)
    add(bell, ASLEEP, -1)
    return load(bell, RUNG) != heard


@compiled
def _work(first, second, end, wait, bell, heard, space):
    """Make pieces of two lines, and those of the second where the first has none.

    With an end, until the pieces of the first before that number are made: True; or, if not wait,
    not at all: whether they are. With end -1, until the bell rings: a while in which nothing comes
    is slept through, or, where there is nothing to sleep at, is the end.
    """
    known, idle = max(end - LENGTH, 0), 0
    if end < 0:
        add(first, WATCHED, 1)
    while True:
        while known < end and load(first, MADE + known % LENGTH) > known:
            known += 1
        if known >= end >= 0 or not wait:
            return known >= end
        line, i = first, _next(first)
        if i < 0 and end < 0:
            line, i = second, _next(second)
        if i < 0:
            crowded, idle = give_way() > CROWDED, idle + 1
            if end < 0 and (crowded or idle == PATIENCE or load(bell, RUNG) != heard):
                add(first, WATCHED, -1)
                if not bell[CAN_SLEEP] or _heard_or_slept(first, second, bell, heard):
                    return False
                add(first, WATCHED, 1)
                idle = 0
            continue
        idle, made = 0, MADE + i % LENGTH
        _make(line, PIECES + i % LENGTH * SIZE, space)
        add(line, made, i + 1 - line[made])


class Line:
    """Pieces of products, taken in the order in which they are put in."""

    def __init__(self, function: int):
        self.function = function  # which makes a piece
        self.state = np.zeros(PIECES + LENGTH * SIZE, np.int64)
        # Pieces hold addresses: whatever interrupts, arrays are kept until those up to a number
        # are made.
        self.kept: deque[tuple[int, Any]] = deque()

    def put(self, product: tuple, arrays: Any, space: np.ndarray) -> None:
        """Put in a product, given as `_put` takes it."""
        *given, pieces = product
        for i in range(0, len(pieces), LENGTH):
            some, first = pieces[i : i + LENGTH], int(self.state[PUT])
            end = first + len(some)
            self._made(end - LENGTH, True, space)  # those in whose places these come
            self.kept.append((end, arrays))
            _put(self.state, self.function, *given, some)

    def settle(self, most: int, space: np.ndarray) -> None:
        """Let arrays go as soon as can be; wait for pieces where those of more than most remain."""
        while self.kept:
            end = min(self.kept[0][0], int(self.state[PUT]))
            if not self._made(end, len(self.kept) > most, space):
                break
            self.kept.popleft()

    def _made(self, end, wait, space):
        """Whether the pieces before number end are made."""
        return end <= 0 or _work(self.state, self.state, end, wait, NO_BELL, 0, space)


class Crew:
    """The lines of products of one dtype: those that are waited for, and those that are put off."""

    def __init__(self, dtype: np.dtype, helpers: bool = True):
        self.dtype, self.helpers, self.lead = dtype, helpers, threading.Lock()
        self.process = os.getpid()
        self.space = self._space()
        function = _address_of_product(self.space)
        self.now, self.later = Line(function), Line(function)

    def _space(self):
        return space_for(self.dtype, RUN, COLUMNS)

    def run(self, products: Sequence[tuple], arrays: Any, meanwhile: Sequence[tuple]) -> bool:
        """Make products, given as `_put` takes them, of arrays; meanwhile call what else there is.

        False, and nothing is done, if another thread leads.
        """
        if self.lead.locked():
            return False
        with self.lead:
            helpers = self._summon(sum(len(pieces) for *_, pieces in products))
            try:
                for product in products:
                    self.now.put(product, arrays, self.space)
                pool.rouse(helpers)
                for function, *args in meanwhile:
                    function(*args)
            finally:
                self.now.settle(0, self.space)
        return True

    def put_off(self, product: tuple, arrays: Any) -> bool:
        """Have a product made by the time that `finish` returns; False as above."""
        if self.lead.locked():
            return False
        with self.lead:
            helpers = self._summon(1 + len(product[-1]))
            self.later.put(product, arrays, self.space)
            pool.rouse(helpers)
            self.later.settle(PUT_OFF, self.space)
        return True

    def finish(self) -> None:
        """Make what was put off."""
        if os.getpid() != self.process:
            raise RuntimeError(
                "a derivative rule has forked: its child has lost other threads' work"
            )
        with self.lead:
            self.later.settle(0, self.space)

    def _summon(self, pieces):
        """Have threads look for so many pieces, that will be put in; how many threads."""
        helpers = min(pool.get_num_threads(), pieces) - 1 if self.helpers else 0
        if helpers:  # also where all are there: the core that this thread runs on may be another
            pool.wake(helpers, int(self.now.state[WATCHED]), self.serve)
        return helpers

    def serve(self, bell: array, heard: int) -> None:
        """What a thread of the pool does when it has nothing else to do."""
        bell = np.frombuffer(bell, np.int64)
        _work(self.now.state, self.later.state, -1, True, bell, heard, self._space())


@cache
def crew_for(dtype: np.dtype) -> Crew:
    return Crew(dtype)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew_for.cache_clear)
