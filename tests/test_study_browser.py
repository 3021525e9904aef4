"""The page of a run in a real browser, without a network: read by keys, links and search."""

import os

import numpy as np
import pytest
from chromium import ADVICE, chromium, executable, opened

import minigen as mg
from minigen import nn, study
from minigen.models import VAE

HOSTILE = "</script><img src=x onerror='window.bad = 1'>\"&amp;"
BOTH_WIDTHS = pytest.mark.parametrize("width", [360, 1600])

pytestmark = pytest.mark.skipif(executable() is None, reason=f"there is no Chromium: {ADVICE}")


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
    with chromium() as browser:
        yield browser


def small_net():
    rng = mg.Generator(0)
    net = nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Tanh(), nn.Linear(3, 1, rng=rng))
    x = mg.tensor(np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2))
    with study.record() as run:
        mg.mse_loss(net(x), mg.tensor(np.ones((4, 1), np.float32))).backward()
    return run


def vae():
    rng = mg.Generator(0)
    model = VAE(latent=4, hidden=32, rng=rng)
    x = mg.tensor(rng.random((16, 784)))
    with study.record() as run:
        model.loss(x, np.zeros(16, np.int64))[0].backward()
    return run


def long():
    """2,000 steps: a recurrence of a layer, that the reader sees folded."""
    layer = nn.Linear(4, 4, rng=mg.Generator(0))
    x = mg.tensor(np.ones((2, 4), np.float32))
    with study.record() as run:
        for _ in range(500):
            x = mg.tanh(layer(x))
        mg.sum(x).backward()
    return run


def broken():
    """NaN, infinities, and markup in names and in the source."""
    layers = nn.ModuleDict({HOSTILE: nn.Linear(2, 2, rng=mg.Generator(0))})
    x = mg.tensor(np.array([[0.0, 1.0]], np.float32), requires_grad=True)
    with study.record() as run, np.errstate(all="ignore"):
        y = mg.log(x) * 0 + layers[HOSTILE](x)  # </script><b>"bold"</b> & 'more' <!--
        mg.sum(y).backward()
    return run


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A function of a recording's name: (the recording, the path of its page)."""
    made = {}

    def page(make):
        if make not in made:
            run = make()
            path = tmp_path_factory.mktemp("page") / "step.html"
            run.page(path)
            made[make] = run, path
        return made[make]

    return page


def shown(page):
    """The text of the row that is marked as the current step."""
    return page.tab.inner_text("#steps [aria-current='step']")


# ------------------------------------------------------------------------------ step by step


@BOTH_WIDTHS
@pytest.mark.parametrize("make", [small_net, vae, long, broken])
def test_keys_step_to_the_end_and_back(browser, pages, make, width):
    run, path = pages(make)
    last = len(run.steps) - 1
    with opened(browser, path, width, dark=make is vae) as page:
        assert page.steps == len(run.steps)
        assert page.current == 0 and page.overflow == 0
        often = max(0, last - 20)
        page.press_often("ArrowRight", often)
        for number in range(often, last):
            assert page.current == number
            page.press("ArrowRight")
        assert page.current == last
        page.press("ArrowRight")
        assert page.current == last and page.overflow == 0
        assert run.steps[last].op in page.tab.inner_text("#step")
        page.press_often("ArrowLeft", often)
        page.press(*["ArrowLeft"] * (last - often))
        assert page.current == 0
        page.press("ArrowLeft")
        assert page.current == 0 and page.overflow == 0
        assert page.errors == []
        assert page.requests == [path.absolute().as_uri()]
    assert path.stat().st_size < 3_000_000


def test_the_address_follows_and_back_returns(browser, pages):
    run, path = pages(vae)
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
def test_an_address_without_a_step_opens_the_page_all_the_same(browser, pages, at):
    _, path = pages(small_net)
    with opened(browser, path, at=at) as page:
        assert 0 <= page.current < page.steps
        assert page.errors == []


def test_space_plays_and_stops(browser, pages):
    _, path = pages(small_net)
    with opened(browser, path) as page:
        page.press("Space")
        page.tab.wait_for_function("study.current() === 2")
        page.press("Space")
        now = page.current
        page.tab.wait_for_timeout(900)
        assert page.current == now


def test_every_step_shows_its_rule_its_line_and_its_values(browser, pages):
    run, path = pages(small_net)
    with opened(browser, path) as page:
        for step in run.steps:
            text = page.tab.text_content("#step")
            assert step.op in text and step.kind in text
            assert step.rule.strip() in text
            for number in (*step.inputs, *step.outputs):
                shape = " × ".join(map(str, run.values[number].shape)) or "scalar"
                assert shape in text
            assert step.code in page.tab.text_content("#source")
            page.press("ArrowRight")


# ------------------------------------------------------------------------------------- jumps


def test_search_goes_to_an_op_a_parameter_and_a_number(browser, pages):
    run, path = pages(vae)
    with opened(browser, path) as page:
        for typed in ("exp", "decoder.2.weight", "#7"):
            page.press("/")
            page.tab.keyboard.type(typed)
            page.press("Enter")
            step = run.steps[page.current]
            if typed == "exp":
                assert step.op == "exp"
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


def test_the_next_nan_and_the_largest_cotangent_are_a_key_away(browser, pages):
    run, path = pages(broken)
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
        assert run.steps[page.current].kind == "backward"


# ------------------------------------------------------------------------- any text, any values


@BOTH_WIDTHS
def test_markup_in_names_and_source_is_text(browser, pages, width):
    run, path = pages(broken)
    step = next(s for s in run.steps if s.module == HOSTILE)
    with opened(browser, path, width, at=str(step.number)) as page:
        assert page.tab.evaluate("window.bad") is None
        assert page.tab.locator("#source b, #steps img, #step img").count() == 0
        assert "# </script><b>\"bold\"</b> & 'more' <!--" in page.tab.text_content("#source")
        assert f"{HOSTILE}.weight" in page.tab.text_content("#step")
        assert page.errors == [] and page.overflow == 0


def test_not_finite_values_are_named(browser, pages):
    run, path = pages(broken)
    (log,) = (s.number for s in run.steps if s.op == "log" and s.kind == "forward")
    with opened(browser, path, at=str(log)) as page:
        assert "infinite" in page.tab.inner_text("#step")
        page.press("ArrowRight")
        assert "NaN" in page.tab.inner_text("#step")


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


# ------------------------------------------------------------- for every reader, on every screen

CONTRAST = """() => {
  const light = color => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map(c => c / 255);
    const [r, g, b] = parts.map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    const color = getComputedStyle(element).backgroundColor;
    const clear = color === 'transparent' || /, 0\\)$/.test(color);
    return clear && element.parentElement ? ground(element.parentElement) : color;
  };
  const found = [];
  for (const element of document.querySelectorAll('h1, button, p, pre, #steps span, #step b')) {
    if (!element.checkVisibility() || !element.innerText.trim() || element.disabled) continue;
    if (/rgba\\(.*0?\\.\\d+\\)/.test(ground(element))) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push([contrast, element.outerHTML.slice(0, 150)]);
  }
  return found;
}"""


@BOTH_WIDTHS
@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_light_and_dark(browser, pages, width, dark):
    _, path = pages(vae)
    with opened(browser, path, width, dark=dark, at="20") as page:
        ground = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground.strip("rgba()").split(",")[:3])) < 384) == dark
        assert page.tab.evaluate(CONTRAST) == []


FOCUSABLE = """() => [...document.querySelectorAll(
    'button, input, select, summary, a[href], [tabindex="0"]')]
  .filter(element => element.checkVisibility() && !element.disabled)
  .map((element, i) => { element.dataset.number = i; return element.outerHTML.slice(0, 80); })"""


@BOTH_WIDTHS
def test_tab_reaches_everything(browser, pages, width):
    _, path = pages(vae)
    with opened(browser, path, width, at="4") as page:
        wanted = page.tab.evaluate(FOCUSABLE)
        reached = set()
        for _ in range(len(wanted) + 10):
            page.press("Tab")
            reached.add(page.tab.evaluate("document.activeElement.dataset.number"))
        missing = [html for i, html in enumerate(wanted) if str(i) not in reached]
        assert not missing
        assert page.current == 4


def test_enter_folds_and_unfolds_and_arrows_choose(browser, pages):
    _, path = pages(small_net)
    rows = "#steps [role='treeitem']"
    with opened(browser, path) as page:
        page.tab.focus("#steps [role='tree']")
        page.press("ArrowDown")
        assert page.current == 1
        page.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp")  # to the section "forward"
        before = page.tab.locator(rows).count()
        page.press("Enter")
        folded = page.tab.locator(rows).count()
        page.press("ArrowRight")  # a step of the run, whatever is folded
        now = page.current
        page.press("Enter")
        assert folded < before
        assert page.tab.locator(rows).count() == before
        assert now == 1 and page.errors == []


UNNAMED = """() => [...document.querySelectorAll(
    'button, input, select, canvas, svg, [role=img], [role=tree], [role=listbox], section')]
  .filter(element => element.checkVisibility() && !element.closest('[aria-hidden=true]'))
  .filter(e => !(e.ariaLabel || e.title || e.labels?.length || e.getAttribute('aria-labelledby')
    || (e.matches('button') && e.innerText.trim()) || e.closest('[role=img][aria-label]')))
  .map(element => element.outerHTML.slice(0, 100))"""


def test_everything_has_a_name_for_a_screen_reader(browser, pages):
    run, path = pages(vae)
    with opened(browser, path) as page:
        for at in (0, 3, len(run.steps) - 1):
            page.tab.evaluate(f"study.go({at})")
            assert page.tab.evaluate(UNNAMED) == []
        assert page.tab.get_attribute("html", "lang") == "en"
        announced = page.tab.text_content("[aria-live]")
        assert run.steps[at].op in announced


@BOTH_WIDTHS
@pytest.mark.parametrize("make", [vae, long])
def test_the_graph_is_the_second_view(browser, pages, make, width):
    run, path = pages(make)
    with opened(browser, path, width, at=str(len(run.steps) // 2)) as page:
        page.press("g")
        page.tab.wait_for_selector("#graph svg")
        assert page.tab.locator("#graph svg").first.is_visible()
        nodes = page.tab.locator("#graph svg rect").count()
        assert 3 < nodes <= 420
        page.press("ArrowRight", "ArrowLeft", "Home", "End")
        page.tab.wait_for_timeout(100)
        assert page.overflow == 0 and page.errors == []
        page.press("g")
        assert page.tab.locator("#steps [aria-current='step']").is_visible()


def test_a_notebook_shows_the_page_in_a_frame(browser, tmp_path):
    run = small_net()
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'>{run._repr_html_()}", encoding="utf-8")
    context = browser.new_context()
    context.set_offline(True)
    tab, errors = context.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    tab.goto(path.as_uri())
    (frame,) = tab.frames[1:]
    frame.wait_for_selector("body[data-ready='1']")
    frame.click("#steps [role='tree']")
    frame.focus("#steps [role='tree']")
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowRight")
    assert frame.evaluate("study.current()") == 1
    assert frame.evaluate("study.steps") == len(run.steps)
    assert errors == [] and os.listdir(tmp_path) == ["notebook.html"]
    context.close()
