"""Recognise sounds: spoken digits, or instruments, by a convolutional network over log-mel frames.

A sound is as many frames as it lasts, one each hundredth of a second, of 40 mel bands; the padding
of a batch is masked (minigen/models/speech.py). Batch 64, Adam 2e-3 on a cosine. In training the
sounds of a batch lose up to 4 frames at each end, and are up to 1 band higher or lower, as of
another voice (Jaitly and Hinton 2013). Test sounds are of voices that training never hears (every
fifth in order). Expect 98.6 % of the spoken digits, which are the voices of a speech
synthesiser. Under --out it leaves confusion.png, predictions.png (spectrograms, those of errors
first), curves.png, metrics.jsonl and a checkpoint. --transcribe FILE.wav ... prints which class
the run in --out reads, and how probable the first three are; a file is divided at its silences.
"""

import math
from pathlib import Path

import numpy as np

import minigen as mg
from minigen import distributed, figures, models, training
from minigen.data import DataLoader
from minigen.data.splitting import ranks_in_class
from minigen.training import Run, argument_parser, padded_spectrograms, sound_data
from minigen.training.listening import logits_of_sounds, transcribe
from minigen.training.sound_sets import BANDS, SOUND_DATA

BATCH, RATE, LOST, HIGHER = 64, 2e-3, 4, 1  # LOST: frames; HIGHER: bands
SHOWN = 30  # spectrograms in predictions.png


def main():
    args = flags()
    if args.transcribe:
        transcribe(args.out, args.transcribe, args.device)
        return
    run = training.saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    train_x, train_y, test_x, test_y, names = sound_data(args.data)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    x, lengths = padded_spectrograms(train_x)  # (N, frames, BANDS), (N,)
    wide = np.pad(x, ((0, 0), (0, 0), (HIGHER, HIGHER)), mode="edge")
    settings = {"classes": len(names)}
    model = models.SpeechCNN(**settings, rng=rng, device=device)
    optimizer = training.distribute(mg.optim.Adam(model.parameters(), lr=RATE), world, args)
    way = {"device": device, "world": world}
    loader = DataLoader((wide, lengths, train_y), BATCH, shuffle=True, rng=rng, **way)
    print(mg.nn.summary(model, mg.tensor(x[:2]).to(device)))

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    steps = args.epochs * len(loader)
    kept = {"names": "\n".join(names), "labels": test_y}
    with Run(args, **state, settings=settings, kept=kept, contents=[x, train_y]) as run:
        for _ in run.epochs():
            for batch in run.batches():
                half = 0.5 + 0.5 * math.cos(math.pi * run.step / steps)
                optimizer.param_groups[0]["lr"] = RATE * half
                part, frames, label = varied(*batch, np.random.default_rng([args.seed, run.step]))
                loss = model.loss(mg.tensor(part).to(device), frames, label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            run.end_epoch(accuracy=read(run, test_x, test_y))
    if "logits" not in run.kept:  # resumed after its last epoch
        read(run, test_x, test_y)
    return run


def varied(x, lengths, label, rng):
    """A batch without some frames at both ends, its bands higher or lower; alike on all ranks."""
    begin, end, up = rng.integers(0, [LOST + 1, LOST + 1, 2 * HIGHER + 1])
    return x[:, begin:, up : up + BANDS], (lengths - begin - end).clip(1), label


def read(run, sounds, labels):
    """The accuracy on test sounds in per cent; keeps their logits, and the spectrograms to draw."""
    run.model.eval()
    logits = logits_of_sounds(run.model, sounds, run.device)
    run.model.train()
    right = logits.argmax(1) == labels
    shown = np.lexsort((labels, ranks_in_class(labels), right))[:SHOWN]  # errors first
    run.kept["logits"], run.kept["shown"] = logits, shown
    run.kept["spectrograms"], _ = padded_spectrograms([sounds[i] for i in shown])
    return 100 * right.mean()


def draw(run):
    """Draw which classes are taken for which, some spectrograms, and the curves."""
    names, labels = run.kept["names"].split("\n"), run.kept["labels"]
    found = run.kept["logits"].argmax(1)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (labels, found), 1)
    figures.confusion_matrix(run.path("confusion.png"), counts, names)
    rows = run.kept["shown"]
    wrong = found[rows] != labels[rows]
    is_true = lambda i, bad: f"\nis {names[labels[i]]}" if bad else ""
    captions = [names[found[i]] + is_true(i, bad) for i, bad in zip(rows, wrong)]
    pictures = run.kept["spectrograms"].swapaxes(1, 2)[:, ::-1] / 2 + 0.5  # low notes below
    path = run.path("predictions.png")
    figures.captioned_images(path, pictures.clip(0, 1), captions, 10, wrong)
    panels = [{"train": run.series("loss")}, {"test": run.series("accuracy")}]
    figures.curves(run.path("curves.png"), panels, ylabels=["cross-entropy, nats", "accuracy, %"])
    print(f"figures, metrics and checkpoint: {run.out}")


def flags():
    parser = argument_parser(
        __doc__, out="runs/speech", epochs=12, data="tones", data_help=SOUND_DATA
    )
    help = "print what the run in --out reads from these WAV files"
    parser.add_argument("--transcribe", type=Path, nargs="+", metavar="FILE", help=help)
    return parser.parse_args()


if __name__ == "__main__":
    training.run_example(main)
