"""What test_mpi_same_steps runs on each rank: statistics of a batch of all, beside one process's.

Each function returns relative errors by name. A rank computes its rows with the others, and then
the whole batch alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from rank_models import all_trained

import minigen as mg
from minigen import distributed, nn
from minigen.communication.world import World
from minigen.testing.closeness import relative_error

# The rows of batches: even and odd for three ranks, and two that leave ranks without a row.
TOTALS = (6, 7, 2, 1)


def started() -> World:
    """The World of this rank, in step with the others."""
    world = distributed.start()
    world.in_step = True
    return world


def worst(world: World, errors: dict[str, float]) -> dict[str, float]:
    """The largest of each error over the ranks."""
    largest = world.all_reduce(np.array(list(errors.values())), "max")
    return dict(zip(errors, largest.tolist()))


def compared(world: World, total: int, run: Callable) -> dict[str, float]:
    """The errors of run(rows, n) on all ranks together, against it on one process.

    run takes the rows of the batch as a slice, and their number. It returns three dicts of arrays:
    those with a row for each row; those equal on all ranks; gradients, to be summed by weight.
    """
    mine = world.split(total)
    of_rows, of_all, gradients = run(slice(mine.start, mine.stop), mine.stop - mine.start)
    summed = {
        k: world.all_reduce(v * v.dtype.type(mine.weight), "sum") for k, v in gradients.items()
    }
    world.rows = None
    rows_alone, all_alone, gradients_alone = run(slice(None), total)
    rows_alone = {k: v[mine.start : mine.stop] for k, v in rows_alone.items()}
    pairs = [(of_rows, rows_alone), (of_all, all_alone), (summed, gradients_alone)]
    errors = {k: relative_error(got[k], want[k]) for got, want in pairs for k in want}
    if not mine.weight:  # its values are those of a row that another rank has
        errors |= dict.fromkeys(rows_alone, 0.0)
    return {f"{k}, {total} rows": e for k, e in worst(world, errors).items()}


def batch_norm_errors(dtype: str, scale: float = 1.0) -> dict[str, float]:
    """Values, running statistics, and gradients of the first and second order of batch norm."""
    world, errors = started(), {}
    for total in TOTALS[: 4 if scale == 1.0 else 2]:
        rng = np.random.default_rng(total)
        x, g = (rng.standard_normal((total, 3, 2, 2)).astype(dtype) for _ in range(2))
        x = (x + 3) * np.array([1, scale, 1]).reshape(3, 1, 1).astype(dtype)

        def run(rows, n, x=x, g=g):
            layer = nn.BatchNorm2d(3, dtype=dtype)
            layer.weight.data[...] = [0.5, -2.0, 1.5]
            part = world.rows.weight if world.rows else 1.0
            leaf = mg.tensor(x[rows], requires_grad=True)
            y = layer(leaf)
            loss = (y * g[rows]).sum() / n
            parameters = [layer.weight, layer.bias]
            gx, *first = mg.grad(loss, [leaf, *parameters], retain_graph=True)
            graph = mg.grad(loss, leaf, create_graph=True) * n
            penalty = mg.square(graph).sum() / n
            gx2, gweight2 = mg.grad(penalty, [leaf, layer.weight])
            of_rows = {"y": y, "gx": gx * part, "gx of the graph": graph, "second gx": gx2 * part}
            of_all = {"running_mean": layer.running_mean, "running_var": layer.running_var}
            gradients = {"gweight": first[0], "gbias": first[1], "second gweight": gweight2}
            return [{k: v.data for k, v in d.items()} for d in (of_rows, of_all, gradients)]

        errors |= compared(world, total, run)
    return errors


CLASS_WEIGHTS = np.array([0.5, 2.0, 1.0, 0.25])
LOSSES = {
    "cross_entropy": lambda x, t, w: mg.cross_entropy(x, t),
    "smoothed": lambda x, t, w: mg.cross_entropy(x, t, label_smoothing=0.1),
    "weighted": lambda x, t, w: mg.cross_entropy(x, t, w, label_smoothing=0.1),
    "nll_loss": lambda x, t, w: mg.nll_loss(mg.log_softmax(x, 1), t),
    "weighted nll_loss": lambda x, t, w: mg.nll_loss(mg.log_softmax(x, 1), t, w),
    "none ignored": lambda x, t, w: mg.cross_entropy(x, np.maximum(t, 0), ignore_index=None),
}


def loss_errors() -> dict[str, float]:
    """Means of class losses with ignored targets, in rows of which some ranks have none left."""
    world, errors = started(), {}
    for total in TOTALS:
        rng = np.random.default_rng(total)
        x, g = rng.standard_normal((2, total, 4, 3))
        target = rng.integers(0, 4, (total, 3))
        target[rng.random((total, 3)) < 0.4] = -100
        target[0], target[-1, 0] = -100, 2  # not a target in the first row, one in the last
        for name, loss_of in LOSSES.items():

            def run(rows, n, x=x, g=g, target=target, loss_of=loss_of):
                part = world.rows.weight if world.rows else 1.0
                leaf = mg.tensor(x[rows], requires_grad=True)
                w = mg.tensor(CLASS_WEIGHTS, requires_grad=True)
                loss = loss_of(leaf, target[rows], w)
                gw = mg.grad(loss, w, retain_graph=True, allow_unused=True)
                gx = mg.grad(loss, leaf, retain_graph=True)
                graph = mg.grad(loss, leaf, create_graph=True)
                second = mg.grad((graph * g[rows]).sum(), leaf)
                gradients = {"loss": loss} | ({} if gw is None else {"gweight": gw})
                of_rows = {"gx": gx * part, "second gx": second * part}
                return [{k: v.data for k, v in d.items()} for d in (of_rows, {}, gradients)]

            errors |= {f"{name}, {k}": e for k, e in compared(world, total, run).items()}
    return errors


def nothing_but_ignored() -> dict[str, bool]:
    """What the mean is where no target of any rank is left, and where other ranks have some."""
    world = started()
    world.split(7)
    x = mg.tensor(np.ones((world.rows.stop - world.rows.start, 4)), requires_grad=True)
    none = mg.cross_entropy(x, np.full(len(x), -100))
    some = mg.cross_entropy(x, np.full(len(x), -100 if world.rank else 2))
    found = {
        "NaN without any target": bool(np.isnan(none.item())),
        "gradient 0 without any target": not mg.grad(none, x).data.any(),
        "finite where others have targets": bool(np.isfinite(some.item())),
    }
    world.rows = None
    return found


def packed_errors() -> dict[str, float]:
    """Packed sequences, of which a rank has the longest, with dropout between layers."""
    world, errors = started(), {}
    x = np.random.default_rng(0).standard_normal((6, 7, 3))
    lengths = np.array([2, 3, 1, 6, 2, 4, 1])

    def run(rows, n):
        before, world.rows = world.rows, None
        layer = nn.LSTM(3, 4, 3, dropout=0.5, rng=mg.Generator(2), dtype=np.float64)
        world.rows = before
        options = {"enforce_sorted": False}
        part = mg.tensor(x[:, rows][:, :n])
        packed = nn.utils.rnn.pack_padded_sequence(part, lengths[rows][:n], **options)
        y, _ = layer(packed)
        y, _ = nn.utils.rnn.pad_packed_sequence(y, total_length=6)
        words = np.array(float(layer.rng.state[1]))
        return {"y": y.data.swapaxes(0, 1)}, {"words": words}, {}

    for total in (7, 2):
        errors |= compared(world, total, run)
    return errors


def extremes() -> dict[str, bool]:
    """Batch norm of constant and far values, of this rank alone, and of too few values."""
    world = started()
    world.split(64)
    mine = slice(world.rows.start, world.rows.stop)
    rng = np.random.default_rng(1)
    far = (1e4 + rng.standard_normal((64, 2, 9))).astype(np.float32)
    wide = far.astype(np.float64)
    want = (wide - wide.mean((0, 2), keepdims=True)) / wide.std((0, 2), keepdims=True)
    constant = np.full((64, 2), [7.3, 0.1])[mine]
    bias = np.array([1.0, 2.0])
    y = mg.batch_norm(constant, None, None, bias=bias, training=True)
    layer, alone = nn.BatchNorm1d(2, synchronized=False), nn.BatchNorm1d(2)
    local = layer(mg.tensor(far[mine])).data
    functional = nn.functional.batch_norm(far[mine], None, None, training=True, synchronized=False)
    world.rows = None
    found = {
        "a constant channel gives its bias": np.array_equal(y, np.broadcast_to(bias, y.shape)),
        "local statistics are one process's": np.array_equal(
            local, alone(mg.tensor(far[mine])).data
        ),
        "local running statistics, too": np.array_equal(layer.running_var, alone.running_var),
        "a function leaves them local": np.array_equal(functional, local),
    }
    world.split(64)
    y = mg.batch_norm(far[mine], None, None, training=True)
    found["a channel far from zero keeps its digits"] = np.abs(y - want[mine]).max() < 2e-3
    part = far[:0] if world.rank else far[:2]
    y = mg.batch_norm(part, None, None, training=True)
    found["a rank may have no values"] = np.isfinite(y).all() and y.shape == part.shape
    mean, var = np.zeros(2), np.ones(2)
    y = mg.batch_norm(far[:0], mean, var, training=True)
    found["an empty batch changes nothing"] = y.size == 0 and not mean.any() and (var == 1).all()
    world.split(1)
    try:
        mg.batch_norm(far[:1, :, 0], mean, var, training=True)
    except ValueError as error:
        found["one value for each channel is refused"] = "more than one value" in str(error)
    world.rows = None
    return {name: bool(holds) for name, holds in found.items()}


def everything(**settings) -> dict[str, Any]:
    """All errors, and the models of `rank_models.all_trained`, for one start of mpiexec."""
    return all_trained(**settings) | {
        "batch norm, float64": batch_norm_errors("float64"),
        "batch norm, float32": batch_norm_errors("float32"),
        "losses": loss_errors(),
        "ignored": nothing_but_ignored(),
        "packed": packed_errors(),
        "extremes": extremes(),
    }
