"""What the hints for names of PyTorch say to write exists, and computes what the name means."""

import math
import re

import numpy as np
import pytest

import minigen as mg
import minigen.data
from minigen import nn, optim
from minigen.autodiff.left_out import HINTS
from minigen.autodiff.names import CALLS, OTHER_KEYWORDS, TRAPS

X = np.float32([[-200.0, -1.5, 0.0], [0.5, 2.0, 7.0]])
x, y = mg.tensor(X), mg.tensor(X[::-1].copy())
OWNERS = {"mg": mg, "minigen": minigen, "nn": nn, "optim": optim, "np": np, "math": math, "x": x}
OWNERS |= {"module": nn.ReLU(), "self": nn.ReLU()}
SENTENCES = [hint for hints in HINTS.values() for hint in hints.values()]
SENTENCES += [*CALLS.values(), *OTHER_KEYWORDS.values(), *(row[3] for row in TRAPS)]


def test_every_name_that_a_hint_names_exists():
    count = 0
    for sentence in SENTENCES:
        for dotted in re.findall(rf"(?<![\w.])(?:{'|'.join(OWNERS)})(?:\.[A-Za-z]\w*)+", sentence):
            owner, *names = dotted.split(".")
            found = OWNERS[owner]
            for name in names:
                assert hasattr(found, name), f"{dotted} does not exist: {sentence!r}"
                found = getattr(found, name)
            count += 1
    assert count > 200


@pytest.mark.parametrize(
    ("room", "name", "more", "want"),
    [
        ("Tensor", "inner", {"a": x, "b": y}, np.inner(X, X[::-1])),
        ("Tensor", "heaviside", {"values": 0.5}, np.heaviside(X, 0.5)),
        ("Tensor", "copysign", {"y": mg.abs(y)}, np.abs(X)),
        ("Tensor", "diff", {}, np.diff(X)),
        ("Tensor", "fmod", {"b": 1.5}, np.fmod(X, 1.5)),
        ("Tensor", "logaddexp", {}, np.logaddexp(X, X[::-1])),
        ("Tensor", "rot90", {}, np.rot90(X)),
        ("minigen", "cdist", {"a": x, "b": y}, np.linalg.norm(X[:, None] - X[::-1], axis=-1)),
        ("nn.functional", "celu", {"alpha": 2.0}, np.where(X > 0, X, 2 * np.expm1(X / 2))),
    ],
)
def test_what_a_hint_says_to_write_computes_what_the_name_means(room, name, more, want):
    text = re.split(", (?:or|which) ", HINTS[room][name])[0]
    got = eval(text, {"mg": mg, "x": x, "y": y, **more})
    assert np.allclose(got, want, 1e-5, 1e-6)


def test_the_hint_for_sinc_has_a_gradient_at_0():
    text, z = HINTS["Tensor"]["sinc"].split(" of z = ")
    k = mg.tensor(X[:, 1:], requires_grad=True)
    result = eval(text, {"mg": mg, "x": k, "z": eval(z, {"mg": mg, "x": k})})
    assert np.allclose(result.detach(), np.sinc(X[:, 1:]), atol=1e-6)
    assert mg.grad(result.sum(), k).isfinite().all()


def test_the_hint_for_bilinear_upsampling_keeps_the_corners():
    image = x.reshape(1, 1, 2, 3)
    layer = eval(HINTS["nn"]["UpsamplingBilinear2d"], {"nn": nn})
    assert np.allclose(layer(image)[..., ::3, ::5], X[:, [0, 2]], atol=1e-5)
