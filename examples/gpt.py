"""Train a small GPT on the characters of a text and sample from it.

A decoder-only Transformer (Radford et al. 2019): 4 layers of 4 heads, width 128, context 64, batch
12, 2,000 steps of AdamW at 1e-3 with a warm-up and a cosine to 1e-4. --data is a text file, or
"reference", the language reference that comes with Python. Expect a validation loss of
about 1.89 nats a character on tinyshakespeare, in about ten minutes on two busy cores; guessing
by the frequency of the characters gives 3.3. An epoch is 250 steps. Under --out it leaves
sample.txt, attention.png, curves.png, metrics.jsonl and a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import distributed, figures, schedule
from minigen.data import Vocabulary
from minigen.models import GPT
from minigen.training import (
    Run,
    argument_parser,
    distribute,
    positive_int,
    run_example,
    saved_run,
)
from minigen.training.texts import TEXT_DATA, draw_text, text_data, text_loss, windows

RATE, FLOOR, WARMUP = 1e-3, 1e-4, 100  # AdamW's learning rate: highest, last; warm-up steps
DRAWN_CHARACTERS = 24  # of the test text, in attention.png


def main():
    args = flags()
    run = saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    vocabulary, train, test = text_data(args.data, args.context)  # ids (T,)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    sizes = {name: vars(args)[name] for name in ("context", "layers", "heads", "width")}
    settings = {"vocab": len(vocabulary), **sizes}
    model = GPT(**settings, rng=rng, device=device)
    adam = mg.optim.AdamW(decayed_groups(model), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
    optimizer = distribute(adam, world, args)
    total = args.epochs * args.steps
    factor = schedule.cosine(total, warmup=min(WARMUP, total // 10), floor=FLOOR / RATE)
    print(mg.nn.summary(model, windows(train, np.zeros(args.batch, int), args.context, device)[0]))

    state = {"model": model, "optimizer": optimizer, "rng": rng}
    kept = {"vocabulary": vocabulary.characters, "ids": test[: min(DRAWN_CHARACTERS, args.context)]}
    contents = [vocabulary.characters, train]
    with Run(args, **state, contents=contents, settings=settings, kept=kept) as run:
        for _ in run.epochs():
            for _ in run.steps(args.steps):
                rows = world.split(args.batch)  # of this process: all, or its part
                random = rng.rows(rows.start, rows.stop)
                starts = random.integers(0, len(train) - args.context, args.batch)
                for group in optimizer.param_groups:
                    group["lr"] = RATE * factor(run.step)
                ids, targets = windows(train, starts, args.context, device)  # (B, T) each
                loss = model.loss(ids, targets)
                optimizer.zero_grad()
                loss.backward()
                norm = mg.optim.clip_grad_norm(model.parameters(), 1.0)
                optimizer.step()
                run.record(loss=loss, norm=norm)
            run.end_epoch(test=text_loss(model, test, args.context, device))
    return run


def decayed_groups(model):
    """Parameter groups with weight decay for matrices only: biases and norms add no complexity."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]


def draw(run):
    """Write a sample; draw the attention of the first and the last layer on a text, and curves."""
    draw_text(run, 500)
    model, ids = run.model, run.kept["ids"]  # (T,)
    maps = mg.nn.attention_maps(model, mg.tensor(ids[None], device=run.device))
    layers = sorted({0, len(model.blocks) - 1})
    heads = [weights for i in layers for weights in maps[f"blocks.{i}"][0]]  # (T, T) each
    heads_per_layer = len(heads) // len(layers)
    titles = [f"layer {i + 1}, head {j + 1}" for i in layers for j in range(heads_per_layer)]
    texts = [Vocabulary(run.kept["vocabulary"]).decode(ids)] * len(heads)
    figures.attention_maps(run.path("attention.png"), heads, texts, texts, titles, heads_per_layer)
    losses = {"train": run.series("loss"), "test": run.series("test")}
    figures.curves(run.path("curves.png"), [losses], ylabels=["nats a character"])
    print(f"sample, figures, metrics and checkpoint: {run.out}")


def flags():
    parser = argument_parser(
        __doc__, out="runs/gpt", epochs=8, data="reference", data_help=TEXT_DATA
    )
    parser.add_argument("--layers", type=positive_int, default=4, help="blocks")
    parser.add_argument("--heads", type=positive_int, default=4, help="heads of a block")
    parser.add_argument("--width", type=positive_int, default=128, help="size of an embedding")
    parser.add_argument("--context", type=positive_int, default=64, help="characters in a window")
    parser.add_argument("--batch", type=positive_int, default=12, help="windows a step")
    parser.add_argument("--steps", type=positive_int, default=250, help="in an epoch")
    args = parser.parse_args()
    if args.width % args.heads:
        parser.error(f"--width {args.width} is no multiple of --heads {args.heads}")
    return args


if __name__ == "__main__":
    run_example(main)
