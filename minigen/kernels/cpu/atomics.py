"""What threads that share memory need in compiled code: numbers changed in one go, sleep."""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigen.kernels.cpu.tiles import address_of
from minigen.parallel.bell import HAS_SEMAPHORES, SEMAPHORE


@intrinsic
def load(typing, x, i):
    """x[i] as other threads see it now."""

    def generate(context, builder, signature, args):
        place = address_of(context, builder, signature, args, 0, args[1])
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(x, types.int64), generate


@intrinsic
def add(typing, x, i, amount):
    """x[i] += amount, in one go for all threads."""

    def generate(context, builder, signature, args):
        place = address_of(context, builder, signature, args, 0, args[1])
        builder.atomic_rmw("add", place, args[2], "seq_cst")
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64), generate


@intrinsic
def swap(typing, x, i, old, new):
    """x[i] = new if it is old, in one go for all threads; whether it was."""

    def generate(context, builder, signature, args):
        place = address_of(context, builder, signature, args, 0, args[1])
        pair = builder.cmpxchg(place, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(x, types.int64, types.int64, types.int64), generate


@intrinsic
def give_way(typing):
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


@intrinsic
def sleep(typing, bell):
    """Sleep at the semaphore of a bell until somebody wakes this thread, or a signal comes."""

    def generate(context, builder, signature, args):
        if HAS_SEMAPHORES:
            place = address_of(context, builder, signature, args, 0, ir.IntType(64)(SEMAPHORE))
            kind = ir.FunctionType(ir.IntType(32), [place.type])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sem_wait"), [place])
        return context.get_dummy_value()

    return types.void(bell), generate
