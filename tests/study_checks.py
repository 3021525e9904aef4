"""What holds of every recording: checked by the tests of `minigen.study`."""

import numpy as np

from minigen.study.steps import Ref


def same(a, b):
    """Whether two arrays agree bit for bit; NaN is equal to NaN."""
    a, b = np.asarray(a), np.asarray(b)
    nan = a.dtype.kind == "f"
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=nan)


def check(run):
    """Steps and values refer to each other, ops repeat, cotangents have the shapes of values."""
    for i, step in enumerate(run.steps):
        assert step.number == i and step.seconds >= 0 and step.file
        assert step.bytes == sum(run.values[number].nbytes for number in step.outputs)
        for number in step.outputs:
            maker = run.values[number].step
            while maker != i:  # it was made by a step inside, or inside of that
                maker = run.steps[maker].inside
        for number in step.inputs:
            assert run.values[number].step is None or run.values[number].step < i
        assert all(run.values[n].step is None or run.values[n].step <= i for n in step.saved)
        if step.kind == "forward" and "rng" not in step.static and step.op[:7] != "bitwise":
            check_repeats(run, step)
    for i, value in enumerate(run.values):
        assert value.number == i
        check_value(run, value)
    named = [value for value in run.values if value.name is not None]
    assert all(value.name.isidentifier() for value in named)
    assert len({value.name for value in named}) == len(named)
    assert {value.role for value in named} <= {"parameter", "buffer", "data"}


def check_value(run, value):
    if value.array is not None:
        assert (value.shape, value.dtype) == (value.array.shape, value.array.dtype)
    if value.of is not None:
        of = run.values[value.of]
        assert (of.shape, of.dtype) == (value.shape, value.dtype)
    if value.terms:
        total = sum(run.values[number].array for number in value.terms)
        assert np.allclose(total, value.array, 1e-5, 1e-5, equal_nan=True)
    if value.step is not None:
        assert value.number in (*run.steps[value.step].outputs, *run.steps[value.step].saved)


def filled(run, tree):
    """Arguments of a step, copies of the recorded arrays in place of each `Ref`."""
    if isinstance(tree, Ref):
        return run.values[tree.number].array.copy()
    if isinstance(tree, dict):
        return {key: filled(run, part) for key, part in tree.items()}
    return type(tree)(filled(run, part) for part in tree) if type(tree) in (tuple, list) else tree


def check_repeats(run, step):
    """The op of a step, called with the recorded arguments, returns the recorded outputs."""
    with np.errstate(all="ignore"):
        found = step.declaration.function(*filled(run, step.args), **filled(run, step.static))
    found = found if type(found) is tuple else (found,)
    for y, number in zip(found, step.outputs, strict=True):
        want = run.values[number].array  # arguments had another memory layout, so last bits differ
        assert y.shape == want.shape and y.dtype == want.dtype
        assert np.allclose(y, want, 1e-6, 1e-6, equal_nan=True)
