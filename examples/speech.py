"""Recognise sounds: spoken digits, or instruments, by a convolutional network over log-mel frames.

A sound is cut or filled with silence to 64 frames of 40 mel bands. Batch 64, Adam 2e-3 on a cosine;
in training a sound begins up to 6 frames earlier or later. Test sounds are of voices that training
never hears (every fifth in order). Expect about 98 % of the spoken digits, which are the voices of
a speech synthesiser. Under --out it leaves confusion.png, curves.png, metrics.jsonl and a
checkpoint. --transcribe FILE.wav prints the class that the run in --out reads.
"""

import math
from pathlib import Path

import numpy as np

import minigen as mg
from minigen import distributed, figures, models, training
from minigen.data import DataLoader, sound
from minigen.training import Run, argument_parser, sound_data, spectrograms
from minigen.training.listening import read_sounds
from minigen.training.sound_sets import SOUND_DATA

BATCH, RATE, SHIFT = 64, 2e-3, 6  # SHIFT: frames


def main():
    args = flags()
    if args.transcribe:
        transcribe(args)
        return
    run = training.saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    train_x, train_y, test_x, test_y, names = sound_data(args.data)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    x = spectrograms(train_x)
    settings = {"classes": len(names)}
    model = models.SpeechCNN(**settings, rng=rng, device=device)
    optimizer = training.distribute(mg.optim.Adam(model.parameters(), lr=RATE), world, args)
    way = {"device": device, "world": world}
    loader = DataLoader((x, train_y), BATCH, shuffle=True, rng=rng, **way)
    print(mg.nn.summary(model, mg.tensor(x[:2]).to(device)))

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    steps = args.epochs * len(loader)
    kept = {"names": "\n".join(names), "labels": test_y}
    with Run(args, **state, settings=settings, kept=kept, contents=[x, train_y]) as run:
        for _ in run.epochs():
            for part, label in run.batches():
                half = 0.5 + 0.5 * math.cos(math.pi * run.step / steps)
                optimizer.param_groups[0]["lr"] = RATE * half
                shift = np.random.default_rng([args.seed, run.step]).integers(-SHIFT, SHIFT + 1)
                loss = model.loss(mg.tensor(part).to(device).roll(int(shift), 1), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            run.kept["read"] = read(model, test_x, device)
            run.end_epoch(accuracy=(run.kept["read"] == test_y).mean())
    if "read" not in run.kept:  # resumed after its last epoch
        run.kept["read"] = read(model, test_x, device)
    return run


def read(model, sounds, device):
    """The classes (N,) that the model reads, in evaluation mode."""
    model.eval()
    classes = read_sounds(model, sounds, device)
    model.train()
    return classes


def draw(run):
    """Draw which classes are taken for which, and the curves."""
    names = run.kept["names"].split("\n")
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (run.kept["labels"], run.kept["read"]), 1)
    figures.confusion_matrix(run.path("confusion.png"), counts, names)
    panels = [{"train": run.series("loss")}, {"test": run.series("accuracy")}]
    figures.curves(run.path("curves.png"), panels, ylabels=["cross-entropy", "read right"])
    print(f"figures, metrics and checkpoint: {run.out}")


def transcribe(args):
    """Print which class the run in --out reads from a file."""
    run = training.SavedRun(args.out, mg.resolve_device(args.device))
    x = sound.at_rate(*sound.read_wav(args.transcribe))
    print(run.kept["names"].split("\n")[read_sounds(run.model, [x], run.device)[0]])


def flags():
    parser = argument_parser(
        __doc__, out="runs/speech", epochs=12, data="tones", data_help=SOUND_DATA
    )
    parser.add_argument("--transcribe", type=Path, help="read this WAV file by the run in --out")
    return parser.parse_args()


if __name__ == "__main__":
    training.run_example(main)
