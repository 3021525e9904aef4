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
from minigen import figures, schedule
from minigen.models import GPT
from minigen.training import Run, argument_parser, positive_int, run_example
from minigen.training.texts import TEXT_DATA, sample_text, text_data, text_loss, windows

RATE, FLOOR, WARMUP = 1e-3, 1e-4, 100  # AdamW's learning rate: highest, last; warm-up steps
DRAWN_CHARACTERS = 24  # of the test text, in attention.png


def main():
    args = flags()
    vocabulary, train, test = text_data(args.data, args.context)  # ids (T,)
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    size = (args.context, args.layers, args.heads, args.width)
    model = GPT(len(vocabulary), *size, rng=rng, device=device)
    optimizer = mg.optim.AdamW(decayed_groups(model), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
    total = args.epochs * args.steps
    factor = schedule.cosine(total, warmup=min(WARMUP, total // 10), floor=FLOOR / RATE)
    print(mg.nn.summary(model, windows(train, np.zeros(args.batch, int), args.context, device)[0]))

    state = {"model": model, "optimizer": optimizer, "rng": rng}
    with Run(args, **state, contents=[vocabulary.characters, train]) as run:
        for _ in run.epochs():
            for _ in run.steps(args.steps):
                starts = rng.integers(0, len(train) - args.context, args.batch)
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
        sample = sample_text(model, vocabulary, 500, mg.Generator(args.seed), device)
        (run.out / "sample.txt").write_text(sample + "\n", encoding="utf-8")
        draw(model, run, test, vocabulary)
    print(f"\n{sample}\n\nsample, figures, metrics and checkpoint: {run.out}")


def decayed_groups(model):
    """Parameter groups with weight decay for matrices only: biases and norms add no complexity."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]


def draw(model, run, ids, vocabulary):
    """Draw the attention weights of the first and the last layer on a text, and the curves."""
    ids = ids[: min(DRAWN_CHARACTERS, model.context)]  # (T,)
    maps = mg.nn.attention_maps(model, mg.tensor(ids[None], device=run.device))
    layers = sorted({0, len(model.blocks) - 1})
    heads = [weights for i in layers for weights in maps[f"blocks.{i}"][0]]  # (T, T) each
    heads_per_layer = len(heads) // len(layers)
    titles = [f"layer {i + 1}, head {j + 1}" for i in layers for j in range(heads_per_layer)]
    texts = [vocabulary.decode(ids)] * len(heads)
    figures.attention_maps(run.out / "attention.png", heads, texts, texts, titles, heads_per_layer)
    losses = {"train": run.series("loss"), "test": run.series("test")}
    figures.curves(run.out / "curves.png", [losses], ylabels=["nats a character"])


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
