"""Cases of the losses, and of the KL divergence and samples of a Gaussian."""

import numpy as np

from minigen.testing.case import Case, modulus, where_real
from minigen.testing.cases_neural import log_softmax
from minigen.testing.choices import Choices, away_from

REDUCTIONS = ("mean", "sum", "none")


def reduced(loss, reduction):
    """The mean, sum or all values of a loss; the mean of no values is NaN, without a warning."""
    if reduction == "none":
        return loss
    return loss.sum() / np.float64(loss.size) if reduction == "mean" else loss.sum()


def _reduction(c: Choices):
    return c.pick(({}, *({"reduction": r} for r in REDUCTIONS)))


def _pair(options=lambda c: {}):
    """A draw of an input and a target whose difference is not near a kink."""

    def draw(c):
        shape, named = c.shape(), options(c) | _reduction(c)
        target = c.array(shape)
        return (target + away_from(c.array(shape), -2.0, -1.0, 0.0, 1.0, 2.0), target), named

    return draw


def mse_loss(input, target, reduction="mean"):
    return reduced((input - target) ** 2, reduction)


def l1_loss(input, target, reduction="mean"):
    return reduced(modulus(input - target), reduction)


def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    d = modulus(input - target)
    if beta == 0:
        return reduced(d, reduction)
    return reduced(where_real(d.real < beta, d * d / (2 * beta), d - beta / 2), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0):
    d = modulus(input - target)
    return reduced(where_real(d.real < delta, d * d / 2, delta * (d - delta / 2)), reduction)


# ------------------------------------------------------------------------- classification


def _logits_and_classes(c):
    """Logits with at least one class, targets some of which are ignored, and options."""
    classes = c.integer(1, 4)
    batched = c.integer(0, 3) > 0
    rest = () if not batched else (c.integer(1, 4), *c.shape(max_dims=1, max_side=2, min_side=1))
    shape = (*rest[:1], classes, *rest[1:])
    target = c.integer_array(rest, 0, classes)
    named = _reduction(c)
    if c.flag():
        named["ignore_index"] = c.pick((-100, 0))
    if target.ndim and c.flag():
        target.flat[0] = named.get("ignore_index", -100)
    if not (target != named.get("ignore_index", -100)).any():
        named["reduction"] = "sum"  # the mean of no values is NaN, with gradient 0
    return c.array(shape), target.astype(c.pick((np.int64, np.int32))), named


def _class_weight(c, logits):
    """None, or class weights as an argument of the call."""
    classes = logits.shape[0 if logits.ndim == 1 else 1]
    return {"weight": c.array((classes,), 0.5, 2.0)} if c.flag() else {}


def _draw_nll_loss(c):
    logits, target, named = _logits_and_classes(c)
    return (logits, target), named | _class_weight(c, logits)


def _draw_cross_entropy(c):
    logits, target, named = _logits_and_classes(c)
    if c.flag():
        named["label_smoothing"] = c.pick((0.0, 0.1, 1.0))
    if c.integer(0, 3) == 0:
        named.pop("ignore_index", None)
        target = c.array(logits.shape, 0.1, 1.0)
    return (logits, target), named | _class_weight(c, logits)


def cross_entropy(
    logits, target, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0
):
    axis = 0 if logits.ndim == 1 else 1
    classes, log_p = logits.shape[axis], log_softmax(logits, axis)
    weight = np.ones(classes) if weight is None else weight
    log_p_of_all = log_p * weight.reshape(-1, *[1] * (logits.ndim - 1 - axis))
    if target.shape == logits.shape and target.dtype.kind in "fc":
        q = (1 - label_smoothing) * target + label_smoothing / classes
        loss = -(q * log_p_of_all).sum(axis)
        return (
            loss.sum() / np.float64(loss.size) if reduction == "mean" else reduced(loss, reduction)
        )
    hard = nll_loss(log_p, target, weight, "none", ignore_index) * (1 - label_smoothing)
    kept = target != ignore_index
    loss = hard - label_smoothing * where_real(kept, log_p_of_all.sum(axis) / classes, 0.0)
    return _weighted(loss, target, weight, reduction, ignore_index)


def nll_loss(input, target, weight=None, reduction="mean", ignore_index=-100):
    x = np.moveaxis(input, 0 if input.ndim == 1 else 1, -1)
    weight = np.ones(x.shape[-1]) if weight is None else weight
    loss = np.zeros(target.shape, (x + weight).dtype)
    for i in np.ndindex(*target.shape):
        if target[i] != ignore_index:
            loss[i] = -weight[target[i]] * x[(*i, target[i])]
    return _weighted(loss, target, weight, reduction, ignore_index)


def _weighted(loss, target, weight, reduction, ignore_index):
    """The reduction of weighted losses; the mean is by the weights of the targets."""
    if reduction != "mean":
        return reduced(loss, reduction)
    return loss.sum() / weight[target[target != ignore_index]].sum()


def _draw_rows(c):
    count, classes = c.integer(0, 4), c.integer(1, 5)
    target = c.integer_array((count,), -1, classes)
    averaged = bool((target >= 0).any()) and c.flag()
    static = {"smoothing": c.pick((0.0, 0.1, 1.0)), "averaged": averaged}
    return (c.array((count, classes)), target), static


def cross_entropy_rows(x, target, smoothing, averaged):
    return cross_entropy(x, target, None, "mean" if averaged else "none", -1, smoothing)


# ------------------------------------------------------ binary targets and distributions


def _draw_binary(low, high, positive_weight):
    """A draw of inputs in [low, high], targets in [0, 1], and some of the weights."""

    def draw(c):
        shape = c.shape()
        named = _reduction(c)
        for key in ("weight", "pos_weight")[: 2 if positive_weight else 1]:
            if c.flag():
                named[key] = c.array(c.narrowed(shape), 0.5, 2.0)
        return (c.array(shape, low, high), c.array(shape, 0.0, 1.0)), named

    return draw


def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    loss = -target * np.log(input) - (1 - target) * np.log(1 - input)
    return reduced(loss if weight is None else weight * loss, reduction)


def bce_with_logits(input, target, weight=None, pos_weight=None, reduction="mean"):
    loss_of_1, loss_of_0 = np.log(1 + np.exp(-input)), np.log(1 + np.exp(input))
    loss_of_1 = loss_of_1 if pos_weight is None else pos_weight * loss_of_1
    loss = target * loss_of_1 + (1 - target) * loss_of_0
    return reduced(loss if weight is None else weight * loss, reduction)


def _draw_bce_total(c):
    shape = c.shape()
    return (c.array(shape, -3.0, 3.0), c.array(shape, 0.0, 1.0)), {}


def bce_total(x, t):
    return bce_with_logits(x, t, reduction="sum")


def _draw_bce_vjp(c):
    shape = c.shape()
    return (c.array(shape), c.array(shape), c.array(shape, 0.0, 1.0)), {}


def bce_with_logits_vjp(g, x, t):
    return g / (1 + np.exp(-x)) - g * t


def _draw_kl_div(c):
    shape, logarithm = c.shape(), c.flag()
    target = c.array(shape, -3.0, 0.0) if logarithm else c.array(shape, 0.1, 1.0)
    named = ({"log_target": True} if logarithm else {}) | _reduction(c)
    if shape and shape[0] and c.flag():
        named["reduction"] = "batchmean"
    return (c.array(shape, -3.0, 0.0), target), named


def kl_div(input, target, log_target=False, reduction="mean"):
    t, log_t = (np.exp(target), target) if log_target else (target, np.log(target))
    if reduction == "batchmean":
        return (t * (log_t - input)).sum() / len(input)
    return reduced(t * (log_t - input), reduction)


def _draw_gaussian_kl(c):
    shape = c.shape(min_dims=1)
    return (c.array(shape), c.array(shape)), {}


def gaussian_kl(mean, logvar):
    return ((np.exp(logvar) + mean**2 - 1 - logvar) / 2).sum(-1)


def _draw_gaussian_sample(c):
    shape = c.shape()
    return (c.array(shape), c.array(shape), c.array(shape)), {}


def gaussian_sample(mean, logvar, noise):
    return mean + np.sqrt(np.exp(logvar)) * noise


LOSSES = {
    "mse_loss": Case(mse_loss, _pair()),
    "l1_loss": Case(l1_loss, _pair()),
    "smooth_l1_loss": Case(
        smooth_l1_loss, _pair(lambda c: c.pick(({}, {"beta": 0}, {"beta": 2.0})))
    ),
    "huber_loss": Case(huber_loss, _pair(lambda c: c.pick(({}, {"delta": 2.0})))),
    "cross_entropy": Case(cross_entropy, _draw_cross_entropy),
    "_cross_entropy": Case(cross_entropy_rows, _draw_rows),
    "nll_loss": Case(nll_loss, _draw_nll_loss),
    "binary_cross_entropy": Case(binary_cross_entropy, _draw_binary(0.1, 0.9, False)),
    "binary_cross_entropy_with_logits": Case(bce_with_logits, _draw_binary(-3.0, 3.0, True)),
    "_bce_total": Case(bce_total, _draw_bce_total),
    "_bce_with_logits_vjp": Case(bce_with_logits_vjp, _draw_bce_vjp),
    "kl_div": Case(kl_div, _draw_kl_div),
    "gaussian_kl": Case(gaussian_kl, _draw_gaussian_kl),
    "gaussian_sample": Case(gaussian_sample, _draw_gaussian_sample),
}
