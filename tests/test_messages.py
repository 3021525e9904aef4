"""What errors in a model say of where they arose, and what modules say of themselves."""

from functools import partial

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.autodiff.left_out import missing
from minigen.errors import DTypeError, ShapeError
from minigen.models import GPT


class Autoencoder(nn.Module):
    def __init__(self):
        self.encoder = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(2, 2))
        self.heads = [nn.Linear(4, 4), nn.Sequential(nn.Linear(5, 4))]
        self.scale, self.name = 2.0, "small"

    def forward(self, x, way="encoder"):
        if way == "heads":
            return self.heads[1](x)
        return self.encoder(x) if way == "encoder" else x + mg.ones(3)


def message(call, kind=ShapeError):
    with pytest.raises(kind) as caught:
        call()
    assert len(caught.value.args) == 1
    return str(caught.value)


def test_a_shape_error_names_the_op_all_shapes_and_the_path_of_the_module():
    said = message(lambda: Autoencoder()(mg.ones((5, 4))))
    assert said.startswith("linear: x (5, 3) and weight (2, 2) do not fit")
    assert said.endswith("; in encoder.2 (Linear) of Autoencoder")
    said = message(lambda: Autoencoder()(mg.ones((5, 4)), "heads"))
    assert said.endswith("; in heads.1.0 (Linear) of Autoencoder")


def test_an_error_of_a_models_own_forward_and_of_a_module_alone_names_its_class():
    said = message(lambda: Autoencoder()(mg.ones((5, 4)), "own"))
    assert said == (
        "add: shapes (5, 4) and (3,) do not broadcast: axis -1 has lengths 3 and 4; in Autoencoder"
    )
    assert message(lambda: nn.Linear(2, 3)(mg.ones((1, 4)))).endswith("; in Linear")


def test_indices_and_dtypes_that_are_wrong_name_the_module_too():
    model = GPT(10, context=8, layers=1, heads=2, width=8)
    said = message(lambda: model(np.array([[1, 11]])), IndexError)
    assert said.startswith("embedding: index 11 at position (0, 1) is out of range [0, 10)")
    assert said.endswith("; in token (Embedding) of GPT")
    assert message(lambda: model(np.array([[0.5]])), DTypeError).endswith("; in GPT")


def test_the_path_is_named_once_under_an_observer_and_for_a_model_that_is_tried_again():
    model = nn.Sequential(Autoencoder())
    for _ in range(2):
        with mg.detect_anomaly():
            said = message(lambda: model(mg.ones((5, 4))))
        assert said.count("; in ") == 1 and said.endswith("0.encoder.2 (Linear) of Sequential")


def test_a_module_that_its_caller_does_not_hold_is_named_by_its_own_class():
    hidden = nn.Linear(2, 2)

    class Caller(nn.Module):
        def forward(self, x):
            return hidden(x)

    assert message(lambda: Caller()(mg.ones(3))).endswith("; in Linear")


def test_other_errors_pass_through_modules_as_they_are():
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError("mine", 1)

    with pytest.raises(KeyError) as caught:
        nn.Sequential(Broken())(mg.ones(1))
    assert caught.value.args == ("mine", 1)


def test_a_weight_does_not_make_a_loss_larger():
    x, f = mg.zeros((3, 1)), mg.binary_cross_entropy_with_logits
    for name in ("weight", "pos_weight"):
        for wrong in (mg.ones((2, 1)), mg.ones(2)):
            said = message(partial(f, x, x, **{name: wrong}))
            assert said.startswith("binary_cross_entropy_with_logits")
            assert str(wrong.shape) in said and "(3, 1)" in said
    one = f(x, x, weight=2.0, pos_weight=mg.ones(1))
    assert one.item() == pytest.approx(2 * np.log(2))


def test_the_repr_of_a_module_shows_its_settings_and_what_is_below():
    assert repr(Autoencoder()).splitlines()[:4] == [
        "Autoencoder(",
        "  scale=2.0, name='small'",
        "  (encoder): Sequential(",
        "    (0): Linear(4, 3, bias=True)",
    ]
    assert repr(nn.LeakyReLU(0.2).eval()) == "LeakyReLU(negative_slope=0.2)"


def test_a_package_that_must_be_imported_by_name_says_so():
    for room in ("data", "models", "study", "testing", "training"):
        assert f"import minigen.{room}" in missing("minigen", room)
    with pytest.raises(AttributeError, match=r"mg\.nn\.Module"):
        mg.Module  # noqa: B018
