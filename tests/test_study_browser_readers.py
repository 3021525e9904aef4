"""The page of a run for every reader: dark and light, narrow and wide, by keyboard, in a frame."""

import os

import pytest
from chromium import ADVICE, chromium, executable, opened
from study_runs import branches, long, saved, small_net, vae

BOTH_WIDTHS = pytest.mark.parametrize("width", [360, 1600])

pytestmark = pytest.mark.skipif(executable() is None, reason=f"there is no Chromium: {ADVICE}")


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
    with chromium() as browser:
        yield browser


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
def test_text_can_be_read_in_light_and_dark(browser, width, dark):
    _, path = saved(vae)
    with opened(browser, path, width, dark=dark, at="20") as page:
        ground = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground.strip("rgba()").split(",")[:3])) < 384) == dark
        assert page.tab.evaluate(CONTRAST) == []


FOCUSABLE = """() => [...document.querySelectorAll(
    'button:not([tabindex]), input, select, summary, a[href], [tabindex="0"]')]
  .filter(element => element.checkVisibility() && !element.disabled)
  .map((element, i) => { element.dataset.number = i; return element.outerHTML.slice(0, 80); })"""


@BOTH_WIDTHS
def test_tab_reaches_everything(browser, width):
    _, path = saved(vae)
    with opened(browser, path, width, at="4") as page:
        wanted = page.tab.evaluate(FOCUSABLE)
        reached = set()
        for _ in range(len(wanted) + 10):
            page.press("Tab")
            reached.add(page.tab.evaluate("document.activeElement.dataset.number"))
        missing = [html for i, html in enumerate(wanted) if str(i) not in reached]
        assert not missing
        assert page.current == 4


def test_enter_folds_and_unfolds_and_arrows_choose(browser):
    _, path = saved(small_net)
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


def test_a_module_is_one_row_backward_though_branches_interleave(browser):
    run, path = saved(branches)
    takes_turns = [s.module[:4] for s in run.steps if s.kind == "backward" and s.module]
    assert takes_turns == ["left", "righ"] * 3
    with opened(browser, path, at="15") as page:
        page.tab.click("#fold")
        rows = [" ".join(text.split()) for text in page.tab.locator(".row.fold").all_inner_texts()]
        backward = [row for row in rows if " of " in row]
        assert [row.count("3 of steps") for row in backward] == [1, 1]
        page.tab.click("#unfold")
        page.press("ArrowRight", "ArrowRight", "g")  # whatever the order of the rows
        assert page.current == 17 and page.errors == []
        nodes = page.tab.locator("#graph .node")
        nodes.first.wait_for()  # the layout is made in a worker
        assert nodes.count() == len(run.steps)


UNNAMED = """() => [...document.querySelectorAll(
    'button, input, select, canvas, svg, [role=img], [role=tree], [role=listbox], section')]
  .filter(element => element.checkVisibility() && !element.closest('[aria-hidden=true]'))
  .filter(e => !(e.ariaLabel || e.title || e.labels?.length || e.getAttribute('aria-labelledby')
    || (e.matches('button') && e.innerText.trim()) || e.closest('[role=img][aria-label]')))
  .map(element => element.outerHTML.slice(0, 100))"""


def test_everything_has_a_name_for_a_screen_reader(browser):
    run, path = saved(vae)
    with opened(browser, path) as page:
        for at in (0, 3, len(run.steps) - 1):
            page.tab.evaluate(f"study.go({at})")
            assert page.tab.evaluate(UNNAMED) == []
        assert page.tab.get_attribute("html", "lang") == "en"
        announced = page.tab.text_content("[aria-live]")
        assert run.steps[at].op in announced


@BOTH_WIDTHS
@pytest.mark.parametrize("make", [vae, long])
def test_the_graph_is_the_second_view(browser, make, width):
    run, path = saved(make)
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


# The edges that run through a box: [edge, box] where a point of the one is inside the other.
THROUGH = """() => {
  const boxes = [...document.querySelectorAll('#graph .node rect')].map(rect => {
    const { x, y, width, height } = rect.getBBox();
    const { e, f } = rect.parentNode.transform.baseVal[0].matrix;
    const [left, top] = [x + e + 2, y + f + 2];
    return { left, top, right: left + width - 4, bottom: top + height - 4 };
  });
  return [...document.querySelectorAll('#graph .edge')].flatMap((edge, i) => {
    const length = edge.getTotalLength();
    return Array.from({ length: 80 }, (_, k) => edge.getPointAtLength(length * k / 79))
      .filter(p => boxes.some(b => b.left < p.x && p.x < b.right && b.top < p.y && p.y < b.bottom))
      .map(p => [i, p.x, p.y]);
  });
}"""


def test_edges_pass_beside_boxes_which_keys_reach(browser):
    _, path = saved(vae)
    with opened(browser, path, at="3") as page:
        page.press("g")
        page.tab.wait_for_selector("#graph .node")
        assert page.tab.locator("#graph .edge").count() > 20
        assert page.tab.evaluate("document.querySelector('#graph .node rect').getBBox().width") > 40
        assert page.tab.evaluate(THROUGH) == []
        page.press("ArrowDown")
        assert page.current == 4
        page.press("ArrowUp", "ArrowUp")
        assert page.current == 2
        page.press("0")
        width = page.tab.locator("#graph svg").bounding_box()["width"]
        assert width <= page.tab.locator("#graph .drawing").bounding_box()["width"]
        page.press("+")
        assert page.tab.locator("#graph svg").bounding_box()["width"] > width
        texts = page.tab.locator("#graph .below").all_text_contents()
        assert any("encoder.0" in text for text in texts) and page.errors == []


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
