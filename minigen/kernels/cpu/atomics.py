"""Synchronization of threads in compiled code: atomic loads and updates, yield and sleep.

All atomic operations are sequentially consistent: every thread sees them in the same order.
"""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigen.kernels.cpu.tiles import element_pointer
from minigen.parallel.bell import HAS_SEMAPHORES, SEMAPHORE


@intrinsic
def load(typing, x, i):
    """x[i], read atomically: the value that other threads have stored last."""

    def generate(context, builder, signature, args):
        pointer = element_pointer(context, builder, signature, args, 0, args[1])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(x, types.int64), generate


@intrinsic
def add(typing, x, i, amount):
    """x[i] += amount, atomically."""

    def generate(context, builder, signature, args):
        pointer = element_pointer(context, builder, signature, args, 0, args[1])
        builder.atomic_rmw("add", pointer, args[2], "seq_cst")
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64), generate


@intrinsic
def compare_and_swap(typing, x, i, old, new):
    """If x[i] == old, set it to new, atomically; returns whether it was."""

    def generate(context, builder, signature, args):
        pointer = element_pointer(context, builder, signature, args, 0, args[1])
        pair = builder.cmpxchg(pointer, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(x, types.int64, types.int64, types.int64), generate


@intrinsic
def yield_core(typing):
    """Let another thread that waits for this core run first; returns the cycles that it took."""

    def generate(context, builder, signature, args):
        clock = ir.FunctionType(ir.IntType(64), [])
        clock = cgutils.get_or_insert_function(builder.module, clock, "llvm.readcyclecounter")
        start = builder.call(clock, [])
        if hasattr(os, "sched_yield"):
            function_type = ir.FunctionType(ir.IntType(32), [])
            function = cgutils.get_or_insert_function(builder.module, function_type, "sched_yield")
            builder.call(function, [])
        return builder.sub(builder.call(clock, []), start)

    return types.int64(), generate


@intrinsic
def sleep(typing, events):
    """Sleep on the semaphore of an EventCount's state until another thread posts it.

    A signal to the process ends the sleep, too.
    """

    def generate(context, builder, signature, args):
        if HAS_SEMAPHORES:
            index = ir.IntType(64)(SEMAPHORE)
            pointer = element_pointer(context, builder, signature, args, 0, index)
            function_type = ir.FunctionType(ir.IntType(32), [pointer.type])
            function = cgutils.get_or_insert_function(builder.module, function_type, "sem_wait")
            builder.call(function, [pointer])
        return context.get_dummy_value()

    return types.void(events), generate
