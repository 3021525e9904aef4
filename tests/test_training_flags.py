"""The common flags of the examples, the data that they name, and errors without a traceback."""

import numpy as np
import pytest
from PIL import Image

from minigen.errors import DatasetError
from minigen.training import argument_parser, image_data, run_example


def test_glyphs_are_split_into_train_and_test():
    train_x, train_y, test_x, test_y, names = image_data("glyphs")
    assert train_x.shape == (10_000, 28, 28)
    assert len(test_x) == len(test_y) == 2_000
    assert set(train_y) == set(range(36)) and len(names) == 36


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "nothing of this name. Check the path"),
        ("table.csv", "For a table: python examples/table.py --data"),
        ("set.ZIP", "Unpack it"),
        ("one.png", "Name the folder"),
        (".", "at least 2 classes, got 0 subfolders"),
    ],
)
def test_data_that_is_no_folder_of_classes_is_told_what_to_name(tmp_path, name, says):
    for file in ("table.csv", "set.ZIP", "one.png", "two.png"):
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / file, format="PNG")
    with pytest.raises(DatasetError) as caught:
        image_data(str(tmp_path / name), min_classes=2)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--out", ""], "must name a folder, got nothing"),
        (["--seed", "-1"], "from 0 to 2"),
        (["--seed", str(2**64)], "from 0 to 2"),
        (["--epochs", "1.5"], "whole number of at least 1, got 1.5"),
        (["--max-seconds", "nan"], "number of at least 0, got nan"),
        (["--max-seconds", "soon"], "number of at least 0, got soon"),
    ],
)
def test_invalid_flags_are_refused_with_an_explanation(flags, says, capsys):
    with pytest.raises(SystemExit) as stop:
        argument_parser("", out="runs", epochs=1).parse_args(flags)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError("no room"), "OSError: no room")]
)
def test_an_example_ends_without_a_traceback(error, code):
    def main():
        raise error

    with pytest.raises(SystemExit) as stop:
        run_example(main)
    assert stop.value.code == code
