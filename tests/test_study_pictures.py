"""Arrays as small pictures of the page: what is drawn, in which colours, and the facts beside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.study import page_data, pictures


@given(st.lists(st.integers(0, 200), max_size=4), st.integers(0, 4000))
@settings(max_examples=200, deadline=None)
def test_a_layout_keeps_to_the_limit(shape, limit):
    layout = pictures.layout_of(tuple(shape), limit)
    assert layout.cells <= limit
    assert layout.rows <= layout.whole[1] and layout.columns <= layout.whole[2]


@given(st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_the_edges_of_an_axis_are_kept(length, drawn):
    drawn = min(length, drawn)
    indices = pictures.edges_kept(length, drawn)
    assert len(indices) == drawn == len(set(indices.tolist()))
    assert indices[0] == 0 and (drawn == 1 or indices[-1] == length - 1)
    assert (np.diff(indices) > 0).all()


FLOATS = st.floats(width=32)


@given(st.lists(FLOATS, min_size=1, max_size=30), st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_bytes_of_cells_tell_the_sign_and_what_is_not_finite(values, scale):
    x = np.array(values, np.float32)
    codes = pictures.quantised(x, scale).astype(int)
    finite = np.isfinite(x)
    assert (codes[np.isnan(x)] == pictures.NAN).all()
    assert (codes[x == np.inf] == pictures.PLUS_INFINITY).all()
    assert (codes[x == -np.inf] == pictures.MINUS_INFINITY).all()
    error = (codes - pictures.ZERO) / pictures.STEPS * scale - np.clip(
        x.astype(float), -scale, scale
    )
    assert (np.abs(error[finite]) <= 0.51 * scale / pictures.STEPS).all()


@given(st.lists(FLOATS, min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_facts_are_those_of_the_finite_values(values):
    x = np.array(values, np.float32)
    facts = pictures.facts_of(x)
    finite = x[np.isfinite(x)].astype(float)
    assert facts.get("nan", 0) == np.isnan(x).sum() and facts.get("inf", 0) == np.isinf(x).sum()
    if finite.size:
        found = [facts[name] for name in ("min", "mean", "max")]
        largest = np.abs(finite).max()
        np.testing.assert_allclose(
            found, [finite.min(), finite.mean(), finite.max()], 1e-5, 1e-5 * largest
        )
        assert facts["zeros"] == pytest.approx((finite == 0).mean(), abs=1e-4)


def test_facts_of_values_whose_sum_overflows_are_finite():
    facts = pictures.facts_of(np.full(3, 1e308))
    assert facts["mean"] == facts["rms"] == facts["max"] == 1e308


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint8, np.float16, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (7,), (500,), (90, 100), (2, 3, 4, 5)])
def test_every_dtype_and_shape_has_a_record(shape, dtype):
    array = np.ones(shape, dtype)
    array.flat[1:2] = 0  # of one value alone there is no picture
    record = pictures.picture_of(array, pictures.layout_of(shape))
    assert ("cells" in record) == (array.size > 1)
    assert record.get("max", 1) == 1
    page_data.as_json(record)


@pytest.mark.parametrize("value", [0.0, -3.5, np.nan, np.inf, -np.inf])
def test_what_is_one_value_everywhere_has_no_picture(value):
    array = np.full((8, 784), value, np.float32)
    layout = pictures.layout_of(array.shape)
    assert "cells" not in pictures.picture_of(array, layout)
    array[0, 0] = np.nan if value == np.inf else np.inf
    record = pictures.picture_of(array, layout)
    assert "cells" in record and record["nan"] + record["inf"] >= 1


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=40, unique=True))
@settings(max_examples=100, deadline=None)
def test_colours_are_about_zero_or_about_values_far_from_it(values):
    x = np.array(values)
    record = pictures.picture_of(x, pictures.layout_of(x.shape))
    low, high = [record.get("middle", 0.0) + sign * record["scale"] for sign in (-1, 1)]
    slack = 1e-5 * np.abs(x).max()
    if "middle" in record:
        assert abs(low - x.min()) <= slack and abs(high - x.max()) <= slack
        assert "beyond" not in record and low * high > 0
    else:
        beyond = ((x > high + slack) | (x < low - slack)).sum()
        assert record.get("beyond", 0) >= beyond and (beyond or "beyond" not in record or slack)


def test_images_are_drawn_as_images():
    grey, colour = np.full((9, 784), 0.5, np.float32), np.full((2, 3, 16, 16), 200, np.uint8)
    grey[0, 0] = colour[0, 0, 0, 0] = 0
    record = pictures.picture_of(grey, pictures.layout_of(grey.shape))
    assert (record["kind"], record["palette"]) == ("image", "grey")
    assert record["drawn"] == (5, 28, 28)
    record = pictures.picture_of(colour[:1], pictures.layout_of((1, 3, 16, 16)))
    assert record["kind"] == "image" and record["drawn"] == (1, 16, 16)
