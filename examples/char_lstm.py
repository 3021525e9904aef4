"""Train a character LSTM on a text and sample from it.

Graves 2013, "Generating Sequences With Recurrent Neural Networks", in small: one layer of 256
units on embeddings of size 64. Each step reads 32 windows of 64 characters from random positions,
starting from the zero state; the gradient is truncated at the window (Williams and Peng 1990).
2,000 steps of Adam, 2e-3 on a cosine to 0, gradients clipped to norm 1. --data is a text file, or
"reference", the language reference that comes with Python. Expect a validation loss of about 1.65
nats a character on tinyshakespeare, in four minutes of one core's time; guessing by the frequency
of the characters gives 3.3. An epoch is 250 steps and ends with a few lines by the model. Under
--out it leaves sample.txt, curves.png, metrics.jsonl and a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import distributed, figures, schedule
from minigen.models import CharLSTM
from minigen.training import (
    Run,
    argument_parser,
    distribute,
    positive_int,
    run_example,
    saved_run,
)
from minigen.training.texts import (
    TEXT_DATA,
    draw_text,
    sample_text,
    text_data,
    text_loss,
    windows,
)

RATE = 2e-3  # Adam's initial learning rate


def main():
    args = flags()
    run = saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    vocabulary, train, test = text_data(args.data, args.context)  # ids (T,)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    settings = {"vocabulary": len(vocabulary), "embed": args.embed, "hidden": args.hidden}
    model = CharLSTM(**settings, rng=rng, device=device)
    optimizer = distribute(mg.optim.Adam(model.parameters(), lr=RATE), world, args)
    factor = schedule.cosine(args.epochs * args.steps)
    print(mg.nn.summary(model, windows(train, np.zeros(args.batch, int), args.context, device)[0]))

    state = {"model": model, "optimizer": optimizer, "rng": rng}
    saved = {"settings": settings, "kept": {"vocabulary": vocabulary.characters}}
    with Run(args, **state, **saved, contents=[vocabulary.characters, train]) as run:
        for _ in run.epochs():
            for _ in run.steps(args.steps):
                rows = world.split(args.batch)  # of this process: all, or its part
                random = rng.rows(rows.start, rows.stop)
                starts = random.integers(0, len(train) - args.context, args.batch)
                optimizer.param_groups[0]["lr"] = RATE * factor(run.step)
                ids, targets = windows(train, starts, args.context, device)  # (B, T) each
                loss = model.loss(ids, targets)
                optimizer.zero_grad()
                loss.backward()
                norm = mg.optim.clip_grad_norm(model.parameters(), 1.0)
                optimizer.step()
                run.record(loss=loss, norm=norm)
            run.end_epoch(test=text_loss(model, test, args.context, device))
            print(f"\n{sample_text(model, vocabulary, 200, mg.Generator(args.seed), device)}\n")
    return run


def draw(run):
    """Write a sample, and draw the curves."""
    draw_text(run, 1000)
    losses = {"train": run.series("loss"), "test": run.series("test")}
    figures.curves(run.path("curves.png"), [losses], ylabels=["nats a character"])
    print(f"sample, figure, metrics and checkpoint: {run.out}")


def flags():
    parser = argument_parser(
        __doc__, out="runs/char_lstm", epochs=8, data="reference", data_help=TEXT_DATA
    )
    parser.add_argument("--embed", type=positive_int, default=64, help="size of an embedding")
    parser.add_argument("--hidden", type=positive_int, default=256, help="units")
    parser.add_argument("--context", type=positive_int, default=64, help="characters in a window")
    parser.add_argument("--batch", type=positive_int, default=32, help="windows a step")
    parser.add_argument("--steps", type=positive_int, default=250, help="in an epoch")
    return parser.parse_args()


if __name__ == "__main__":
    run_example(main)
