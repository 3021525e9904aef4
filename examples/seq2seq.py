"""Train a Transformer to translate written dates into ISO dates, and draw its cross-attention.

Vaswani et al. 2017, "Attention Is All You Need": characters in, characters out, 2 layers of 4
heads in the encoder and in the decoder, width 64, batch 64, AdamW at 2e-3 with a warm-up and a
cosine. Expect 99.5 % of 2,000 unseen dates without an error, greedily and with a beam of 4, after
five minutes of CPU time. --out gets cross-attention.png, curves.png, metrics.jsonl, a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import distributed, figures, schedule, training
from minigen.data import DataLoader, Vocabulary, dates, text_pairs
from minigen.errors import DatasetError
from minigen.models import Seq2SeqTransformer
from minigen.training import Run, argument_parser, positive_int
from minigen.training.pairs import BEGIN, END, PAD, batch, batches_by_length, by_length, encoded

RATE, FLOOR, WARMUP = 2e-3, 4e-5, 0.05  # learning rate: highest, last; fraction of warm-up steps
SAMPLE = 500  # test texts that are decoded after each epoch
DATA = "dates (no files needed) or a text file with a pair of texts a line, a tab between"


def main():
    args = flags()
    run = training.saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    if args.data == "dates":
        sources, targets = dates(min(args.pairs, 36_525), args.seed)  # the number of all days
    else:
        sources, targets = (texts[: args.pairs] for texts in text_pairs(args.data))
    n_test = min(2000, len(sources) // 10)  # the last ones; no date occurs twice
    if not n_test:
        raise DatasetError(f"{args.data}: {len(sources)} pairs; at least 10 are needed")
    x_vocab = Vocabulary(PAD + "".join(sources))
    y_vocab = Vocabulary(PAD + BEGIN + END + "".join(targets))
    train_x, test_x = np.split(encoded(x_vocab, sources), [-n_test])  # ids (N, S)
    marked = [BEGIN + text + END for text in targets]
    train_y, test_y = np.split(encoded(y_vocab, marked), [-n_test])  # ids (N, T)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    sizes = {"width": args.width, "layers": args.layers, "hidden": 4 * args.width, "dropout": 0.0}
    sizes |= {"source_vocab": len(x_vocab), "target_vocab": len(y_vocab)}
    sizes["max_len"] = max(train_x.shape[1], train_y.shape[1])
    model = Seq2SeqTransformer(**sizes, rng=rng, device=device)
    groups = batches_by_length(train_x, 64)
    loader = DataLoader(np.arange(len(groups)), batch_size=1, shuffle=True, rng=rng)
    optimizer = training.distribute(mg.optim.AdamW(model.parameters(), lr=RATE), world, args)
    total = args.epochs * len(loader)
    factor = schedule.cosine(total, warmup=int(WARMUP * total), floor=FLOOR / RATE)
    print(mg.nn.summary(model, *(batch(ids, groups[0], device) for ids in (train_x, train_y))))

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    kept = {"source_vocabulary": x_vocab.characters, "target_vocabulary": y_vocab.characters}
    kept |= shown(test_x, test_y)
    with Run(args, **state, contents=[*sources, *targets], settings=sizes, kept=kept) as run:
        for _ in run.epochs():
            for (i,) in run.batches():
                for settings in optimizer.param_groups:
                    settings["lr"] = RATE * factor(run.step)
                part = slice(*world.split(len(groups[i]))[:2])  # of this process: all, or its part
                x, y = (batch(ids, groups[i][part], device) for ids in (train_x, train_y))
                loss = model.loss(x, y)
                optimizer.zero_grad()
                loss.backward()
                mg.optim.clip_grad_norm(model.parameters(), 1.0)
                optimizer.step()
                run.record(loss=loss)
            right = decode(model, test_x[:SAMPLE], test_y.shape[1], device) == test_y[:SAMPLE]
            test, exact = mean_loss(model, test_x, test_y, device), 100 * right.all(axis=1).mean()
            run.end_epoch(test=test, exact=exact)
    if run.leads:
        report(model, test_x, test_y, sources[-n_test:], y_vocab, device)
    return run


@mg.no_grad()
def mean_loss(model, source, target, device):
    """The mean of -log p over the characters of the targets, in nats."""
    losses, batches = [], batches_by_length(source, 100)
    with mg.nn.evaluation(model):
        for rows in batches:
            x, y = (batch(ids, rows, device) for ids in (source, target))
            losses.append(model.loss(x, y).item())
    return np.average(losses, weights=[(target[rows, 1:] > 0).sum() for rows in batches])


def decode(model, source, length, device, width=1):
    """The model's outputs for source (N, S), by beam search of that width: ids (N, length)."""
    outputs = np.zeros((len(source), length), np.int64)
    for rows in batches_by_length(source, 100):
        best, _ = model.beam(batch(source, rows, device), length - 1, width)
        outputs[rows, : best.shape[1]] = mg.Tensor(best).numpy()
    return outputs


def shown(source, target):
    """Six pairs of different lengths, to be drawn."""
    order = by_length(source)
    rows = order[[int(q * len(order)) for q in (0.95, 0.85, 0.75, 0.65, 0.5, 0.35)]]
    return {"source": source[rows], "target": target[rows]}


def draw(run):
    """Draw the cross-attention of the last layer, the mean of its heads, on six texts; curves."""
    source, target = (run.kept[side] for side in ("source", "target"))
    x_vocab, y_vocab = (Vocabulary(run.kept[f"{side}_vocabulary"]) for side in ("source", "target"))
    maps = []
    for i in range(len(source)):
        x, y = (batch(ids, [i], run.device) for ids in (source, target))
        weights = mg.nn.attention_maps(run.model, x, y[:, :-1])
        *_, last = (path for path in weights if path.endswith("multihead_attn"))
        maps.append(weights[last][0].mean(axis=0))  # (T, S), from (heads, T, S)
    rows = [y_vocab.decode(ids[1:]).rstrip(PAD).replace(END, ".") for ids in target]
    columns = [x_vocab.decode(ids).rstrip(PAD) for ids in source]
    figures.attention_maps(run.path("cross-attention.png"), maps, rows, columns)
    losses = {"train": run.series("loss"), "test": run.series("test")}
    panels = [losses, {"test": run.series("exact")}]
    figures.curves(run.path("curves.png"), panels, ylabels=["nats a character", "exact match, %"])
    print(f"figures, metrics and checkpoint: {run.out}")


def report(model, source, target, texts, vocabulary, device):
    """Print how many texts are decoded without an error, greedily and by beam search; errors."""
    as_text = lambda ids: vocabulary.decode(ids[1:]).rstrip(END + PAD)
    for name, width in (("greedy", 1), ("beam of 4", 4)):
        outputs = decode(model, source, target.shape[1], device, width)
        right = (outputs == target).all(axis=1)
        print(f"{name}: {100 * right.mean():.2f} % of {len(right):,} are right")
        for i in np.flatnonzero(~right)[:5]:
            print(f"    {texts[i]} -> {as_text(outputs[i])}, not {as_text(target[i])}")


def flags():
    parser = argument_parser(__doc__, out="runs/seq2seq", epochs=6, data="dates", data_help=DATA)
    parser.add_argument("--pairs", type=positive_int, default=32_000, help="at most")
    parser.add_argument("--layers", type=positive_int, default=2, help="of each stack")
    parser.add_argument("--width", type=positive_int, default=64, help="size of an embedding")
    args = parser.parse_args()
    if args.width % 4:  # there are 4 heads
        parser.error(f"argument --width: must be a multiple of 4, got {args.width}")
    return args


if __name__ == "__main__":
    training.run_example(main)
