"""Train a small GPT on the characters of a text and let it write.

A decoder-only Transformer (Radford et al. 2019): 4 layers of 4 heads, 128 wide, context 64, batch
12, 2,000 steps of AdamW at 1e-3 with a warm-up and a cosine to 1e-4. --data is a text file, or
"reference", the Python language reference that every Python carries. Expect a validation loss of
about 1.90 nats a character on tinyshakespeare, in about ten minutes on two busy cores; guessing
by the frequency of the characters gives 3.3. An epoch is 250 steps. Under --out it leaves
sample.txt, attention.png, curves.png, metrics.jsonl and a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import plots, schedule
from minigen.data import DataLoader, Vocabulary, text
from minigen.errors import DatasetError
from minigen.models import GPT
from minigen.training import Run, argument_parser, run_example

RATE, FLOOR, WARMUP = 1e-3, 1e-4, 100  # AdamW's learning rate: highest, last, steps to rise
PIECE = 24  # characters of the test text that attention.png is about
KINDS = "reference (Python's language reference, no files needed) or a text file"


def windows(ids, starts, context, device):
    """The tokens from each start, (B, context), and those that follow each of them."""
    rows = mg.tensor(ids[starts[:, None] + np.arange(context + 1)], device=device)
    return rows[:, :-1], rows[:, 1:]


@mg.no_grad()
def evaluate(model, ids, device):
    """The mean loss over the windows of ids side by side, in nats a character."""
    model.eval()
    starts, total = np.arange(0, len(ids) - model.context, model.context), 0.0
    for some in DataLoader(starts, batch_size=50):
        total += model.loss(*windows(ids, some, model.context, device)).item() * len(some)
    model.train()
    return total / len(starts)


def decayed_groups(model):
    """Weight decay for matrices; none for biases and norms, whose size carries no complexity."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]


def write(model, vocabulary, length, seed, device):
    """Text after a line break."""
    first = vocabulary.encode("\n" if "\n" in vocabulary.characters else vocabulary.characters[0])
    ids = mg.tensor(first[None], device=device)  # (1, 1)
    ids = model.generate(ids, length, temperature=0.8, rng=mg.Generator(seed))
    return vocabulary.decode(ids[0]).strip("\n")


def draw(model, run, ids, vocabulary):
    """What each head of the first and of the last layer looks at in some text, and the curves."""
    ids = ids[: min(PIECE, model.context)]
    maps = mg.nn.attention_maps(model, mg.tensor(ids[None], device=run.device))
    ends = sorted({0, len(model.blocks) - 1})
    heads = [weights for i in ends for weights in maps[f"blocks.{i}"][0]]  # (T, T) each
    count = len(heads) // len(ends)
    titles = [f"layer {i + 1}, head {j + 1}" for i in ends for j in range(count)]
    texts = [vocabulary.decode(ids)] * len(heads)
    plots.attention_maps(run.out / "attention.png", heads, texts, texts, titles, count)
    losses = {"train": run.series("loss"), "test": run.series("test")}
    plots.curves(run.out / "curves.png", [losses], ylabels=["nats a character"])


def main():
    parser = argument_parser(__doc__, out="runs/gpt", epochs=8, data="reference", kinds=KINDS)
    parser.add_argument("--layers", type=int, default=4, help="blocks; default 4")
    parser.add_argument("--heads", type=int, default=4, help="heads of a block; default 4")
    parser.add_argument("--width", type=int, default=128, help="of a token's vector; default 128")
    parser.add_argument("--context", type=int, default=64, help="characters seen; default 64")
    parser.add_argument("--batch", type=int, default=12, help="windows a step; default 12")
    parser.add_argument("--steps", type=int, default=250, help="in an epoch; default 250")
    args = parser.parse_args()

    content = text(None if args.data == "reference" else args.data)
    vocabulary = Vocabulary(content)
    ids = vocabulary.encode(content)
    train, test = np.split(ids, [int(0.9 * len(ids))])
    if len(test) <= args.context:
        raise DatasetError(f"{args.data}: {len(ids)} characters; take a longer text, 10 contexts")
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    size = (args.context, args.layers, args.heads, args.width)
    model = GPT(len(vocabulary), *size, rng=rng, device=device)
    optimizer = mg.optim.AdamW(decayed_groups(model), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
    total = args.epochs * args.steps
    factor = schedule.cosine(total, warmup=min(WARMUP, total // 10), floor=FLOOR / RATE)
    loader = DataLoader(np.arange(args.steps), batch_size=1)  # counts; the windows are drawn
    example = windows(train, np.arange(args.batch), args.context, "cpu")[0]
    print(mg.nn.summary(model, example.to(device)))

    with Run(args, model=model, optimizer=optimizer, loader=loader, rng=rng) as run:
        for _ in run.epochs():
            for _ in run.batches():
                starts = rng.integers(0, len(train) - args.context, args.batch)
                for group in optimizer.param_groups:
                    group["lr"] = RATE * factor(run.step)
                loss = model.loss(*windows(train, starts, args.context, device))
                optimizer.zero_grad()
                loss.backward()
                norm = mg.optim.clip_grad_norm(model.parameters(), 1.0)
                optimizer.step()
                run.record(loss=loss, norm=norm)
            run.end_epoch(test=evaluate(model, test, device))
        sample = write(model, vocabulary, 500, args.seed, device)
        (run.out / "sample.txt").write_text(sample + "\n", encoding="utf-8")
        draw(model, run, test, vocabulary)
    print(f"\n{sample}\n\nsample, figures, metrics and checkpoint: {run.out}")


if __name__ == "__main__":
    run_example(main)
