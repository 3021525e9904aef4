"""The fast walk equals the plain one, the definition, bit for bit: on programs and on models."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_models_slope import MAKERS

import minigen as mg
from minigen import nn
from minigen.autodiff.fast_walk import fast_walk
from minigen.autodiff.walk import walk
from minigen.testing import programs


def both(outputs, inputs, cotangents):
    """The cotangents of inputs (None: of every leaf) by either walk, from one graph."""
    roots = [(y.node, np.asarray(g)) for y, g in zip(outputs, cotangents)]
    wanted = None if inputs is None else {x.node for x in inputs}
    with np.errstate(all="ignore"):
        plain = walk(roots, wanted, mg.Tensor, retain_graph=True)
        fast = fast_walk(roots, wanted, mg.Tensor)
    assert plain.keys() == fast.keys()
    for vertex, g in plain.items():
        other = fast[vertex]
        assert (g.dtype, g.shape, g.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert g.strides == other.strides
    return plain


@given(programs(), st.sampled_from([np.float32, np.float64]), st.randoms(use_true_random=False))
def test_programs_have_the_same_bits(program, dtype, random):
    leaves = [mg.tensor(x.astype(dtype), requires_grad=True) for x in program.inputs]
    for inputs in (None, leaves, leaves[:1]):
        loss = program.loss(*leaves)
        assert both([loss], inputs, [np.ones((), dtype)])
    interior = program.values(leaves, by_op)
    asked = random.sample(interior, random.randint(1, len(interior)))
    outputs = [y for y in interior if y.requires_grad]
    rng = np.random.default_rng(random.randint(0, 99))
    both(outputs, asked, [rng.standard_normal(y.shape).astype(dtype) for y in outputs])


def by_op(step, args):
    return getattr(mg, step.name)(*args, **step.kwargs)


@pytest.mark.parametrize("name", MAKERS)
def test_models_have_the_same_bits(name):
    model, loss = MAKERS[name]()
    assert len(both([loss()], None, [np.ones(())])) >= len(model.parameters()) - 2


def test_layers_large_enough_for_work_that_is_put_off_have_the_same_bits():
    rng = mg.Generator(0)
    shared, last = nn.Linear(128, 128, rng=rng), nn.Linear(128, 64, rng=rng)
    x = mg.Tensor(rng.normal((200, 128)))
    y = x
    for _ in range(10):
        y = mg.gelu(shared(y)) + y
    found = both([last(y).sum()], None, [np.ones((), np.float32)])
    assert len(found) == 4


def test_the_environment_chooses_the_plain_walk():
    program = """
import minigen as mg, numpy as np
from minigen.autodiff import fast_walk
if {plain}: fast_walk.fast_walk = None
rng = mg.Generator(0)
model = mg.nn.Sequential(mg.nn.Linear(40, 50, rng=rng), mg.nn.Tanh(), mg.nn.Linear(50, 3, rng=rng))
optimizer = mg.optim.Adam(model.parameters())
for _ in range(3):
    optimizer.zero_grad()
    mg.cross_entropy(model(mg.Tensor(rng.normal((64, 40)))), np.arange(64) % 3).backward()
    optimizer.step()
print(b"".join(p.numpy().tobytes() for p in model.parameters()).hex())
"""
    found = []
    for walk_name in ("plain", ""):
        code = program.format(plain=walk_name == "plain")
        environment = {**os.environ, "MINIGEN_WALK": walk_name}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1] and len(found[0]) > 1000


def test_gradients_have_the_same_layout_too():
    rng = np.random.default_rng(0)
    w = mg.tensor(rng.standard_normal((30, 40)), requires_grad=True)
    b, c = rng.standard_normal((2, 40, 30))
    y = w + 1.0
    loss = (y.T * b).sum() + (y.T * c).sum() + (w.T * b).sum() + (w.T * c).sum() + (y * b.T).sum()
    (found,) = both([loss], [w], [np.ones(())]).values()
    assert found.flags.c_contiguous


@pytest.mark.usefixtures("each_walk")
def test_a_rule_may_take_a_gradient_itself():
    def rule(g, y, x):
        inner = mg.tensor(x, requires_grad=True)
        return g * mg.grad(mg.exp(inner).sum(), inner).data

    exp = mg.primitive(rule, saves="x")(lambda x: np.exp(x))
    x = mg.tensor([0.5, 1.0], requires_grad=True)
    assert np.allclose(mg.grad(exp(x).sum(), x).data, np.exp(x.data))
