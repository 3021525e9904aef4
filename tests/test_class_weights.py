"""Class weights of cross_entropy and nll_loss: PyTorch's numbers, and what is refused."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.errors import DTypeError, ShapeError
from minigen.testing import assert_close

WEIGHT = np.array([0.5, 2.0, 1.0, 0.25])

# PyTorch 2.13 in float64, for (shape, whether targets are probabilities, smoothing, ignore_index):
# for the mean and for the sum, the loss, u . gradient, and v . Hessian u.
# fmt: off
PYTORCH = {
    ((4,), False, 0.0, -100): (
        1.5524114117036, 0.27060257490381, 0.006469654621269,
        0.77620570585178, 0.13530128745191, 0.0032348273106345,
    ),
    ((4,), False, 0.0, 1): (
        3.2031241068432, -1.4114593394779, 0.006469654621269,
        3.2031241068432, -1.4114593394779, 0.006469654621269,
    ),
    ((4,), False, 0.1, -100): (
        1.6747347183072, 0.17253081114634, 0.00703574940063,
        0.83736735915358, 0.086265405573172, 0.003517874700315,
    ),
    ((4,), False, 0.1, 1): (
        3.0215939200459, -1.3058191586636, 0.0064292192798861,
        3.0215939200459, -1.3058191586636, 0.0064292192798861,
    ),
    ((4,), True, 0.0, None): (
        2.1397878504971, -0.31321116405717, 0.015348162719852,
        2.1397878504971, -0.31321116405717, 0.015348162719852,
    ),
    ((4,), True, 0.1, None): (
        2.0645912893344, -0.31739580078499, 0.014419876568611,
        2.0645912893344, -0.31739580078499, 0.014419876568611,
    ),
    ((5, 4), False, 0.0, -100): (
        2.9798344289049, 0.093876624037075, 0.061417891458831,
        11.91933771562, 0.3755064961483, 0.24567156583532,
    ),
    ((5, 4), False, 0.0, 1): (
        2.7743888881087, 0.41950675431648, 0.0048706909725854,
        5.5487777762173, 0.83901350863297, 0.0097413819451707,
    ),
    ((5, 4), False, 0.1, -100): (
        2.9169155633632, 0.091439143064103, 0.055106047241786,
        11.667662253453, 0.36575657225641, 0.22042418896714,
    ),
    ((5, 4), False, 0.1, 1): (
        2.8295766694314, 0.38196521675106, -0.0014861019519219,
        5.6591533388628, 0.76393043350212, -0.0029722039038439,
    ),
    ((5, 4), True, 0.0, None): (
        2.7765507953034, 0.31137560697805, -0.0041582493157232,
        13.882753976517, 1.5568780348903, -0.020791246578616,
    ),
    ((5, 4), True, 0.1, None): (
        2.7207015627363, 0.29777704590595, -0.0030403209157947,
        13.603507813682, 1.4888852295297, -0.015201604578973,
    ),
    ((3, 4, 2), False, 0.0, -100): (
        1.1671912144396, 0.021349486997965, 0.021288506050061,
        4.9605626613682, 0.090735319741353, 0.090476150712759,
    ),
    ((3, 4, 2), False, 0.0, 1): (
        0.80880773867825, -0.14012273776223, 0.0007761473623533,
        1.8198174120261, -0.31527615996503, 0.0017463315652949,
    ),
    ((3, 4, 2), False, 0.1, -100): (
        1.3018537474128, 0.059339393418031, 0.020223260647685,
        5.5328784265046, 0.25219242202663, 0.08594885775266,
    ),
    ((3, 4, 2), False, 0.1, 1): (
        1.1272988922739, -0.063791590346285, 0.00085902677662431,
        2.5364225076162, -0.14353107827914, 0.0019328102474046,
    ),
    ((3, 4, 2), True, 0.0, None): (
        2.6924740603156, 0.18663478321732, 0.0083810060245969,
        16.154844361893, 1.1198086993039, 0.050286036147581,
    ),
    ((3, 4, 2), True, 0.1, None): (
        2.6423635322996, 0.18191740999789, 0.0078715489158448,
        15.854181193798, 1.0915044599874, 0.047229293495068,
    ),
}
# fmt: on


def waves(*shape):
    return np.sin(1.7 * np.arange(np.prod(shape)) + 0.3).reshape(shape)


def targets(shape, probabilities, ignore_index):
    """Those for which PyTorch's numbers are: some are ignored."""
    rest = () if len(shape) == 1 else (shape[0], *shape[2:])
    if probabilities:
        return 0.5 + 0.4 * waves(*shape)
    target = np.arange(np.prod(rest, dtype=int)).reshape(rest) * 3 % 4
    if rest:
        target.flat[1] = ignore_index
    return target if rest or ignore_index != 1 else np.array(2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", PYTORCH, ids=str)
def test_class_weights_give_pytorchs_loss_and_both_derivatives(case, dtype):
    shape, probabilities, smoothing, ignore_index = case
    target = targets(*case[:2], ignore_index)
    target = target.astype(dtype) if probabilities else target
    settings = {} if ignore_index is None else {"ignore_index": ignore_index}
    want = np.reshape(PYTORCH[case], (2, 3))
    u, v = waves(*shape)[::-1].astype(dtype), (waves(*shape) ** 2).astype(dtype)
    for reduction, numbers in zip(("mean", "sum"), want):
        x = mg.Tensor((2 * waves(*shape)).astype(dtype)).requires_grad_()
        loss = mg.cross_entropy(
            x, target, WEIGHT, reduction=reduction, label_smoothing=smoothing, **settings
        )
        module = nn.CrossEntropyLoss(
            WEIGHT, reduction=reduction, label_smoothing=smoothing, **settings
        )
        assert module(x, target).item() == loss.item()
        first = mg.grad(loss, x, create_graph=True)
        assert_close(mg.grad(loss, x, retain_graph=True), first, 1e-5)
        second = mg.grad((first * u).sum(), x)
        found = [loss.item(), (first.data * u).sum(), (second.data * v).sum()]
        assert_close(np.array(found), numbers, 1e-12 if dtype == np.float64 else 1e-5)
        assert {loss.dtype, first.dtype, second.dtype} == {np.dtype(dtype)}
        each = mg.cross_entropy(
            x, target, WEIGHT, reduction="none", label_smoothing=smoothing, **settings
        )
        assert each.shape == shape[:1][: len(shape) - 1] + shape[2:]
        assert_close(each.data.sum(dtype=np.float64), want[1, 0], 1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 4, 2)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_loss_of_log_softmax_is_cross_entropy_with_weights_too(shape, reduction, dtype):
    x = mg.Tensor(waves(*shape).astype(dtype)).requires_grad_()
    target = targets(shape, False, -100)
    log_p = mg.log_softmax(x, min(1, x.ndim - 1))
    want = mg.cross_entropy(x, target, WEIGHT, reduction=reduction)
    for loss in (
        mg.nll_loss(log_p, target, WEIGHT, reduction=reduction),
        nn.NLLLoss(WEIGHT, reduction=reduction)(log_p, target),
    ):
        assert_close(loss, want)
        ones = np.ones(want.shape, dtype)
        found = mg.grad(loss, x, ones, retain_graph=True)
        assert_close(found, mg.grad(want, x, ones, retain_graph=True), 1e-5)


def test_weights_get_gradients_too():
    x, w = mg.Tensor(waves(5, 4)), mg.Tensor(WEIGHT).requires_grad_()
    target = targets((5, 4), False, -100)
    slope = mg.grad(mg.cross_entropy(x, target, w, label_smoothing=0.1), w)
    for i, step in enumerate(1e-6 * np.eye(4)):
        ends = [
            mg.cross_entropy(x, target, WEIGHT + s, label_smoothing=0.1).item()
            for s in (step, -step)
        ]
        assert abs(slope.data[i] - (ends[0] - ends[1]) / 2e-6) < 1e-8


def test_weights_of_a_module_are_saved_and_moved_with_it():
    module = nn.CrossEntropyLoss(WEIGHT)
    assert module.state_dict()["weight"].data.tolist() == WEIGHT.tolist()
    assert module.to(np.float32).weight.dtype == np.float32
    other = nn.CrossEntropyLoss(np.ones(4))
    other.load_state_dict(module.state_dict())
    x = mg.Tensor(waves(5, 4).astype(np.float32))
    assert other(x, [0, 1, 2, 3, 0]).item() == module(x, [0, 1, 2, 3, 0]).item()
    assert nn.CrossEntropyLoss().state_dict() == {}


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
def test_without_a_weighted_target_the_mean_is_nan_and_ignored_rows_have_gradient_0(loss):
    x = mg.ones((2, 4)).requires_grad_()
    mean = loss(x, [-100, -100], WEIGHT)
    assert np.isnan(mean.item()) and not mg.grad(mean, x).data.any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mg.cross_entropy(x, [0, 1], "sum"), "weight .* by keyword"),
        (lambda x: mg.nll_loss(x, [0, 1], "none"), "weight .* by keyword"),
        (lambda x: mg.cross_entropy(x, [0, 1], np.ones(3)), r"\(4,\).*got \(3,\)"),
        (lambda x: mg.cross_entropy(x, [0, 1], np.ones((2, 4))), r"got \(2, 4\)"),
        (lambda x: nn.CrossEntropyLoss(-100), "weight .* by keyword"),
        (lambda x: nn.NLLLoss(0), "weight .* by keyword"),
    ],
)
def test_what_is_no_class_weight_is_refused_and_named(call, words):
    with pytest.raises((DTypeError, ShapeError), match=words):
        call(mg.ones((2, 4)))
