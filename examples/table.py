"""Train a dense network on a table: regression or classification, as its target column asks.

Columns of numbers are standardized by the training rows, columns of texts are one-hot vectors; two
hidden layers of 64 units with relu, Adam 1e-3, batch 64. The baseline that a model must beat is the
mean of the target, or its most frequent class. The table that needs no file has 3,000 throws of
balls through air and wind (minigen/data/thrown_balls.py). Expect R2 = 0.998 for the distance, and
with `--target ball` 65 % right, where the most frequent ball is 17 %. A table of yours is
`--data FILE.csv --target COLUMN`. Under --out it leaves predictions.png (regression) or
confusion.png (classification), curves.png, metrics.jsonl and a checkpoint.
"""

import numpy as np

import minigen as mg
from minigen import data, distributed, figures, training
from minigen.models import MLP
from minigen.training import Run, argument_parser, positive_int
from minigen.training.classification import predict, score

TABLE_DATA = "throws (made at once, no files needed) or a CSV file"
SHOWN = 2_000  # rows for training and for test, at most, that figures show


def main():
    args = flags()
    run = training.saved_run(args) or train(args)
    if run.leads:
        draw(run)


def train(args):
    table = read(args)
    train_x, train_y, test_x, test_y = table.split()
    inputs = data.Standardizer.fit(train_x)  # of the training rows alone: the test stays unseen
    names = table.target.categories  # none for regression
    targets = None if names else data.Standardizer.fit(train_y)
    x, y = inputs(train_x), train_y if names else targets(train_y)
    world = distributed.start()  # this process alone, or all that mpiexec has started
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    settings = {"sizes": [x.shape[1], args.hidden, args.hidden, len(names) or 1]}
    model = MLP(**settings, rng=rng, device=device)
    optimizer = training.distribute(mg.optim.Adam(model.parameters(), lr=1e-3), world, args)
    loader = data.DataLoader((x, y), 64, shuffle=True, rng=rng, device=device, world=world)
    print(f"{len(x)} rows for training, {len(test_x)} for test, of {', '.join(table.features)}")
    task = f"one of {len(names)} classes" if names else "a number"
    print(f"to predict: {table.target.name}, {task}")
    print(mg.nn.summary(model, mg.tensor(x[:64], device=device)))

    def test():
        """How good the outputs for the test rows are, and the baseline."""
        output = outputs(model, inputs(test_x), device)
        if names:
            frequent = 100 * np.mean(test_y == np.bincount(train_y).argmax())
            return {**score(output, test_y), "baseline": frequent}
        error = np.square(targets.inverse(output[:, 0]) - test_y).mean()
        baseline = np.square(train_y.mean() - test_y).mean()
        r2 = 1 - error / max(baseline, 1e-300)
        return {"rmse": error**0.5, "r2": r2, "baseline": baseline**0.5}

    kept = {"target": table.target.name, "names": list(names), "features": table.features}
    kept |= {"columns": [list(column) for column in table.columns], **vars_of("input", inputs)}
    kept |= {"train_x": x[:SHOWN], "train_y": train_y[:SHOWN], "test_y": test_y[:SHOWN]}
    kept |= {"test_x": inputs(test_x[:SHOWN]), **(vars_of("target", targets) if targets else {})}
    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng, "kept": kept}
    with Run(args, **state, settings=settings, contents=[x, train_y], free=["epochs"]) as run:
        for _ in run.epochs():
            for x, y in run.batches():
                output = model(mg.tensor(x, device=device))
                loss = mg.cross_entropy(output, y) if names else mg.mse_loss(output[:, 0], y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            run.end_epoch(**test())
    return run


def read(args):
    """The table that --data names."""
    options = {"drop": args.drop or [], "categorical": args.categorical or []}
    options |= {"missing": args.missing, "task": args.task}
    if args.data == "throws":
        return data.parse_table(data.throws(), args.target, name="throws", **options)
    return data.read_table(args.data, args.target, **options)


def outputs(model, x, device):
    """The outputs for standardized rows x: logits (N, classes), or standardized numbers (N, 1)."""
    return predict(lambda x: model(mg.tensor(x, device=device)), x)


def vars_of(name, standardizer):
    """Mean and scale, as they are kept with the run, to standardize further rows."""
    return {f"{name}_mean": standardizer.mean, f"{name}_scale": standardizer.scale}


def draw(run):
    """Draw what is predicted against what is true, and the curves; print the baseline, too."""
    kept, last = run.kept, run.history[-1]
    if kept["names"]:
        draw_classes(run)
        accuracy, baseline = last["accuracy"], last["baseline"]
        print(f"test accuracy {accuracy:.2f} %; always the most frequent class: {baseline:.2f} %")
    else:
        draw_numbers(run)
        print(f"test error (RMSE) {last['rmse']:.4g}, R2 {last['r2']:.4f}; ", end="")
        print(f"always the mean: {last['baseline']:.4g}, R2 0")
    print(f"figures, metrics and checkpoint: {run.out}")


def draw_numbers(run):
    """Draw predicted over true numbers, and the curves."""
    kept, panels = run.kept, {}
    targets = data.Standardizer(kept["target_mean"], kept["target_scale"])
    for part, title in (("train", "training rows"), ("test", "test rows")):
        output = outputs(run.model, kept[f"{part}_x"], run.device)[:, 0]  # (N,)
        panels[title] = kept[f"{part}_y"], targets.inverse(output)
    figures.predicted_against_true(run.path("predictions.png"), panels, kept["target"])
    panels = [{"train": run.series("loss")}, {"test": run.series("r2")}]
    figures.curves(run.path("curves.png"), panels, ylabels=["squared error, standardized", "R2"])


def draw_classes(run):
    """Draw the confusion matrix of the test rows, and the curves."""
    names, logits = run.kept["names"], outputs(run.model, run.kept["test_x"], run.device)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (run.kept["test_y"], logits.argmax(1)), 1)  # (true, predicted)
    figures.confusion_matrix(run.path("confusion.png"), counts, names)
    losses = {"train": run.series("loss"), "test": run.series("test_loss")}
    panels = [losses, {"test": run.series("accuracy")}]
    figures.curves(run.path("curves.png"), panels, ylabels=["cross-entropy, nats", "accuracy, %"])


def flags():
    parser = argument_parser(
        __doc__, out="runs/table", epochs=40, data="throws", data_help=TABLE_DATA
    )
    add = parser.add_argument
    add("--target", help="the column to predict; default the last")
    add("--task", choices=["regression", "classification"], help="if the target leaves it open")
    add("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    add("--categorical", nargs="+", metavar="COLUMN", help="numbers that are names")
    add("--missing", choices=["refuse", "fill"], default="refuse", help="what empty fields get")
    add("--hidden", type=positive_int, default=64, help="units of each hidden layer")
    return parser.parse_args()


if __name__ == "__main__":
    training.run_example(main)
