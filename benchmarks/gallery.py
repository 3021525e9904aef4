"""Make every picture and figure of examples/README.md again, and print what differs.

Each run is the command that stands on that page; its pictures are compared with examples/gallery,
and the sentences about it are filled with its figures and looked for on the page. On two cores all
of them take half an hour or more. A run that has ended is not repeated: remove its folder in
--out to make it anew. MINIGEN_DATA names the folder with the MNIST files and tinyshakespeare.txt.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measuring import known_names

ROOT = Path(__file__).parent.parent
GALLERY = ROOT / "examples/gallery"
PAGES = ("README.md", "examples/README.md")
VISIBLE = 0.02  # of the range of a colour: a smaller difference of two pixels is not seen


class Run(NamedTuple):
    """A command of the page, for several seeds, with the pictures and sentences that it makes."""

    command: str  # what follows "python examples/"
    sentences: tuple[str, ...] = ()  # templates: {name:.1f} is a figure, with seeds {name[0]:.1f}
    pictures: dict[str, str] = {}  # the name in the gallery, and that under --out
    seeds: tuple[int, ...] = (0,)
    printed: str = ""  # a pattern with groups whose names are those of figures on the screen


SAMPLE_JUDGED = (
    r"each class, (?P<least>[\d.]+) at least:[\s\S]*"
    r"to test images: (?P<distance>[\d.]+); that of training images: (?P<floor>[\d.]+)"
)
ROW = r"\n +{} +(?P<without_{}>[^ ]+) ± +\S+ +(?P<with_{}>\S+) ± +\S+ +(?P<change_{}>\S+ ± +\S+)"
RUNS = {
    "vae": Run(
        "vae.py",
        ("test negative ELBO {test:.1f} nats",),
        {
            "vae-samples.png": "samples.png",
            "vae-traversal.png": "traversal.png",
            "vae-reconstructions.png": "reconstructions.png",
            "vae-curves.png": "curves.png",
        },
    ),
    "vae-mnist": Run(
        "vae.py --data mnist --epochs 20",
        ("{test[0]:.1f}, {test[1]:.1f} and {test[2]:.1f} nats",),
        seeds=(0, 1, 2),
    ),
    "vae-conv": Run(
        "vae.py --arch conv --data mnist --epochs 20",
        ("{test:.1f} nats",),
        {"vae-conv-samples.png": "samples.png"},
    ),
    "vae-conditional": Run(
        "vae.py --conditional --beta 4 --data mnist --epochs 40",
        ("{test:.1f} nats",),
        {"vae-conditional-samples.png": "samples.png"},
    ),
    "cnn": Run(
        "cnn.py", ("{accuracy:.1f} % of 2,000 unseen glyphs",), {"cnn-saliency.png": "saliency.png"}
    ),
    "cnn-mnist": Run(
        "cnn.py --data mnist",
        ("{accuracy[0]:.1f}, {accuracy[1]:.1f} and {accuracy[2]:.1f} % of 2,000 test digits",),
        seeds=(0, 1, 2),
    ),
    "rnn": Run(
        "rnn.py --epochs 6",
        ("{accuracy:.1f} % of 2,000 unseen glyphs",),
        {"rnn-predictions.png": "predictions.png"},
    ),
    "rnn-mnist": Run(
        "rnn.py --data mnist",
        ("{accuracy[0]:.1f}, {accuracy[1]:.1f} and {accuracy[2]:.1f} % of the test digits",),
        seeds=(0, 1, 2),
    ),
    "gpt": Run(
        "gpt.py --data tinyshakespeare.txt",
        ("{test:.3f} nats a character",),
        {"gpt-attention.png": "attention.png"},
    ),
    "seq2seq": Run(
        "seq2seq.py",
        ("{greedy} % of 2,000 unseen dates", "{beam} % with a beam of 4"),
        {"seq2seq-cross-attention.png": "cross-attention.png"},
        printed=r"greedy: (?P<greedy>[\d.]+) %[\s\S]*beam of 4: (?P<beam>[\d.]+) %",
    ),
    "char_lstm": Run("char_lstm.py --data tinyshakespeare.txt", ("{test:.4f} nats a character",)),
    "gan": Run(
        "gan.py --data mnist",
        ("dense {least} % and {distance}", "{floor} for training digits"),
        {"gan-dense.png": "samples.png"},
        printed=SAMPLE_JUDGED,
    ),
    "gan-dc": Run(
        "gan.py --data mnist --arch dc",
        ("convolutional {least} % and {distance}",),
        {"gan-dc.png": "samples.png"},
        printed=SAMPLE_JUDGED,
    ),
    "diffusion": Run(
        "diffusion.py --data mnist",
        pictures={"diffusion.png": "samples.png", "diffusion-steps.png": "steps.png"},
    ),
    "speech": Run("speech.py --data spoken_digits", pictures={"speech.png": "confusion.png"}),
    "sound": Run("sound.py --data spoken_digits", pictures={"sound.png": "spectrograms.png"}),
    "gan_modes": Run(
        "gan_modes.py",
        (
            "{plain_modes[0]:.0f} of the modes, and {plain_modes[1]:.0f} with another seed",
            "{wgan_modes[0]:.0f} with the one seed and {wgan_modes[1]:.0f} with the other",
            "{wgan_good[0]:.1f} and {wgan_good[1]:.1f} % of its samples",
        ),
        {"gan-modes.png": "samples.png"},
        seeds=(0, 1),
    ),
    "table": Run(
        "table.py",
        ("RMSE {rmse:.2f} m and R2 {r2:.4f}",),
        {"table-predictions.png": "predictions.png"},
    ),
    "table-ball": Run(
        "table.py --target ball",
        ("{accuracy:.1f} % right",),
        {"table-confusion.png": "confusion.png"},
    ),
    "augment": Run(
        "augment.py --data mnist",
        tuple(
            f"| {n} digits | {{without_{n}}} | {{with_{n}}} | {{change_{n}}} |" for n in (100, 500)
        ),
        {
            "augment-accuracy.png": "accuracy.png",
            "augment-generated.png": "generated-100.png",
        },
        printed="[\\s\\S]*".join(ROW.replace("{}", n) for n in ("100", "500")),
    ),
    "augment-glyphs": Run(
        "augment.py",
        ("| 500 glyphs | {without_500} | {with_500} | {change_500} |",),
        printed=ROW.replace("{}", "500"),
    ),
}
NEEDS = {"gan": "cnn-mnist", "gan-dc": "cnn-mnist"}  # the judge is a network of another run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    only = {"type": known_names(RUNS), "default": list(RUNS), "metavar": "NAME,NAME"}
    parser.add_argument("--only", **only, help=", ".join(RUNS))
    parser.add_argument("--out", type=Path, default=Path("runs/gallery"), help="folder of the runs")
    parser.add_argument("--update", action="store_true", help="copy the pictures to the gallery")
    args = parser.parse_args()
    pages = {name: " ".join((ROOT / name).read_text().split()) for name in PAGES}
    differences = 0
    for name in args.only:
        start = time.monotonic()
        for needed in [NEEDS[name]] if name in NEEDS else []:
            make(needed, args.out)
        figures = make(name, args.out)
        found = [*wrong_sentences(name, figures, pages), *wrong_pictures(name, args)]
        differences += len(found)
        print(f"{name}, {time.monotonic() - start:.0f} s: {len(found)} differences", flush=True)
        print("".join(f"    {line}\n" for line in found), end="", flush=True)
    raise SystemExit(differences > 0)


def folder_of(name: str, out: Path, seed: int) -> Path:
    return out / f"{name}-{seed}"


def make(name: str, out: Path) -> dict:
    """The figures of a run, which is made unless it has ended before: lists where it has seeds."""
    run, figures = RUNS[name], []
    for seed in run.seeds:
        folder = folder_of(name, out, seed)
        said = folder / "stdout.txt"
        if not said.exists():
            folder.mkdir(parents=True, exist_ok=True)
            result = subprocess.run(command_of(name, out, seed), stdout=subprocess.PIPE, text=True)
            if result.returncode:
                raise SystemExit(f"{name}: `{run.command}` ended with {result.returncode}")
            said.write_text(result.stdout)
        row = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        printed = re.search(run.printed, said.read_text())
        if printed is None:
            raise SystemExit(f"{said} has nothing of the form {run.printed}")
        figures.append({**row, **printed.groupdict()})
    if len(figures) == 1:
        return figures[0]
    return {key: [row[key] for row in figures] for key in figures[0]}


def command_of(name: str, out: Path, seed: int) -> list[str]:
    """The words of a command, with the paths of this machine."""
    script, *flags = RUNS[name].command.split()
    data = Path(os.environ.get("MINIGEN_DATA", "."))
    flags = [str(data / flag) if flag.endswith(".txt") else flag for flag in flags]
    if name in NEEDS:
        flags += ["--judge", str(folder_of(NEEDS[name], out, 0) / "checkpoint.safetensors")]
    own = ["--out", str(folder_of(name, out, seed)), "--seed", str(seed), "--overwrite"]
    return [sys.executable, str(ROOT / "examples" / script), *flags, *own]


def wrong_sentences(name: str, figures: dict, pages: dict[str, str]) -> list[str]:
    """The sentences with these figures that no page has."""
    filled = [" ".join(sentence.format(**figures).split()) for sentence in RUNS[name].sentences]
    return [f"no page says: {s}" for s in filled if not any(s in text for text in pages.values())]


def wrong_pictures(name: str, args: argparse.Namespace) -> list[str]:
    """The pictures that differ from those of the gallery, where they go with --update."""
    found = []
    for theirs, own in RUNS[name].pictures.items():
        made, shown = folder_of(name, args.out, RUNS[name].seeds[0]) / own, GALLERY / theirs
        share = differing_pixels(made, shown) if shown.exists() else 1.0
        if share:
            found.append(f"{theirs}: {100 * share:.2f} % of the pixels differ")
        if args.update and (share or not shown.exists()):
            shutil.copyfile(made, shown)
    return found


def differing_pixels(one: Path, other: Path) -> float:
    """The share of pixels of two PNG files that differ visibly; 1 if their sizes do."""
    from matplotlib.image import imread

    a, b = (imread(path)[..., :3].astype(np.float64) for path in (one, other))
    if a.shape != b.shape:
        return 1.0
    return float((np.abs(a - b).reshape(-1, a.shape[-1]).max(axis=1) > VISIBLE).mean())


if __name__ == "__main__":
    main()
