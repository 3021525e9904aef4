"""The page of a run: its JSON, its pictures and its size, without a browser."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen as mg
from minigen import nn, study
from minigen.study import page, page_data


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
    assert data["kept"] is values
    assert bool(data["pictures"]) is values


def test_a_recording_that_goes_on_has_no_page_yet():
    with study.record() as run:
        mg.tanh(mg.tensor(1.0))
        with pytest.raises(RuntimeError, match="after the with block"):
            page.page_of(run)
    assert "tanh" in page.page_of(run)


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


def test_markup_in_source_and_names_stays_text(tmp_path):
    script = tmp_path / "a<b>&'.py"
    script.write_text(
        "def run(mg, x):\n"
        "    return mg.exp(x)  # </script><script>alert(1)</script> \"'& \u2028 <!-- é\n"
    )
    names: dict = {}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), names)
    x = mg.tensor([1.0, np.nan, np.inf], requires_grad=True)
    with study.record(names={'</script> "w" &': x}) as run:
        mg.sum(names["run"](mg, x)).backward()
    text = page.page_of(run)
    assert text.count("</script>") == 2 and "<!-- é" not in text
    data = data_of(text)
    (source,) = (file for file in data["files"] if file["name"] == script.name)
    assert "</script><script>alert(1)</script> \"'& " in source["parts"][0][1][1]
    assert page.framed_page(run).count("</iframe>") == 1


def test_a_large_recording_has_smaller_pictures_instead_of_a_larger_page():
    x = mg.tensor(np.random.default_rng(0).normal(size=(40, 90)), requires_grad=True)
    with study.record() as run:
        y = x
        for _ in range(60):
            y = mg.tanh(y * 1.01)
        mg.sum(y).backward()
    for max_bytes in (1_000_000, 400_000):
        text = page.page_of(run, max_bytes)
        assert max_bytes / 3 < len(text.encode()) < max_bytes
        assert len(data_of(text)["steps"]) == len(run.steps)


def test_equal_arrays_share_a_picture():
    x = mg.tensor(np.arange(6.0), requires_grad=True)
    with study.record() as run:
        mg.sum(x + x).backward()
    data = data_of(page.page_of(run))
    numbers = [value["picture"] for value in data["values"]]
    assert len(set(numbers)) == len(data["pictures"]) < len(numbers)


def test_arguments_that_were_detached_are_marked():
    w = mg.tensor(np.ones((2, 2)), requires_grad=True)
    with study.record() as run:
        h = mg.tanh(w)
        loss = mg.sum(h.detach() * w + mg.tensor(np.ones(2)))
        loss.backward()
    data = data_of(page.page_of(run))
    (cut,) = data["cuts"]
    h = run.steps[0].outputs[0]
    assert [step.get("cut") for step in data["steps"][:2]] == [None, [h]]
    assert not any("cut" in step for step in data["steps"][2:])
    assert (cut["kind"], cut["value"], cut["step"], cut["used"]) == ("detach", h, 1, 1)
    assert cut["lines"] == [run.steps[1].line]


def test_a_cut_is_told_from_where_it_is_used():
    w = mg.tensor(np.ones((2, 2)), requires_grad=True)
    with study.record() as run:
        with mg.no_grad():
            h = mg.tanh(mg.exp(w) * w)
        a = mg.cos(w).detach()
        b = mg.sin(a)
        mg.sum(h * b * w).backward()
        with mg.no_grad():
            mg.mean(h)
    data = data_of(page.page_of(run))
    ops = [(step["op"], step.get("outside", False)) for step in data["steps"]]
    assert [op for op, outside in ops if outside] == [
        "exp",
        "multiply",
        "tanh",
        "sin",
        *ops[5][:1],
        "mean",
    ]
    first, second = data["cuts"]
    assert first["kind"] == "no_grad" and ops[first["step"]][0] == "exp"
    assert second["kind"] == "detach" and ops[second["step"]][0] == "sin"
    assert second["value"] == run.steps[3].outputs[0]
    assert first["lines"] == [run.steps[0].line - 1] and first["used"] == second["used"] == 6


def test_norms_are_those_of_parameters_and_their_gradients():
    x = mg.tensor(np.array([3e30, 4e30], np.float32), requires_grad=True)
    y = mg.tensor(np.array([1.0, np.nan]), requires_grad=True)
    with study.record() as run:
        mg.sum(x * 1e-30 + y).backward()
    norms = dict(data_of(page.page_of(run))["norms"])
    value = lambda name: next(v.number for v in run.values if v.name == name)
    gradient = run.passes[0].gradients[value("x0")]
    assert norms[value("x0")] == pytest.approx(5e30, rel=1e-4)
    assert norms[gradient] == pytest.approx(2**0.5 * 1e-30, rel=1e-4)
    assert norms[value("x1")] == "NaN"


def test_a_step_says_its_arguments_constants_and_what_gradients_do_not_reach():
    w = mg.tensor(np.ones((2, 2)), requires_grad=True)
    with study.record() as run:
        h = mg.tanh(w) - 1.0
        with mg.no_grad():
            c = mg.exp(w)
        mg.cross_entropy(h.detach() * c * w, np.array([0, 1])).backward()
    data = data_of(page.page_of(run))
    text = lambda step, name: data["texts"][step[name]] if name in step else ""
    forward = [s for s in data["steps"] if not s.get("back")]
    assert [text(s, "names") for s in forward] == ["x", "a", "x", "a b", "a b", "x target"]
    assert text(forward[1], "static") == "b=1.0"
    assert [s.get("untracked", []) for s in forward] == [[], [], [], [0, 1], [0], [1]]
    assert [s.get("recorded", False) for s in forward] == [True, True, False, False, True, True]
    assert text(forward[-1], "residuals") == "lse factor"


def test_the_bands_of_memory_are_those_of_the_run_without_temporaries():
    run = recorded()
    data, memory = data_of(page.page_of(run)), run.memory()
    for band in data["memory"]:
        assert len(band["bytes"]) == len(run.steps)
    total = np.sum([band["bytes"] for band in data["memory"]], axis=0)
    assert (total <= memory.total[:-1]).all()
    assert total[0] >= memory.before
    w = next(v.number for v in run.values if v.path == "0.weight")
    x = run.steps[1].outputs[0]  # of tanh, which its rule reads
    assert "until" not in data["values"][w]
    assert data["values"][x]["until"] in range(run.steps[1].number + 1, len(run.steps))


def test_every_file_of_the_page_is_short_and_narrow():
    from importlib.resources import files

    for file in (files("minigen.study") / "static").iterdir():
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300 and max(map(len, lines)) <= 100, file.name
