"""Figures show what they are given, at the sizes that the code says."""

import numpy as np
import pytest

from minigen import figures
from minigen.training.metrics import mean_interval


def test_a_weight_has_one_size_in_all_attention_maps(tmp_path):
    from matplotlib.image import imread

    wide, tall = np.zeros((3, 9)), np.zeros((5, 3))
    wide[1, 4] = tall[2, 1] = 1  # not at a frame
    given = [wide, tall], ["a \n", "$b$ c"], ["wide maps", "xyz"]
    darkest = np.array([8, 48, 107]) / 255  # of the colours that stand for 0 to 1
    side = 18  # pixels: 0.15 inches
    for count in (1, 2):
        path = tmp_path / f"{count}.png"
        figures.attention_maps(path, *(part[:count] for part in given), titles=["one", "two"])
        picture = imread(path)[..., :3]
        found = (np.abs(picture - darkest).max(axis=2) < 0.01).sum()
        assert 0.9 * count < found / side**2 < 1.1 * count


def test_a_figure_shows_itself_in_a_notebook(tmp_path):
    shown = [
        figures.curves(tmp_path / "curves.png", [{"loss": [3.0, 2.0]}]),
        figures.image_sheet(tmp_path / "sheet.png", np.zeros((2, 3, 3)), 2),
        figures.captioned_images(tmp_path / "captioned.png", np.zeros((1, 3, 3)), ["a"], 1),
    ]
    for picture in shown:
        assert picture._repr_png_() == picture.path.read_bytes()
        assert picture._repr_png_().startswith(b"\x89PNG") and str(picture.path) in repr(picture)


def test_an_interval_that_is_wider_is_drawn_longer(tmp_path):
    from matplotlib.image import imread

    lengths = []
    for spread in (0.5, 1.0):
        columns = {"one": [5 - spread, 5, 5 + spread], "two": [0.0, 0.0, 10.0]}  # one scale
        figures.paired_points(tmp_path / "p.png", {"title": columns}, "y", mean_interval)
        red = np.abs(imread(tmp_path / "p.png")[..., :3] - [220 / 255, 20 / 255, 60 / 255])
        rows, columns = np.nonzero(red.max(axis=2) < 0.02)
        left = rows[columns < columns.mean()]
        lengths.append(np.ptp(left))
    assert 1.8 < lengths[1] / lengths[0] < 2.2


@pytest.mark.parametrize("n", [2, 20, 21, 300])
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes_and_any_names(n, tmp_path):
    names = ["$x$", "$\\nothing$", "日本", "a very long name of a class", *map(str, range(n))][:n]
    counts = np.eye(n, dtype=np.int64) * 3
    counts[0, 1] = 10
    pixels = pixels_of(figures.confusion_matrix(tmp_path / "c.png", counts, names))
    assert pixels.std() > 0.05


@pytest.mark.parametrize("name", ["", "folder", "p", "p.txt", "p.html"])
def test_a_file_whose_ending_names_no_format_is_refused_with_those_there_are(name, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"end the name of the file in \.png, or in one of "):
        figures.predicted_against_true(tmp_path / name, {"test": ([1.0], [2.0])}, "price")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("true", [[1.0, 2, 3], [5.0], [1e300, -1e300]])
def test_predictions_are_drawn_beside_the_diagonal(true, tmp_path):
    panels = {"training": (true, true), "test": (true, np.zeros(len(true)))}
    pixels = pixels_of(figures.predicted_against_true(tmp_path / "p.png", panels, "price in $"))
    assert pixels.std() > 0.05


def pixels_of(picture):
    from matplotlib.image import imread

    return imread(picture.path)[..., :3]
