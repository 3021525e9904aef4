"""What holds for every recording: checked by the tests of `minigen.study`."""

import numpy as np

from minigen.study.steps import Ref


def same(a, b):
    """Whether two arrays agree bit for bit, NaN included."""
    a, b = np.asarray(a), np.asarray(b)
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    )


def filled(run, tree):
    """Arguments of a step with the recorded arrays in place of `Ref`s."""
    if isinstance(tree, Ref):
        return run.values[tree.number].array
    if isinstance(tree, dict):
        return {key: filled(run, part) for key, part in tree.items()}
    return type(tree)(filled(run, part) for part in tree) if type(tree) in (tuple, list) else tree


def check(run):
    """Steps and values refer to each other, ops repeat, cotangents have the shapes of values."""
    for i, step in enumerate(run.steps):
        assert step.number == i
        for number in step.outputs:
            maker = run.values[number].step
            assert maker == i or run.steps[maker].inside == i
        for number in step.inputs:
            maker = run.values[number].step
            assert maker is None or maker < i, (i, number, maker)
        assert all(run.values[n].step is None or run.values[n].step <= i for n in step.saved)
        assert step.bytes == sum(run.values[n].nbytes for n in step.outputs)
        assert step.file and step.seconds >= 0
        if step.kind == "forward" and "rng" not in step.static:
            check_repeats(run, step)
    for i, value in enumerate(run.values):
        assert value.number == i
        if value.array is not None:
            assert (value.shape, value.dtype) == (value.array.shape, value.array.dtype)
        if value.of is not None:
            of = run.values[value.of]
            assert (of.shape, of.dtype) == (value.shape, value.dtype)
        if value.terms:
            terms = [run.values[n].array for n in value.terms]
            assert np.allclose(sum(terms[1:], terms[0]), value.array, equal_nan=True)
        assert value.step is None or i in (
            *run.steps[value.step].outputs,
            *run.steps[value.step].saved,
        )
    names = [v.name for v in run.values if v.name is not None]
    assert len(names) == len(set(names)) and all(name.isidentifier() for name in names)
    roles = {v.role for v in run.values if v.name is not None}
    assert roles <= {"parameter", "buffer", "data"}


def check_repeats(run, step):
    """The op of a step, called on the recorded arguments, returns the recorded outputs."""
    function = step.declaration.function
    with np.errstate(all="ignore"):
        found = function(
            *(np.copy(x) if isinstance(x, np.ndarray) else x for x in filled(run, step.args)),
            **filled(run, step.static),
        )
    found = found if type(found) is tuple else (found,)
    assert len(found) == len(step.outputs)
    for y, number in zip(found, step.outputs):
        want = run.values[number].array  # the copies of arguments have another memory layout
        assert y.shape == want.shape and y.dtype == want.dtype
        assert np.allclose(y, want, 1e-6, 1e-6, equal_nan=True)
