"""The page of a run: its JSON, its pictures and its size, without a browser."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen as mg
from minigen import nn, study
from minigen.study import page, page_data, pictures


def recorded(values=True):
    rng = mg.Generator(0)
    net = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh(), nn.Linear(4, 1, rng=rng))
    with study.record(values) as run:
        mg.sum(net(mg.tensor(np.ones((5, 3), np.float32)))).backward()
    return run


def data_of(text):
    """The JSON of a page, as a browser reads it."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found)


@pytest.mark.parametrize("values", [True, False])
def test_a_page_holds_each_step_and_value(tmp_path, values):
    run = recorded(values)
    path = run.page(tmp_path / "step.html")
    data = data_of(path.read_text(encoding="utf-8"))
    assert [s["op"] for s in data["steps"]] == [step.op for step in run.steps]
    assert [tuple(v["shape"]) for v in data["values"]] == [v.shape for v in run.values]
    assert len(data["memory"]) == len(run.steps)
    assert data["kept"] is values
    assert bool(data["pictures"]) is values


def test_a_page_names_nothing_outside_of_itself():
    text = page.page_of(recorded())
    text = text[: text.index('id="data"')] + text[text.index('<script>\n"use strict"') :]
    assert set(re.findall(r"https?://[^\"'\s]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r'(src|href)="(?!data:,|#)', text)
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(ANYTHING)
@settings(max_examples=100, deadline=None)
def test_json_survives_inside_of_a_script_element(data):
    text = page_data.as_json(data)
    assert not set(text) & set("<>&\u2028\u2029") and text.isascii()
    assert json.loads(text) == page_data.with_names_of_numbers(data)


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
