"""The page of a run in a real browser, without a network: read by keys, links and search."""

import numpy as np
import pytest
from chromium import ADVICE, chromium, executable, opened
from study_runs import HOSTILE, broken, cut, long, saved, small_net, vae

import minigen as mg
from minigen import study

BOTH_WIDTHS = pytest.mark.parametrize("width", [360, 1600])

pytestmark = pytest.mark.skipif(executable() is None, reason=f"there is no Chromium: {ADVICE}")


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
    with chromium() as browser:
        yield browser


def shown(page):
    """The text of the row that is marked as the current step."""
    return page.tab.inner_text("#steps [aria-current='step']")


# ------------------------------------------------------------------------------ step by step


@BOTH_WIDTHS
@pytest.mark.parametrize("make", [small_net, vae, long, broken])
def test_keys_step_to_the_end_and_back(browser, make, width):
    run, path = saved(make)
    last = len(run.steps) - 1
    with opened(browser, path, width, dark=make is vae) as page:
        assert page.steps == len(run.steps)
        assert page.current == 0 and page.overflow == 0
        if make is long:  # its middle is left out
            page.press(*["ArrowRight"] * 9, "End", *["ArrowLeft"] * 9)
        for number in range(page.current, last):
            assert page.current == number
            page.press("ArrowRight")
        page.press("ArrowRight")
        assert page.current == last and page.overflow == 0
        assert run.steps[last].op in page.tab.inner_text("#step")
        if make is long:
            page.press("Home", *["ArrowRight"] * 9)
        for number in range(page.current, 0, -1):
            assert page.current == number
            page.press("ArrowLeft")
        page.press("ArrowLeft")
        assert page.current == 0 and page.overflow == 0
        assert page.errors == []
        assert page.requests == [path.absolute().as_uri()]
    assert path.stat().st_size < 3_000_000


def test_the_address_follows_and_back_returns(browser):
    run, path = saved(vae)
    with opened(browser, path, at="12") as page:
        assert page.current == 12 and run.steps[12].op in shown(page)
        page.press("ArrowRight")
        page.tab.wait_for_function("location.hash === '#13'")
        page.tab.wait_for_timeout(300)  # a later step is an entry of its own
        page.tab.evaluate("study.go(3)")
        page.tab.wait_for_function("location.hash === '#3'")
        page.tab.go_back()
        page.tab.wait_for_function("study.current() === 13")
        page.tab.evaluate("location.hash = '#5'")  # as a link does
        page.tab.wait_for_function("study.current() === 5")
        assert page.errors == []


@pytest.mark.parametrize("at", ["-1", "99999", "x", "1.5", "%00"])
def test_an_address_without_a_step_opens_the_page_all_the_same(browser, at):
    _, path = saved(small_net)
    with opened(browser, path, at=at) as page:
        assert 0 <= page.current < page.steps
        assert page.errors == []


def test_space_plays_and_stops(browser):
    _, path = saved(small_net)
    with opened(browser, path) as page:
        page.press("Space")
        page.tab.wait_for_function("study.current() === 2")
        page.press("Space")
        now = page.current
        page.tab.wait_for_timeout(900)
        assert page.current == now


def test_every_step_shows_its_rule_its_line_and_its_values(browser):
    run, path = saved(small_net)
    with opened(browser, path) as page:
        for step in run.steps:
            text = page.tab.text_content("#step")
            assert step.op in text and step.kind in text
            assert step.rule.strip() in text
            for number in (*step.inputs, *step.outputs):
                shape = " \u00d7 ".join(map(str, run.values[number].shape)) or "scalar"
                assert shape in text
            assert step.code in page.tab.text_content("#source")
            page.press("ArrowRight")


# ------------------------------------------------------------------------------------- jumps


def test_search_goes_to_an_op_a_parameter_and_a_number(browser):
    run, path = saved(vae)
    with opened(browser, path) as page:
        for typed in ("gaussian_kl", "decoder.2.weight", "#7"):
            page.press("/")
            page.tab.keyboard.type(typed)
            page.press("Enter")
            step = run.steps[page.current]
            if typed == "gaussian_kl":
                assert step.op == "gaussian_kl"
            elif typed == "#7":
                assert step.number == 7
            else:
                (number,) = (v.number for v in run.values if v.path == typed)
                assert number in step.inputs
        before = page.current
        page.press("/")
        page.tab.keyboard.type("no such name")
        page.press("Enter", "Escape")
        assert page.current == before and page.errors == []


def test_the_next_nan_and_the_largest_cotangent_are_a_key_away(browser):
    run, path = saved(broken)
    bad = [
        step.number
        for step in run.steps
        if any(not np.isfinite(run.values[i].array).all() for i in step.outputs)
    ]
    assert len(bad) > 2
    with opened(browser, path) as page:
        found = []
        for _ in bad:
            page.press("n")
            found.append(page.current)
        assert sorted(found) == bad
        page.press("c")
        first = page.current
        page.press("c")
        assert page.current != first
        assert run.steps[first].kind == run.steps[page.current].kind == "backward"


def test_search_finds_values_lines_and_what_is_not_finite(browser):
    run, path = saved(broken)
    made = run.steps[1].outputs[0]
    with opened(browser, path) as page:
        for typed, wanted in (
            (f"v{made}", 1),
            ("log", 0),
            (f"study_runs.py:{run.steps[2].line}", None),
            (f"line {run.steps[2].line}", None),
            ("nan", None),
        ):
            page.press("/")
            page.tab.keyboard.type(typed)
            page.press("Enter")
            step = run.steps[page.current]
            if typed == "nan":
                assert any(not np.isfinite(run.values[i].array).all() for i in step.outputs)
            else:
                assert step.number == wanted or (wanted is None and step.line == run.steps[2].line)
        assert page.errors == []


def test_the_parameters_show_their_gradients_and_lead_to_them(browser):
    run, path = saved(cut)
    with opened(browser, path) as page:
        page.press("p")
        text = page.tab.inner_text("#parameters")
        rows = dict(line.split("\t")[::2] for line in text.splitlines() if line.count("\t") > 1)
        assert rows["before.weight"].strip() == "none"
        assert rows["dead.weight"].strip() == "0 everywhere"
        page.press("ArrowDown", "Enter")
        assert page.tab.locator("#parameters").is_visible()
        before = next(v.number for v in run.values if v.path == "before.bias")
        assert before in run.steps[page.current].inputs
        page.press("p")
        assert page.tab.locator("#steps").is_visible() and page.errors == []


def test_notes_name_the_line_of_the_cut_and_stay_with_their_step(browser):
    run, path = saved(cut)
    (tanh,) = (s for s in run.steps if s.op == "tanh" and s.kind == "forward")
    with opened(browser, path) as page:
        page.press("u")
        notes = page.tab.inner_text("#notes")
        assert f"detach() (line {tanh.line})" in notes and "no gradient reaches" in notes
        page.tab.click("#notes a >> text=detach()")
        assert page.current == tanh.number
        assert "detach()" in page.tab.inner_text("#step .remark")
        page.press("u")
        assert "detached" in shown(page) and page.errors == []


def test_a_question_mark_shows_the_keys(browser):
    _, path = saved(small_net)
    with opened(browser, path) as page:
        page.press("?")
        assert "search" in page.tab.inner_text("#help")
        page.press("ArrowRight")
        assert page.current == 0
        page.press("Escape", "ArrowRight")
        assert page.current == 1 and page.errors == []


def test_another_size_of_the_window_keeps_the_step_in_view(browser):
    _, path = saved(vae)
    with opened(browser, path, at="20") as page:
        page.tab.set_viewport_size({"width": 900, "height": 500})
        page.tab.wait_for_function(
            """() => {
              const box = document.querySelector('#steps').getBoundingClientRect();
              const row = document.querySelector("#steps [aria-current='step']");
              const { top, bottom } = row ? row.getBoundingClientRect() : { top: -1, bottom: -1 };
              return innerWidth === 900 && box.top <= top && bottom <= box.bottom;
            }"""
        )


# ------------------------------------------------------------------------- any text, any values


@BOTH_WIDTHS
def test_markup_in_names_and_source_is_text(browser, width):
    run, path = saved(broken)
    step = next(s for s in run.steps if s.module == f"parts.{HOSTILE}")
    with opened(browser, path, width, at=str(step.number)) as page:
        assert page.tab.evaluate("window.harm") is None
        assert page.tab.locator("#source b, #steps img, #step img").count() == 0
        assert "# </script><b>\"bold\"</b> & 'more' <!--" in page.tab.text_content("#source")
        assert f"{HOSTILE}.weight" in page.tab.text_content("#step")
        assert page.errors == [] and page.overflow == 0


def test_not_finite_values_are_named(browser):
    run, path = saved(broken)
    (log,) = (s.number for s in run.steps if s.op == "log" and s.kind == "forward")
    with opened(browser, path, at=str(log)) as page:
        assert "infinite" in page.tab.inner_text("#step")
        page.press("ArrowRight")
        assert "NaN" in page.tab.inner_text("#step")


def worth_a_look():
    """An argument that is detached, a result of zeros, and a gradient that is a sum."""
    w = mg.tensor(np.linspace(1.0, 2.0, 6).reshape(2, 3), requires_grad=True)
    with study.record() as run:
        h = mg.relu(-w)
        with mg.no_grad():
            c = mg.tanh(w)
        mg.sum(h * w + w.detach() * c + mg.exp(w)).backward()
    return run


def test_the_pane_says_what_is_worth_a_look(browser):
    run, path = saved(worth_a_look)
    remarks, cards = "#step .head .remark", "#step .cards"
    with opened(browser, path) as page:
        said = []
        for _ in run.steps:
            found = page.tab.locator(remarks).all_inner_texts()
            said.append((run.steps[page.current].op, run.steps[page.current].kind, found))
            if "completes the sum" in (text := page.tab.inner_text(cards)):
                assert page.current == len(run.steps) - 1 and "one of 3 terms" in text
            page.press("ArrowRight")
        assert "completes the sum" in text
        assert page.errors == []

    def texts(op, kind="forward"):
        return " ".join(x for o, k, found in said if (o, k) == (op, kind) for x in found)

    assert "0 everywhere, though nothing it takes is" in texts("relu")
    assert "no_grad" in texts("tanh") and "detach" in texts("multiply")
    assert texts("exp") == texts("sum") == texts("sum", "backward") == ""


def test_a_run_without_values_and_one_without_steps(browser, tmp_path):
    with study.record(values=False) as run:
        mg.exp(mg.tensor([1.0], requires_grad=True)).backward()
    with study.record() as empty:
        pass
    for number, recording in enumerate((run, empty)):
        path = tmp_path / f"{number}.html"
        recording.page(path)
        with opened(browser, path) as page:
            assert page.steps == len(recording.steps)
            page.press("ArrowRight", "ArrowLeft", "n", "c", "g")
            assert page.errors == []
