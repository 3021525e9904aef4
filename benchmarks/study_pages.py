"""Study a training step of each example, and read its page in Chromium without a network.

Each example runs at its default size until its second step. The page is opened at a width of 360
and of 1,600 pixels and stepped through by key, to the end and back. A Markdown table is printed:
the steps of the recording, the size of the page, the time until it can be used and the time of a
key, what went wrong, and how many pixels the page is wider than the screen. The exit code is 1 if
anything was wrong. --picture draws the two pictures of README.md instead.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chromium import ADVICE, chromium, executable, opened

ROOT = Path(__file__).parent.parent

EXAMPLES = (
    *("vae", "cnn", "rnn", "char_lstm", "gpt", "seq2seq", "gan", "gan_modes", "table", "augment"),
)
WIDTHS = 360, 1600
LIMIT = 3_000_000  # bytes of a page
PICTURES = {  # in examples/gallery: example, training step, op and kind of the step, view
    "study-page.png": ("vae", 300, "bce_total", "forward", "list"),
    "study-graph.png": ("gpt", 2, "attention", "backward", "graph"),
}
COLORS = 256  # of a picture, so that it is small


def study(name: str, folder: Path, step: int = 2) -> tuple[Path, int, list[str]]:
    """(page of a training step of an example, its steps as the command says, what is wrong)."""
    command = [sys.executable, "-m", "minigen", "study", f"examples/{name}.py"]
    command += ["--step", str(step), "--out", str(folder), "--", "--device", "cpu"]
    command += ["--out", str(folder / "run")]
    done = subprocess.run([*command, "--overwrite"], cwd=ROOT, capture_output=True, text=True)
    found = re.search(r"(\d+) steps forward, (\d+) backward", done.stdout)
    if found is None or not (folder / "step.html").exists():
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    wrong = done.stderr.splitlines()[-1:] if done.returncode else []
    return folder / "step.html", sum(map(int, found.groups())), wrong


def read(browser, path: Path, steps: int, width: int) -> tuple[float, float, int, list[str]]:
    """(seconds until the page is ready, seconds of a key, pixels too wide, what is wrong)."""
    start = time.perf_counter()
    with opened(browser, path, width) as page:
        ready = time.perf_counter() - start
        too_wide, wrong = page.overflow, []
        if page.steps != steps:
            wrong.append(f"{page.steps} steps")
        start = time.perf_counter()
        for key, last in (("ArrowRight", steps - 1), ("ArrowLeft", 0)):
            for i in range(steps - 1):
                page.press(key)
                if i % 25 == 0:
                    too_wide = max(too_wide, page.overflow)
            if page.current != last:
                wrong.append(f"at {page.current} after {steps - 1} times {key}")
        key_seconds = (time.perf_counter() - start) / max(1, 2 * (steps - 1))
        wrong += page.errors
        wrong += [url for url in page.requests if url != path.absolute().as_uri()]
    return ready, key_seconds, too_wide, wrong


def table(browser, names, folder: Path) -> int:
    """Print a row for each example. Returns the exit code."""
    print("| example | steps | page, kB | ready, s | a key, ms | wrong | too wide, 360 / 1,600 |")
    print("|---|---|---|---|---|---|---|")
    code = 0
    for name in names:
        path, steps, wrong = study(name, folder / name)
        rows = [read(browser, path, steps, width) for width in WIDTHS]
        ready, key = max(row[0] for row in rows), max(row[1] for row in rows)
        wide = [row[2] for row in rows]
        wrong += [text for row in rows for text in row[3]]
        size = path.stat().st_size
        wrong += ["too large"] * (size > LIMIT)
        code |= bool(wrong) or any(wide)
        cells = (name, steps, f"{size / 1e3:,.0f}", f"{ready:.1f}", f"{1e3 * key:.0f}")
        text = "; ".join(dict.fromkeys(wrong)) or "nothing"
        print("| " + " | ".join(map(str, (*cells, text, f"{wide[0]} / {wide[1]} px"))) + " |")
        sys.stdout.flush()
    return code


def pictures(browser, folder: Path) -> None:
    """Draw the pictures of README.md."""
    from PIL import Image

    for picture, (name, step, op, kind, view) in PICTURES.items():
        path, _, _ = study(name, folder / f"{name}-{step}", step)
        with opened(browser, path, 1440, 810) as page:
            go = page.tab.evaluate(
                "([op, kind]) => { for (let i = 0; i < study.steps; i++) { study.go(i);"
                " const head = document.querySelector('#step h2').innerText;"
                " if (head.includes(` ${op} `) && head.includes(kind)) return i; } }",
                [op, kind],
            )
            assert go is not None, f"{name} has no step {op}, {kind}"
            if view == "graph":
                page.press("g")
            page.tab.wait_for_timeout(1000)
            target = ROOT / "examples/gallery" / picture
            page.tab.screenshot(path=target)
        Image.open(target).convert("RGB").quantize(COLORS).save(target, optimize=True)
        print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("examples", nargs="*", help="names; default all")
    parser.add_argument("--out", type=Path, help="folder for the pages; default a temporary one")
    parser.add_argument("--picture", action="store_true", help="draw the pictures of README.md")
    args = parser.parse_args()
    if executable() is None:
        parser.error(f"there is no Chromium: {ADVICE}")
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        folder = args.out or Path(temporary)
        if args.picture:
            return pictures(browser, folder) or 0
        return table(browser, args.examples or EXAMPLES, folder)


if __name__ == "__main__":
    sys.exit(main())
