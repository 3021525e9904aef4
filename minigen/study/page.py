"""A recording as a page: one HTML file, opened by any browser without a network."""

import html
import os
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from minigen.study.page_data import page_data

MAX_BYTES = 3_000_000  # of a page; pictures get fewer cells to keep to it
MAX_BYTES_IN_NOTEBOOKS = 1_000_000  # which are written to the notebook at each run of a cell
SCRIPTS = (
    *("elements", "data", "notes", "tree", "pictures", "list", "source", "remarks", "card"),
    *("step", "memory", "search", "panels", "layout", "graph", "page"),
)


def page_of(run: Any, max_bytes: int = MAX_BYTES, subject: str = "") -> str:
    """The HTML of the page of a recording; subject: what ran, for the title."""
    if not run._recorder.has_ended:
        raise RuntimeError("run.page: the recording goes on; call it after the with block")
    static = files("minigen.study") / "static"
    read = lambda name: (static / name).read_text(encoding="utf-8")
    parts = {
        "title": html.escape(title_of(run, subject)),
        "style": read("page.css") + read("step.css") + read("panels.css"),
        "script": "\n".join(read(f"{name}.js") for name in SCRIPTS),
    }
    template = Template(read("template.html"))
    rest = len(template.substitute(parts, data=""))
    return template.substitute(parts, data=page_data(run, max_bytes - rest))


def write_page(run: Any, path: str | os.PathLike, subject: str = "") -> Path:
    """Write the page of a recording to a file, at most 3 MB unless it has very many steps."""
    path = Path(path).expanduser()
    path.write_text(page_of(run, subject=subject), encoding="utf-8")
    return path


def framed_page(run: Any) -> str:
    """The page in a frame, for a notebook."""
    text = html.escape(page_of(run, MAX_BYTES_IN_NOTEBOOKS), quote=False)
    text = text.replace("'", "&#x27;")  # fewer than the double quotes, which JSON is full of
    style = "width: 100%; height: 720px; border: 1px solid #8886; border-radius: 6px"
    return f"""<iframe srcdoc='{text}' title="a recorded run" style="{style}"></iframe>"""


def title_of(run: Any, subject: str = "") -> str:
    """What the page is called: subject, the models, the number of steps, where backward began."""
    outermost = [name for path, name in run._recorder.user_modules.classes.items() if is_root(path)]
    names = list(dict.fromkeys(outermost))
    what = " and ".join(names[:2]) + (" and others" if len(names) > 2 else "")
    size = f"{len(run.steps)} steps"
    found = [run.values[i] for p in run.passes[:1] for i, _ in p.roots if i is not None]
    loss = ""
    if len(found) == 1 and found[0].array is not None and found[0].array.size == 1:
        loss = f"loss {found[0].array.item():.5g}".replace("nan", "NaN")
    facts = ", ".join(filter(None, (what, loss) if subject else (size, loss)))
    return ": ".join(filter(None, (subject or what, facts)))


def is_root(path: str) -> bool:
    """Whether a path is that of an outermost module: "", or m0, m1, ... of several."""
    return path == "" or re.fullmatch(r"m\d+", path) is not None
