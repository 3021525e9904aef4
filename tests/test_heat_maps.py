"""What a notebook shows of a tensor: well-formed, small, and each value in its colour."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import minigen as mg
from minigen.figures.heat_maps import INFINITE, MAX_CELLS, NAN

SVG = "{http://www.w3.org/2000/svg}"


def shown(x):
    """(caption, {(row, column): colour}, (rows, columns)) of what is shown of a tensor."""
    root = ElementTree.fromstring(mg.tensor(x)._repr_html_().replace("<br>", "\n"))
    caption = root.find(".//small").text
    svg, cells = root.find(f"{SVG}svg"), {}
    if svg is None:
        rows = root.findall(".//tr")
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                cells[i, j] = re.match("background:(#[0-9a-f]{6});", cell.get("style"))[1]
        return caption, cells, (len(rows), len(rows[0]) if rows else 0)
    columns, rows = map(int, svg.get("viewBox").split()[2:])
    for path in svg.iter(f"{SVG}path"):
        for j, i in re.findall(r"M(\d+) (\d+)h1v1h-1z", path.get("d")):
            assert (int(i), int(j)) not in cells
            cells[int(i), int(j)] = path.get("fill")
    assert cells.keys() == {(i, j) for i in range(rows) for j in range(columns)}
    return caption, cells, (rows, columns)


def test_each_value_has_its_colour_and_what_is_not_finite_one_of_its_own():
    x = np.array([[-2.0, -1.0, 0.0], [1.0, 2.0, np.nan], [np.inf, -np.inf, 1e-3]])
    caption, cells, _ = shown(x)
    assert cells[0, 2] == cells[2, 2] == "#ffffff"
    assert cells[0, 0] == "#2d2dff" and cells[1, 1] == "#ff2d2d"
    assert cells[0, 1][1:3] == cells[0, 1][3:5] > "2d" and cells[0, 1].endswith("ff")
    assert cells[1, 2] == NAN and cells[2, 0] == cells[2, 1] == INFINITE
    assert "(3, 3), float64, cpu" in caption and "from -2 to 2, 1 NaN" in caption
    assert "2 infinite" in caption


@pytest.mark.parametrize(
    ("x", "says", "shape"),
    [
        (np.float32(2.5), "value 2.5", (0, 0)),
        (np.zeros((0, 3)), "no values", (0, 0)),
        (np.arange(5), "from 0 to 4", (1, 5)),
        (np.eye(3) > 0, "from False to True", (3, 3)),
        (np.array([2**64 - 1], np.uint64), "to 18446744073709551615", (1, 1)),
        (np.zeros((2, 3, 4, 5)), "the first of 6 matrices", (4, 5)),
        (np.full((2, 2), np.nan), "no finite values, 4 NaN", (2, 2)),
        (np.array([5e-324, 1e308]), "from 4.9407e-324 to 1e+308", (1, 2)),
        (np.ones((1000, 33)), "means of neighbours", (MAX_CELLS, MAX_CELLS)),
        (np.ones((3, 10**5)), "from 1 to 1", (3, MAX_CELLS)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_shape_dtype_and_size_is_shown(x, says, shape):
    caption, _, drawn = shown(x)
    assert says in caption
    assert drawn == shape


def numbers(x):
    """The texts in the table that is shown of a tensor, row by row."""
    root = ElementTree.fromstring(mg.tensor(x)._repr_html_().replace("<br>", "\n"))
    return [[cell.text for cell in row] for row in root.iter("tr")]


def test_a_small_tensor_shows_its_numbers():
    x = np.array([[1.5, -2e-7], [np.nan, np.inf]], np.float32)
    assert numbers(x) == [["1.5", "-2e-07"], ["nan", "inf"]]
    assert numbers(np.array([2**62, -1])) == [[str(2**62), "-1"]]
    assert numbers(np.array([[True], [False]])) == [["True"], ["False"]]
    assert numbers(np.arange(24).reshape(2, 3, 4))[2] == ["8", "9", "10", "11"]
    assert len(numbers(np.zeros((12, 12)))) == 12
    assert numbers(np.zeros((12, 13))) == []  # a heat map


def test_large_tensors_show_the_means_of_neighbours_and_do_not_hide_a_nan():
    x = np.zeros((64, 96))
    x[:2, :3], x[63, 95], x[10, 10], x[40:42, 39:42] = 1, 4, np.nan, 1e308
    caption, cells, shape = shown(x)
    assert shape == (MAX_CELLS, MAX_CELLS) and cells[5, 3] == NAN and "1 NaN" in caption
    assert cells[20, 13] == "#ff2d2d"  # their sum would overflow
    assert cells[0, 0] == "#ffffff"
    assert len(mg.tensor(np.random.default_rng(0).normal(size=(2000, 2000)))._repr_html_()) < 2e4


def test_the_caption_says_what_the_repr_says_and_is_escaped():
    y = mg.ones((2, 2), requires_grad=True) * 2
    assert "op=multiply" in y._repr_html_() and "op=multiply" in repr(y)
    from minigen.figures.heat_maps import as_html

    assert "&lt;b&gt;" in as_html(np.ones(2), "<b>")
