"""Cells against PyTorch's, and the one sentence for states of another kind."""

import numpy as np
import pytest
from test_recurrent_lengths import KINDS, as_tuple, close, every_kind, saved

import minigen as mg
from minigen import nn
from minigen.errors import ShapeError


def test_states_of_another_kind_get_one_sentence():
    x, h = mg.ones((5, 2, 3)), mg.zeros((1, 2, 4))
    for cls in (nn.GRU, nn.RNN):
        for wrong in ((h, h), [h, h], (h,)):
            with pytest.raises(TypeError, match=f"{cls.__name__}: the state is one tensor h"):
                cls(3, 4)(x, wrong)
    for wrong in (h, (h,), (h, h, h)):
        with pytest.raises(TypeError, match=r"LSTM: the state must be a tuple .*zeros_like"):
            nn.LSTM(3, 4)(x, wrong)
    with pytest.raises(TypeError, match=r"LSTM: the initial c must be .* got NoneType"):
        nn.LSTM(3, 4)(x, (h, None))
    with pytest.raises(ValueError, match=r"LSTM: proj_size=2 .* nn\.Linear"):
        nn.LSTM(3, 4, proj_size=2)


@every_kind
def test_cells_are_pytorchs_and_a_step_of_the_layer(name):
    values = saved(name)
    cls = getattr(nn, name.partition("_")[0] + "Cell")
    cell = cls(3, 4, dtype=np.float64, **KINDS[name])
    state = {k.removeprefix("cell.state."): v for k, v in values.items() if "cell.state." in k}
    assert list(cell.state_dict()) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    cell.load_state_dict(state)
    hs = [values[f"cell.h{i}"] for i in range(cls.num_states)]
    one, lstm = values["x"][0, 0], name == "LSTM"
    after = as_tuple(cell(mg.broadcast_to(one, (5, 3)), tuple(hs) if lstm else hs[0]))
    alone = as_tuple(cell(one, tuple(h[0] for h in hs) if lstm else hs[0][0]))
    for i, (h, single) in enumerate(zip(after, alone)):
        assert close(h, values[f"cell.after{i}"])
        assert close(single, h[0])
    zeros = mg.zeros((5, 4), mg.float64)
    x = mg.broadcast_to(one, (5, 3))
    for h, again in zip(*(as_tuple(cell(x, s)) for s in ((zeros, zeros) if lstm else zeros, None))):
        assert np.array_equal(h.data, again.data)


@pytest.mark.parametrize("cls", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cells_train_and_refuse_what_does_not_fit(cls):
    cell, h = cls(3, 4, False, rng=mg.Generator(0)), None
    assert len(cell.state_dict()) == 2 and repr(cell) == f"{cls.__name__}(3, 4, bias=False)"
    for _ in range(3):
        h = cell(mg.ones((2, 3)), h)
    as_tuple(h)[0].sum().backward()
    assert all(np.abs(p.grad.data).max() > 0 for p in cell.parameters())
    assert as_tuple(cell(mg.ones((0, 3))))[0].shape == (0, 4)
    with pytest.raises(ShapeError, match=rf"{cls.__name__}: x must be \(B, D\) or .* D = 3"):
        cell(mg.ones((2, 5)))
    with pytest.raises((ShapeError, TypeError), match=rf"{cls.__name__}: "):
        cell(mg.ones((2, 3)), mg.ones((3, 4)))
    with pytest.raises(ValueError, match=f"{cls.__name__}: .* 0 and 3"):
        cls(3, 0)
    with pytest.raises(ValueError, match="'sigmoid'"):
        nn.RNNCell(3, 4, nonlinearity="sigmoid")
