"""Faults in runs of several ranks: does each end, name its rank, leave nothing behind, and resume?

    python benchmarks/rank_faults.py [--faults 60] [--only SIGKILL ...] [--seed 0]

A small VAE in float64 is trained on 2, 3 and 4 ranks without a fault. Then runs follow in each of
which one rank is killed, stopped, raises an error or loops, at a moment that the seed chooses. Each
must end within 30 seconds, say the rank, and leave no process. It is resumed, every third run with
another number of ranks, and must end where the run without a fault ended: in the same bits, or with
another number of ranks within 1e-10. Exit code 1 if a run does not.

A loop is not tried where it is no fault: while a rank compiles, evaluates or saves, or when it is
the last. Before `distributed.start` it ends after 30 seconds. The name of a rank that dies then is
not asked for: the launcher ends all before any of them can look.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
from kills import same, without_seconds

import minigen as mg
from minigen import distributed
from minigen.communication.launch import launcher
from minigen.data import DataLoader
from minigen.training import Run, argument_parser, run_example
from minigen.training.checkpoint import load_state
from minigen.training.ranks import distribute

KINDS = ("SIGKILL", "SIGTERM", "SIGSTOP", "error", "loop")
MOMENTS = ("start-up", "compiling", "step", "collective", "evaluation", "saving", "end")
NO_LOOP = {"start-up", "compiling", "evaluation", "saving", "end"}
VARIABLE, TAG = "MINIGEN_BENCHMARK_FAULT", "MINIGEN_BENCHMARK_RUN"  # of the environment
LIMIT, PATIENCE = 30.0, "4"  # seconds


class Fault:
    """What happens to this rank: {"kind", "moment", "rank", "epoch", "delay"}; {} for nothing."""

    def __init__(self):
        self.plan = json.loads(os.environ.get(VARIABLE, "{}"))
        signal.signal(signal.SIGALRM, self.happen)

    def at(self, moment: str, rank: int, epoch: int | None = None) -> bool:
        """Let it happen `delay` seconds from now, if this is its moment."""
        own = self.plan.get("moment") == moment and self.plan["epoch"] == (epoch or 1)
        if own and self.plan["rank"] == rank:
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, self.plan["delay"]))
            time.sleep(0 if moment in ("collective", "saving") else self.plan["delay"] + 1e-3)
        return own

    def happen(self, *_) -> None:
        if self.plan["kind"].startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, self.plan["kind"]))
        if self.plan["kind"] == "error":
            raise RuntimeError("an error of the benchmark")
        while self.plan["kind"] == "loop":
            pass


def train() -> None:
    """The run that has the fault."""
    args = argument_parser("", out="runs/x", epochs=4).parse_args()
    world = distributed.start()
    with world.busy("compiling"):
        fault.at("compiling", world.rank)
    rng = mg.Generator(args.seed)
    model = mg.models.VAE(pixels=36, hidden=16, latent=4, rng=rng, dtype=np.float64)
    optimizer = distribute(mg.optim.Adam(model.parameters()), world, args)
    x = mg.Generator(1).uniform((230, 36), dtype=np.float64)
    loader = DataLoader(x, batch_size=50, shuffle=True, rng=rng, world=world)
    with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
        for epoch in run.epochs():
            for i, batch in enumerate(run.batches()):
                if i == 2:
                    fault.at("step", world.rank, epoch)
                loss = model.loss(mg.Tensor(batch))[0]
                if i == 2 and fault.at("collective", world.rank, epoch):
                    # The others come late, so that the fault happens while this rank waits.
                    time.sleep(0 if world.rank == fault.plan["rank"] else 0.3)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            fault.at("evaluation", world.rank, epoch)
            run.next_save = 0  # save after every epoch
            fault.at("saving", world.rank, epoch)
            run.end_epoch()
    fault.at("end", world.rank)


class Trial:
    """Runs in a folder: without a fault, with one, and resumed."""

    def __init__(self, folder: Path):
        self.folder, self.expected = folder, {}
        for ranks in (2, 3, 4):
            self.start(f"whole{ranks}", ranks, {})
            self.expected[ranks] = self.state(f"whole{ranks}")

    def start(self, out: str, ranks: int, plan: dict, *flags: str) -> tuple[int, str, float]:
        """(exit code, stderr, seconds) of a run."""
        mpiexec = Path(sys.executable).parent / "mpiexec"
        command = [str(mpiexec) if mpiexec.exists() else "mpiexec", "-n", str(ranks)]
        command += [sys.executable, __file__, "--out", str(self.folder / out), *flags]
        command += ["--device", "cpu", "--patience", PATIENCE]
        self.tag = uuid.uuid4().hex
        environment = {**os.environ, VARIABLE: json.dumps(plan), TAG: self.tag}
        start = time.monotonic()
        with open(self.folder / "stderr", "w+") as errors:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=errors
            )
            try:
                code = process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            seconds = time.monotonic() - start
            errors.seek(0)
            return code, errors.read(), seconds

    def left(self) -> list[int]:
        """The processes of the last run that are alive a second after its end; it kills them."""
        time.sleep(1)
        alive = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.tag.encode() in path.read_bytes():
                    alive.append(int(path.parent.name))
            except OSError:
                continue
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        return alive

    def checkpoint(self, out: str) -> Path:
        return self.folder / out / "checkpoint.safetensors"

    def state(self, out: str) -> dict:
        state = load_state(self.checkpoint(out))
        return {**state, "history": without_seconds(state["history"])}

    def run(self, out: str, ranks: int, plan: dict, resumed: int) -> dict[str, bool | float]:
        """What a run with a fault showed, by column."""
        code, said, seconds = self.start(out, ranks, plan)
        left = self.left()
        name = rf"^rank {plan['rank']} of {ranks} \(pid \d+, \S+\)"
        names = re.findall(r"^rank \d of \d \(pid", said, re.MULTILINE)
        result = {
            "ended": seconds < LIMIT and code != 0,
            "named": plan["moment"] == "start-up"
            or (bool(re.search(name, said, re.MULTILINE)) and len(names) == 1),
            "clean": not left,
            "restarted": not self.checkpoint(out).exists(),
            "seconds": seconds,
        }
        flags = [] if result["restarted"] else ["--resume"]
        again, said_again, _ = self.start(out, resumed, {}, *flags)
        state, expected = (self.state(out) if again == 0 else None), self.expected[ranks]
        if state is not None and resumed == ranks:
            result["same"] = same(state, expected)
        else:
            pairs = [(state["model"][k], expected["model"][k]) for k in expected["model"]]
            result["same"] = max(float(np.abs(a - b).max()) for a, b in pairs) < 1e-10
        if not all(result[each] for each in ("ended", "named", "clean", "same")):
            print(f"{plan} on {ranks} ranks: {result}\n{said}{said_again}", flush=True)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--faults", type=int, default=60, help="runs with a fault; default 60")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of faults")
    parser.add_argument("--seed", type=int, default=0, help="of ranks and moments; default 0")
    args = parser.parse_args()
    rng, results = random.Random(args.seed), {kind: [] for kind in args.only}
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder))
        for i in range(args.faults):
            kind, ranks = args.only[i % len(args.only)], rng.choice((2, 3, 4))
            moments = [each for each in MOMENTS if kind != "loop" or each not in NO_LOOP]
            moment = moments[i // len(args.only) % len(moments)]
            delay = rng.choice((0.1, 0.2)) if moment == "collective" else rng.uniform(0, 0.03)
            plan = {"kind": kind, "moment": moment, "rank": rng.randrange(ranks), "delay": delay}
            plan["epoch"] = 1 if moment in ("start-up", "compiling", "end") else rng.randint(1, 4)
            resumed = ranks if i % 3 else rng.choice([n for n in (2, 3, 4) if n != ranks])
            results[kind].append(trial.run(f"run{i}", ranks, plan, resumed))
    columns = ("ended", "named", "clean", "restarted", "same")
    print(f"{'fault':<10}{'runs':>10}" + "".join(f"{c:>10}" for c in columns) + f"{'longest':>10}")
    for kind, rows in results.items():
        sums = "".join(f"{sum(bool(row[c]) for row in rows):>10}" for c in columns)
        longest = max((row["seconds"] for row in rows), default=0)
        print(f"{kind:<10}{len(rows):>10}{sums}{longest:>8.1f} s")
    needed = ("ended", "named", "clean", "same")
    raise SystemExit(not all(row[c] for rows in results.values() for row in rows for c in needed))


if __name__ == "__main__":
    if "--patience" not in sys.argv:
        main()
    fault = Fault()
    fault.at("start-up", int(os.environ[launcher().rank]))  # before it has joined
    run_example(train)
