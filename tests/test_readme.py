"""Every page of Markdown: its links lead somewhere, its code runs, its commands exist."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    {
        path
        for pattern in ("*.md", "*/README.md", "minigen/**/*.md")
        for path in ROOT.glob(pattern)
        if not path.relative_to(ROOT).parts[0].startswith(".")
    }
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.S | re.M)
COMMAND = re.compile(r"python (examples|benchmarks)/(\w+\.py)((?:\s+(?!```)[\w./,-]+)*)")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def blocks(page: Path) -> list[str]:
    """The blocks of Python code of a page, each without the indent that it has there."""
    found = [text.split("\n") for text in BLOCK.findall(page.read_text())]
    indents = [min(len(x) - len(x.lstrip()) for x in lines if x.strip()) for lines in found]
    return ["\n".join(x[n:] for x in lines) for lines, n in zip(found, indents)]


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-") for line in lines}


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_there_are_pages():
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert names >= {
        *("README.md", "CHANGELOG.md", "minigen/README.md", "minigen/kernels/README.md"),
        *("minigen/testing/README.md", "minigen/ops/README.md", "examples/README.md"),
        *("benchmarks/README.md", "tests/README.md"),
    }


@each_page
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(page.read_text()):
        if "://" not in link:
            target, _, anchor = link.partition("#")
            path = (page.parent / target.replace("\\", "")) if target else page
            assert path.exists(), link
            assert path.resolve().is_relative_to(ROOT), link
            assert not anchor or anchor in headings(path), link
            assert path.suffix != ".png" or path.stat().st_size < 200_000, link


@each_page
def test_every_block_of_code_runs(page):
    """The blocks of a page are one program."""
    if found := blocks(page):
        result = run("\n".join(found))
        assert result.returncode == 0, result.stderr


@functools.cache
def help_of(script):
    command = [sys.executable, script, "--help"]
    return subprocess.run(command, capture_output=True, text=True).stdout


@each_page
def test_every_command_is_of_a_script_that_takes_its_flags(page):
    for folder, name, rest in sorted(set(COMMAND.findall(page.read_text()))):
        script = ROOT / folder / name
        assert script.exists(), f"{folder}/{name}"
        if flags := re.findall(r"--[\w-]+", rest):
            said = script.read_text()  # benchmarks may need PyTorch even to say what they take
            if folder == "examples":
                said = help_of(script)
            assert not [flag for flag in flags if flag not in said], f"{name} {rest}"


def test_the_first_example_prints_the_numbers_beside_it():
    (first,) = blocks(ROOT / "README.md")
    loss, slope, curvature = re.findall(r"tensor\(([-\d.e]+)", run(first).stdout)
    assert float(loss) < 1e-4
    assert slope[:6] in first and curvature in first


def test_the_planted_fault_is_named_as_the_page_says():
    (checked,) = blocks(ROOT / "minigen/testing/README.md")
    says = " ".join(line.strip(" #") for line in checked.splitlines() if "    #" in line)
    assert run(checked).stdout.strip() == says.replace("example.py", "<string>")


def test_the_readme_is_short_and_what_is_read_in_an_afternoon_too():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
    page = ROOT / "minigen/README.md"
    section = page.read_text().partition("## Read in an afternoon")[2].partition("\n## ")[0]
    listed = re.findall(r"^\d+\. \[[^]]+\]\(([^)]+)\)", section, re.M)
    lines = sum(len((page.parent / path).read_text().splitlines()) for path in listed)
    said = int(re.search(r"about ([\d,]+) lines", section)[1].replace(",", ""))
    assert abs(lines - said) < 100 and said <= 1500


def test_the_gate_runs_the_readmes_test_command():
    gate, readme = (ROOT / ".ci/run").read_text(), (ROOT / "README.md").read_text()
    for command in ("ruff check .", "ruff format --check .", "python -m pytest"):
        assert command in readme
        assert command in gate
