"""Train a Transformer to turn written dates into ISO dates, and look at what it reads as it writes.

Vaswani et al. 2017, "Attention Is All You Need": characters in, characters out, 2 layers of 4
heads in the encoder and in the decoder, 64 wide, batch 64, AdamW at 2e-3 with a warm-up and a
cosine. Expect 99.5 % of 2,000 unseen dates without a fault, greedily and with a beam of 4, after
five minutes of processor time; the few faults are in dates of many words. Under --out it leaves
cross-attention.png, curves.png, metrics.jsonl and a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import figures, schedule
from minigen.data import DataLoader, Vocabulary, dates, text_pairs
from minigen.errors import DatasetError
from minigen.models import Seq2SeqTransformer
from minigen.training import Run, argument_parser, positive_int, run_example

RATE, FLOOR, WARMUP = 2e-3, 4e-5, 0.05  # AdamW's: highest, last, and the share of steps to rise
PAD, BEGIN, END = "\0\1\2"  # they sort before all else, so their ids are the model's: 0, 1 and 2
SAMPLE = 500  # test texts that are decoded after each epoch
KINDS = "dates (no files needed) or a text file with a pair of texts a line, a tab between"


def main():
    args = flags()
    if args.data == "dates":
        reads, writes = dates(min(args.pairs, 36_525), args.seed)  # as many days there are
    else:
        reads, writes = (texts[: args.pairs] for texts in text_pairs(args.data))
    held = min(2000, len(reads) // 10)  # the last ones are for the test: no date comes twice
    if not held:
        raise DatasetError(f"{args.data}: {len(reads)} pairs; at least 10 are needed")
    alphabets = Vocabulary(PAD + "".join(reads)), Vocabulary(PAD + BEGIN + END + "".join(writes))
    source = encoded(alphabets[0], reads)
    target = encoded(alphabets[1], [BEGIN + words + END for words in writes])
    (train_x, test_x), (train_y, test_y) = (np.split(ids, [-held]) for ids in (source, target))
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    sizes = {"width": args.width, "layers": args.layers, "hidden": 4 * args.width, "dropout": 0.0}
    sizes["max_len"] = max(source.shape[1], target.shape[1])
    model = Seq2SeqTransformer(*map(len, alphabets), **sizes, rng=rng, device=device)
    groups = batches_by_length(train_x, 64)
    loader = DataLoader(np.arange(len(groups)), batch_size=1, shuffle=True, rng=rng)
    optimizer = mg.optim.AdamW(model.parameters(), lr=RATE)
    total = args.epochs * len(loader)
    factor = schedule.cosine(total, warmup=int(WARMUP * total), floor=FLOOR / RATE)
    print(mg.nn.summary(model, *(batch(ids, groups[0], device) for ids in (train_x, train_y))))

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    with Run(args, **state, contents=[*reads, *writes]) as run:
        for _ in run.epochs():
            for (group,) in run.batches():
                for settings in optimizer.param_groups:
                    settings["lr"] = RATE * factor(run.step)
                x, y = (batch(ids, groups[group], device) for ids in (train_x, train_y))
                loss = model.loss(x, y)
                optimizer.zero_grad()
                loss.backward()
                mg.optim.clip_grad_norm(model.parameters(), 1.0)
                optimizer.step()
                run.record(loss=loss)
            found = write(model, test_x[:SAMPLE], target.shape[1], device)
            exact = 100 * (found == test_y[:SAMPLE]).all(axis=1).mean()
            run.end_epoch(test=mean_loss(model, test_x, test_y, device), exact=exact)
        draw(model, run, test_x, test_y, reads[-held:], alphabets[1])
        report(model, test_x, test_y, reads[-held:], alphabets[1], device)
    print(f"figures, metrics and checkpoint: {run.out}")


def encoded(vocabulary, texts):
    """The ids of texts, filled up to the longest: (N, T)."""
    longest = max(map(len, texts))
    filled = "".join(words.ljust(longest, PAD) for words in texts)
    return vocabulary.encode(filled).reshape(len(texts), longest)


def batches_by_length(source, size):
    """Rows with sources of about one length, as in the paper: so little padding is read."""
    order = np.argsort((source > 0).sum(axis=1), kind="stable")
    return np.array_split(order, -(-len(order) // size))


def batch(ids, rows, device):
    """Those rows of ids as a tensor, without the columns that are padding in all of them."""
    ids = ids[rows]
    return mg.tensor(ids[:, : int((ids > 0).sum(axis=1).max())], device=device)


@mg.no_grad()
def mean_loss(model, source, target, device):
    """The mean of -log p of a character of the targets, in nats."""
    model.eval()
    losses, batches = [], batches_by_length(source, 100)
    for rows in batches:
        losses.append(model.loss(*(batch(ids, rows, device) for ids in (source, target))).item())
    model.train()
    return np.average(losses, weights=[(target[rows, 1:] > 0).sum() for rows in batches])


def write(model, source, length, device, width=1):
    """What the model writes for source (N, S), in a beam of that width: ids (N, length)."""
    found = np.zeros((len(source), length), np.int64)
    for rows in batches_by_length(source, 100):
        best, _ = model.beam(batch(source, rows, device), length - 1, width)
        found[rows, : best.shape[1]] = mg.Tensor(best).numpy()
    return found


def draw(model, run, source, target, texts, vocabulary):
    """Which characters the last layer looks at, its heads' mean, for each written; and curves."""
    order = np.argsort((source > 0).sum(axis=1), kind="stable")
    chosen = order[[int(share * len(order)) for share in (0.95, 0.85, 0.75, 0.65, 0.5, 0.35)]]
    maps, written = [], []
    for i in chosen:
        x, y = batch(source, [i], run.device), batch(target, [i], run.device)
        seen = mg.nn.attention_maps(model, x, y[:, :-1])
        last = [path for path in seen if path.endswith("multihead_attn")][-1]
        maps.append(seen[last][0].mean(axis=0))  # (T, S)
        written.append(vocabulary.decode(y.numpy()[0, 1:]).replace(END, "."))
    read = [texts[i] for i in chosen]
    figures.attention_maps(run.out / "cross-attention.png", maps, written, read)
    losses = {"train": run.series("loss"), "test": run.series("test")}
    panels = [losses, {"test": run.series("exact")}]
    figures.curves(run.out / "curves.png", panels, ylabels=["nats a character", "exact match, %"])


def report(model, source, target, texts, vocabulary, device):
    """How many texts are written without a fault, greedily and with a beam, and some others."""
    for name, width in (("greedy", 1), ("beam of 4", 4)):
        found = write(model, source, target.shape[1], device, width)
        right = (found == target).all(axis=1)
        print(f"{name}: {100 * right.mean():.2f} % of {len(right):,} are right")
        shown = lambda ids: vocabulary.decode(ids[1:]).rstrip(END + PAD)
        for i in np.flatnonzero(~right)[:5]:
            print(f"    {texts[i]} -> {shown(found[i])}, not {shown(target[i])}")


def flags():
    parser = argument_parser(__doc__, out="runs/seq2seq", epochs=6, data="dates", kinds=KINDS)
    parser.add_argument("--pairs", type=positive_int, default=32_000, help="at most")
    parser.add_argument("--layers", type=positive_int, default=2, help="of each stack")
    parser.add_argument("--width", type=positive_int, default=64, help="of a vector")
    args = parser.parse_args()
    if args.width % 4:  # there are 4 heads
        parser.error(f"argument --width: must be a multiple of 4, got {args.width}")
    return args


if __name__ == "__main__":
    run_example(main)
