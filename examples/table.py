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
from minigen import data, figures, nn
from minigen.models import MLP
from minigen.training import Run, argument_parser, positive_int, run_example, saved_run
from minigen.training.classification import predict, score

SHOWN = 5_000  # rows of each part, at most, that the figures show
TABLE_DATA = "throws (made at once, no files needed) or a CSV file"


def main():
    args = flags()
    run = saved_run(args) or train(args)
    draw_classes(run) if run.kept["names"] else draw_numbers(run)
    print(f"figures, metrics and checkpoint: {run.out}")


def train(args):
    table = read(args)
    train_x, train_y, test_x, test_y = table.split()
    inputs = data.Standardizer.fit(train_x)  # of the training rows alone: the test stays unseen
    names = table.target.categories  # none for regression
    targets = None if names else data.Standardizer.fit(train_y)
    rng, device = mg.Generator(args.seed), mg.resolve_device(args.device)
    sizes = [train_x.shape[1], args.hidden, args.hidden, len(names) or 1]
    model = MLP(sizes, rng=rng, device=device)  # two hidden layers with relu
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-3)
    x, y = inputs(train_x), train_y if names else targets(train_y)
    loader = data.DataLoader((x, y), batch_size=64, shuffle=True, rng=rng, device=device)
    output_of = lambda x: model(mg.tensor(x, device=device))
    task = f"one of {len(names)} classes" if names else "a number"
    print(f"{len(x)} rows for training, {len(test_x)} for test, of {', '.join(table.features)}")
    print(f"to predict: {table.target.name}, {task}")
    print(nn.summary(model, mg.tensor(x[:64], device=device)))

    def test():
        """The outputs for the test rows, in units of the target, and how good they are."""
        output = predict(output_of, inputs(test_x))  # (N, classes), or (N, 1)
        if names:
            return output, score(output, test_y)
        output = targets.inverse(output[:, 0])  # (N,)
        error = np.square(output - test_y).mean()
        baseline = np.square(train_y.mean() - test_y).mean()
        return output, {"rmse": error**0.5, "r2": 1 - error / max(baseline, 1e-300)}

    state = {"model": model, "optimizer": optimizer, "loader": loader, "rng": rng}
    kept = {"train_x": x[:SHOWN], "train_y": train_y[:SHOWN], "names": list(names)}
    kept |= {"test_x": inputs(test_x[:SHOWN]), "test_y": test_y[:SHOWN]}
    kept |= {"target": table.target.name, "targets": None if names else [*map(float, targets)]}
    saved = {"settings": {"sizes": sizes}, "kept": kept}
    with Run(args, **state, **saved, contents=[x, train_y], free=["epochs"]) as run:
        for _ in run.epochs():
            for x, y in run.batches():
                output = output_of(x)
                loss = mg.cross_entropy(output, y) if names else mg.mse_loss(output[:, 0], y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.record(loss=loss)
            run.end_epoch(**test()[1])
    return run


def read(args):
    """The table that --data names."""
    options = {"drop": args.drop, "categorical": args.categorical}
    options |= {"missing": args.missing, "task": args.task}
    if args.data == "throws":
        return data.parse_table(data.throws(), args.target, name="throws", **options)
    return data.read_table(args.data, args.target, **options)


def draw_numbers(run):
    """Draw predicted over true numbers, and the curves; print the error and the baseline's."""
    targets, pairs = data.Standardizer(*run.kept["targets"]), {}
    for part, title in (("train", "training rows"), ("test", "test rows")):
        outputs = predict(
            lambda x: run.model(mg.tensor(x, device=run.device)), run.kept[f"{part}_x"]
        )
        pairs[title] = run.kept[f"{part}_y"], targets.inverse(outputs[:, 0])
    figures.predicted_against_true(run.path("predictions.png"), pairs, run.kept["target"])
    rmse, r2 = run.series("rmse"), run.series("r2")
    panels = [{"train": run.series("loss")}, {"test": r2}]
    ylabels = ["mean squared error, standardized", "R2"]
    figures.curves(run.path("curves.png"), panels, ylabels=ylabels)
    baseline = np.square(targets.mean - run.kept["test_y"]).mean() ** 0.5
    print(f"test error (RMSE) {rmse[-1]:.4g}, R2 {r2[-1]:.4f}; of the mean: {baseline:.4g}, R2 0")


def draw_classes(run):
    """Draw the confusion matrix and the curves; print the accuracy and the baseline's."""
    train_y, test_y, names = (run.kept[key] for key in ("train_y", "test_y", "names"))
    logits = predict(lambda x: run.model(mg.tensor(x, device=run.device)), run.kept["test_x"])
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (test_y, logits.argmax(1)), 1)  # (true, predicted)
    figures.confusion_matrix(run.path("confusion.png"), counts, names)
    losses = {"train": run.series("loss"), "test": run.series("test_loss")}
    panels = [losses, {"test": run.series("accuracy")}]
    figures.curves(run.path("curves.png"), panels, ylabels=["cross-entropy, nats", "accuracy, %"])
    frequent = np.bincount(train_y).argmax()
    baseline = 100 * (test_y == frequent).mean()
    print(f"test accuracy {run.series('accuracy')[-1]:.2f} %; always {names[frequent]}: ", end="")
    print(f"{baseline:.2f} %")


def flags():
    parser = argument_parser(
        __doc__, out="runs/table", epochs=40, data="throws", data_help=TABLE_DATA
    )
    add = parser.add_argument
    add("--target", help="the column to predict; default the last")
    add("--task", choices=["regression", "classification"], help="if the target leaves it open")
    add("--drop", nargs="+", default=[], metavar="COLUMN", help="columns to leave out")
    add("--categorical", nargs="+", default=[], metavar="COLUMN", help="numbers that are names")
    add("--missing", choices=["refuse", "fill"], default="refuse", help="what empty fields get")
    add("--hidden", type=positive_int, default=64, help="units of each hidden layer")
    return parser.parse_args()


if __name__ == "__main__":
    run_example(main)
