"""Stops the examples at random moments, resumes them, and compares them with uninterrupted runs.

    python benchmarks/kills.py [--kills 100] [--by kill ctrl-c time] [--only vae ...] [--seed 0]

Each example runs in a small setting, once without interruption. Then it is stopped at a random
moment by kill -9, Ctrl-C or --max-seconds, and resumed, until it ends. Further runs follow until
there were enough stops. After each stop the checkpoint must be readable. The last checkpoint and
the metrics must equal those of the uninterrupted run in every bit. Prints a table. Exit code 1 if
anything differs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from damages import idx_bytes

from minigen.data import glyphs
from minigen.data.mnist_files import NAMES
from minigen.errors import CheckpointError
from minigen.training.checkpoint import load_state

EXAMPLES = Path(__file__).parent.parent / "examples"
SETTINGS = {  # about a second of training each; DIGITS and TEXT are written by make_data
    "vae": "--hidden 64 --epochs 25 --data DIGITS",
    "rnn": "--hidden 32 --epochs 8 --data DIGITS",
    "cnn": "--hidden 16 --epochs 3 --data DIGITS",
    "gan": "--epochs 6 --data DIGITS --judge NONE",
    "char_lstm": "--steps 10 --epochs 8 --embed 8 --hidden 16 --context 20 --data TEXT",
    "gan_modes": "--steps 10 --epochs 5 --width 16",
    "gpt": "--steps 10 --epochs 6 --layers 1 --heads 2 --width 16 --context 20 --data TEXT",
    "seq2seq": "--pairs 600 --epochs 4 --layers 1 --width 16",
    "augment": "--seeds 2 --budgets 10 20 --steps 5 --generator-steps 10 --data DIGITS",
}
WAYS = ("kill", "ctrl-c", "time")
EARLY = 0.1  # probability of a stop during start-up; other stops wait for the first line
CODES = {0: "done", 130: "stopped", -signal.SIGKILL: "killed", -signal.SIGINT: "stopped"}


def make_data(folder: Path) -> None:
    """Write a text as TEXT, and 640 + 60 images of digits as IDX files in DIGITS."""
    (folder / "TEXT").write_text("To be, or not to be, that is the question.\n" * 50)
    (folder / "DIGITS").mkdir()
    images, labels = glyphs(3_000)
    images, labels = images[labels < 10], labels[labels < 10].astype(np.uint8)
    parts = images[:640], labels[:640], images[640:700], labels[640:700]
    for name, x in zip(NAMES, parts):
        (folder / "DIGITS" / name).write_bytes(idx_bytes(x))


class Trial:
    """One example: its uninterrupted run, and the runs that are stopped and resumed.

    Counts stops, resumed and restarted runs (no checkpoint yet), ends, ends that differ from the
    uninterrupted run, and lost checkpoints.
    """

    def __init__(self, name: str, folder: Path, rng: random.Random):
        self.name, self.folder, self.rng = name, folder, rng
        self.stops, self.resumed, self.restarted, self.lost = 0, 0, 0, 0
        self.ends, self.differ = 0, 0
        flags = [str(folder / x) if x.isupper() else x for x in SETTINGS[name].split()]
        self.command = [sys.executable, "-u", str(EXAMPLES / f"{name}.py"), *flags]
        self.command += ["--device", "cpu"]
        start = time.monotonic()
        process = self.start("uninterrupted")
        self.first_line = process.stdout.readline()
        first = time.monotonic()
        self.finish(process)
        self.startup, self.seconds = first - start, time.monotonic() - first

    def out(self, out: str) -> Path:
        return self.folder / f"{self.name}-{out}"

    def checkpoint(self, out: str) -> Path:
        return self.out(out) / "checkpoint.safetensors"

    def start(self, out: str, *flags: str) -> subprocess.Popen:
        command = [*self.command, "--out", str(self.out(out)), *flags]
        if self.checkpoint(out).exists():
            command.append("--resume")
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(self, process: subprocess.Popen) -> str:
        """Wait for the end of a process. Returns "done", "stopped" or "killed"."""
        output, _ = process.communicate(timeout=600)
        code = process.returncode
        if code not in CODES:
            output = f"{self.first_line}{output}"
            raise SystemExit(f"{self.name} ended with exit code {code}:\n{output}")
        return CODES[code]

    def stop_at_random(self, out: str, way: str) -> bool:
        """Start or resume a run and stop it at a random moment; whether it had ended before."""
        before = self.checkpoint(out).exists()
        early = self.rng.random() < EARLY
        remaining = max(0.2, 1 - len(self.rows(out)) / len(self.rows("uninterrupted")))
        moment = self.rng.uniform(0, remaining * self.seconds + early * self.startup)
        process = self.start(out, *(["--max-seconds", str(moment)] if way == "time" else []))
        if way == "time":
            self.finish(process)
            rows = self.rows(out)
            ended = (out, len(rows)) == (out, len(self.rows("uninterrupted")))
        else:
            if not early:
                self.first_line = process.stdout.readline()
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL if way == "kill" else signal.SIGINT)
            ended = self.finish(process) == "done"
        self.check_whole(out, before)
        if ended:  # training takes less time than estimated
            self.seconds = min(self.seconds, moment / remaining)
        else:
            self.stops += 1
            self.resumed += self.checkpoint(out).exists()  # by the next start
            self.restarted += not self.checkpoint(out).exists()
        return ended

    def check_whole(self, out: str, before: bool) -> None:
        """Count the checkpoint as lost if it existed before and does not, or cannot be read."""
        try:
            if before or self.checkpoint(out).exists():
                load_state(self.checkpoint(out))
        except CheckpointError as error:
            self.lost += 1
            print(error, flush=True)

    def rows(self, out: str) -> list[dict]:
        """The metrics without the seconds, the only figures that may differ."""
        path = self.out(out) / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return without_seconds([json.loads(line) for line in lines])

    def end(self, out: str) -> None:
        """Resume a run to its end, and compare that with the uninterrupted run."""
        self.finish(self.start(out))
        self.ends += 1
        state, expected = (load_state(self.checkpoint(x)) for x in (out, "uninterrupted"))
        states = [{**x, "history": without_seconds(x["history"])} for x in (state, expected)]
        texts = [self.out(x) / "sample.txt" for x in (out, "uninterrupted")]
        texts = [path.read_text() if path.exists() else None for path in texts]
        same_rows = same(self.rows(out), self.rows("uninterrupted"))
        if not (same(*states) and texts[0] == texts[1] and same_rows):
            self.differ += 1
            print(f"{self.out(out)} differs from {self.out('uninterrupted')}", flush=True)


def without_seconds(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def same(a, b) -> bool:
    """Whether two states are equal in every bit."""
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)  # so that nan is nan


def run(name: str, stops: int, ways: list[str], folder: Path, rng: random.Random) -> Trial:
    """Stop one example that many times, in as many runs as that takes."""
    trial, number = Trial(name, folder, rng), 0
    while trial.stops < stops:
        out = f"run{number}"
        ended = trial.stop_at_random(out, ways[trial.stops % len(ways)])
        if ended or trial.stops == stops:
            trial.end(out)
            number += 1
    return trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="stops in all; default 100")
    parser.add_argument("--by", nargs="+", choices=WAYS, default=["kill"], help="default kill")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seed", type=int, default=0, help="of the random moments; default 0")
    args = parser.parse_args()
    rng, started, trials = random.Random(args.seed), time.monotonic(), []
    os.environ.setdefault("MPLBACKEND", "agg")
    heads = ("stops", "resumed", "restarted", "ends", "identical", "lost")
    print(f"{'example':<12}" + "".join(f"{head:>10}" for head in heads), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder))
        for i, name in enumerate(args.only):
            stops = (args.kills + i) // len(args.only)  # they add up to all
            trial = run(name, stops, args.by, Path(folder), rng)
            trials.append(trial)
            cells = trial.stops, trial.resumed, trial.restarted, trial.ends
            cells += trial.ends - trial.differ, trial.lost
            print(f"{name:<12}" + "".join(f"{cell:>10}" for cell in cells), flush=True)
    bad = sum(trial.differ + trial.lost for trial in trials)
    stops, seconds = sum(trial.stops for trial in trials), time.monotonic() - started
    print(f"{stops} stops; each run was resumed from its checkpoint, or restarted without one; ")
    print(f"{bad} wrong" if bad else "all ends are identical", f"in {seconds:.0f} s", sep=", ")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
