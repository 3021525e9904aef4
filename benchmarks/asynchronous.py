"""Asynchronous training beside synchronous: test losses, and throughput with a slow rank.

    python benchmarks/asynchronous.py [quality] [pace] [--quick] [--models vae,cnn,gpt] [--seeds N]

quality: the same number of samples, in float32, on handwritten digits (VAE, CNN) and on
tinyshakespeare (GPT) in MINIGEN_DATA, one thread for each rank. Synchronous steps are the same on
any number of ranks, so they are measured on one. pace: samples a second of all ranks together; a
rank computes a small VAE step, then sleeps until its step has taken 100 ms, and a slowed rank until
it has taken 300 ms, so that the cores of the machine do not matter. Starts mpiexec by itself.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import minigen as mg
from minigen import data, distributed, schedule
from minigen.models import CNN, GPT, VAE
from minigen.training.classification import predict, score
from minigen.training.texts import text_data, text_loss, windows

STALENESS = 4
SECONDS = 0.1  # of a step, in `pace`
EPOCHS = {"vae": 10, "cnn": 3, "gpt": 1}
TEXT_STEPS, CONTEXT, WINDOWS = 1500, 32, 16


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--rank":
        rank(**json.loads(sys.argv[2]))
    else:
        args = flags()
        for part in args.parts:
            part(args)


# ------------------------------------------------------------------------------ what is printed


def quality(args):
    """Print the test loss of each model after synchronous and after asynchronous training."""
    print(f"test loss, mean of {args.seeds} seeds (half their spread); staleness {STALENESS}")
    for model in args.models:
        losses, dropped = {}, {}
        for seed in range(args.seeds):  # in turns
            for n in (1, *args.ranks):
                made = {"part": "quality", "model": model, "seed": seed, "quick": args.quick}
                found = started(n, made)
                losses.setdefault(n, []).append(found["loss"])
                dropped.setdefault(n, []).append(found["dropped"])
        for n, values in losses.items():
            mean, half = statistics.mean(values), (max(values) - min(values)) / 2
            change = 100 * (mean / statistics.mean(losses[1]) - 1)
            kind = "synchronous" if n == 1 else f"asynchronous, {n} ranks"
            late = "" if n == 1 else f"{change:+.1f} %, {max(dropped[n]):.2%} dropped"
            print(f"{model:4} {kind:22} {mean:8.4f} ({half:.4f})  {late}", flush=True)


def pace(args):
    """Print samples a second without a slowed rank and with one, and the loss of throughput."""
    rates = {}
    settings = [(n, kind, slow) for n in args.ranks for kind in KINDS for slow in (False, True)]
    for _ in range(1 if args.quick else 3):  # in turns
        for n, kind, slow in settings:
            found = started(n, {"part": "pace", "kind": kind, "slow": slow, "quick": args.quick})
            rates.setdefault((n, kind, slow), []).append(found["rate"])
    print("steps a second of all ranks, medians; one rank slowed to a third")
    for n in args.ranks:
        for kind in KINDS:
            even, slowed = (statistics.median(rates[n, kind, slow]) for slow in (False, True))
            lost = 100 * (1 - slowed / even)
            print(f"{n} ranks {kind:13} {even:6.1f}  {slowed:6.1f}  {lost:5.1f} % lost", flush=True)


def started(n, settings):
    """What rank 0 of n prints, as JSON."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    command = [mpiexec, "-n", str(n), sys.executable, __file__, "--rank", json.dumps(settings)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3600)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


# ------------------------------------------------------------------------------ on each rank


def rank(part, **settings):
    world = distributed.start()
    found = (measured_quality if part == "quality" else measured_pace)(world, **settings)
    if world.rank == 0:
        print(json.dumps(found))


def measured_quality(world, model, seed, quick):
    """Train a model, and return its test loss and the share of gradients that were dropped."""
    rng = mg.Generator(seed)
    train = {"vae": train_vae, "cnn": train_cnn, "gpt": train_gpt}[model]
    loss, optimizer, steps = train(world, rng, 1 if quick else EPOCHS[model], quick)
    dropped = sum(world.gather(getattr(optimizer, "dropped", 0)))
    return {"loss": loss, "dropped": dropped / (steps * world.size)}


def train_vae(world, rng, epochs, quick):
    x, _, test_x, _ = (part[:1000] if quick else part for part in data.mnist())
    model = VAE(rng=rng)
    # A delay acts as momentum (Mitliagkas et al. 2016, "Asynchrony begets momentum"), so that
    # several ranks need less of their own; with 0.9 the loss after 6 epochs is 2 % worse on two.
    betas = (0.9 if world.size == 1 else 0.0), 0.999
    optimizer = asynchronous(mg.optim.Adam(model.parameters(), lr=1e-3, betas=betas), world)
    loader = data.DataLoader(x, batch_size=128, shuffle=True, rng=rng, world=world)
    pixels = lambda images: mg.tensor(images.reshape(-1, 784)).astype("float32") / 255
    for _ in range(epochs):
        for images in loader:
            step(optimizer, model.loss(pixels(images))[0])
        optimizer.synchronize()
    rng.state = (1, 0)  # the noise of the test
    with mg.no_grad():
        return model.loss(pixels(test_x))[0].item(), optimizer, epochs * len(loader)


def train_cnn(world, rng, epochs, quick):
    x, y, test_x, test_y = (part[:1000] if quick else part for part in data.mnist())
    model = CNN(classes=10, rng=rng)
    optimizer = asynchronous(mg.optim.Adam(model.parameters(), lr=1e-3), world)
    loader = data.DataLoader((x, y), batch_size=64, shuffle=True, rng=rng, world=world)
    logits = lambda images: model(mg.tensor(images[:, None]).astype("float32") / 255)
    for _ in range(epochs):
        for images, labels in loader:
            step(optimizer, mg.cross_entropy(logits(images), labels))
        optimizer.synchronize()
    loss = score(predict(logits, test_x), test_y)["test_loss"]
    return loss, optimizer, epochs * len(loader)


def train_gpt(world, rng, epochs, quick):
    path = Path(os.environ["MINIGEN_DATA"]) / "tinyshakespeare.txt"
    vocabulary, train, test = text_data(str(path), CONTEXT)
    model = GPT(len(vocabulary), context=CONTEXT, layers=2, heads=4, width=64, rng=rng)
    optimizer = asynchronous(mg.optim.AdamW(model.parameters(), lr=1e-3), world)
    steps = 20 if quick else TEXT_STEPS
    factor = schedule.cosine(steps, warmup=steps // 15, floor=0.1)
    for batch, _ in world.parts(0, steps):
        rows = world.split(WINDOWS)
        starts = rng.rows(rows.start, rows.stop).integers(0, len(train) - CONTEXT, WINDOWS)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * factor(batch)
        step(optimizer, model.loss(*windows(train, starts, CONTEXT)))
    world.rows = None
    optimizer.synchronize()
    return text_loss(model, test[:20_000], CONTEXT), optimizer, steps


def measured_pace(world, kind, slow, quick):
    """Train with steps of a fixed duration, and return the steps a second of all ranks."""
    rng = mg.Generator(0)
    model = VAE(rng=rng)
    optimizer = KINDS[kind](mg.optim.Adam(model.parameters(), lr=1e-3), world)
    x = mg.tensor(rng.uniform((2, 784)))
    steps = 20 if quick else 40
    seconds = SECONDS * (3 if slow and world.rank == world.size - 1 else 1)
    step(optimizer, model.loss(x)[0])  # compiles
    optimizer.synchronize()
    world.barrier()
    begun = time.perf_counter()
    for _ in world.parts(0, steps):
        start = time.perf_counter()
        step(optimizer, model.loss(x)[0], until=start + seconds)
    optimizer.synchronize()
    applied = steps * world.size - sum(world.gather(getattr(optimizer, "dropped", 0)))
    return {"rate": applied / (time.perf_counter() - begun)}


def step(optimizer, loss, until=0.0):
    """A step, whose gradients are complete at `until` (seconds of time.perf_counter) or later."""
    optimizer.zero_grad()
    if until:
        time.sleep(max(0.0, until - time.perf_counter()))
    loss.backward()
    optimizer.step()


def asynchronous(optimizer, world):
    """Of one process alone: the optimizer itself."""
    return distributed.Asynchronous(optimizer, world, STALENESS)


PARTS = {"pace": pace, "quality": quality}
KINDS = {"synchronous": distributed.Synchronous, "asynchronous": asynchronous}


def flags():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="by default both")
    parser.add_argument("--quick", action="store_true", help="less of everything: does it run?")
    parser.add_argument("--models", type=lambda s: s.split(","), default=["vae", "cnn", "gpt"])
    parser.add_argument("--ranks", type=lambda s: [int(n) for n in s.split(",")], default=[2, 4])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    args.parts = [PARTS[name] for name in args.parts or PARTS]
    return args


if __name__ == "__main__":
    main()
