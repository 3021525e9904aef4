"""Data that once was read otherwise than it was meant, without a word: masks, names, decimals."""

import numpy as np
import pytest

import minigen as mg
from minigen import data
from minigen.data import DataLoader, Subset, Vocabulary, random_split
from minigen.data.tables import parse_table
from minigen.errors import DatasetError, DTypeError

X = np.arange(10)
NUMBERS = "abc,a,b\n" + "".join(f"{i},{i % 4}.5,{i % 7}.25\n" for i in range(9))


@pytest.mark.parametrize("mask", [X > 5, mg.tensor(X > 5), [True, False]], ids=str)
def test_a_mask_is_no_list_of_indices_of_a_subset(mask):
    with pytest.raises(DTypeError, match="flatnonzero"):
        Subset(X, mask)


def test_indices_of_a_subset_are_integers_and_are_not_rounded():
    with pytest.raises(DTypeError, match="indices must be integers, got float64"):
        Subset(X, [1.7])
    assert len(Subset(X, [])) == 0
    assert Subset(X, mg.tensor([1, -1]))[1] == 9


@pytest.mark.parametrize("dataset", [X, (X, X), [(1, 2), (3, 4)]], ids=["array", "tuple", "list"])
def test_a_loader_of_an_empty_part_is_refused_as_one_of_an_empty_data_set(dataset):
    with pytest.raises(ValueError, match="no examples"):
        DataLoader(Subset(dataset, []), 2)


def test_a_loader_of_a_dict_of_columns_names_what_it_takes():
    with pytest.raises(ValueError, match=r"dict of whole columns; pass a tuple"):
        DataLoader({"x": X, "y": X}, 2)
    (batch,) = DataLoader([{"x": 1.0}, {"x": 2.0}], 2)
    assert batch["x"].tolist() == [1, 2]


def test_fractions_split_a_single_example_as_any_number_of_them():
    assert [len(part) for part in random_split(X[:1], [1.0, 0.0])] == [1, 0]
    assert [len(part) for part in random_split(X[:1], [0.5, 0.5])] == [1, 0]
    assert [len(part) for part in random_split(X[:1], [1])] == [1]


def test_one_name_to_drop_or_to_take_as_a_category_is_a_name_and_not_its_letters():
    assert parse_table(NUMBERS, drop="abc").features == ["a"]
    assert parse_table(NUMBERS, drop=["abc"]).features == ["a"]
    features = parse_table(NUMBERS, categorical="a").features
    assert features == ["abc", "a=0.5", "a=1.5", "a=2.5", "a=3.5"]


@pytest.mark.parametrize("delimiter", [";", "\t"], ids=["semicolon", "tab"])
@pytest.mark.parametrize(
    "rows",
    [
        ["1,234;2.5", "2,345;3.5"],
        ["2,5;1.234", "3,5;2.345"],
        ['"1,234";"2.5"', "2;3"],
        ["1;2.5", "2; 1,5"],
    ],
    ids=str,
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
def test_a_comma_and_a_point_in_the_numbers_of_one_file_are_refused(delimiter, rows, end):
    content = end.join(["a;b", *rows * 3, ""]).replace(";", delimiter)
    with pytest.raises(DatasetError, match="one decimal mark in all numbers"):
        parse_table(content)


def test_decimal_commas_alone_or_points_alone_are_numbers():
    commas = parse_table("a;b\n" + "1,5;2,5\n2,5;3,25\n3;4\n" * 3)
    points = parse_table("a;b\n" + "1.5;2.5\n2.5;3.25\n3;4\n" * 3)
    assert np.array_equal(commas.x, points.x) and np.array_equal(commas.y, points.y)
    dates = parse_table("d;b\n" + "24.12.2020;2,5\n25.12.2020;3,5\n" * 5)
    assert dates.features == ["d=24.12.2020", "d=25.12.2020"]


@pytest.mark.parametrize("cell", ["1.234,5", "1 234,5", "1'234.5", "1.234.567", "1\u00a0234"])
def test_numbers_with_marks_of_thousands_are_no_categories(cell):
    with pytest.raises(DatasetError, match="expected plain numbers"):
        parse_table("a;b\n" + f"{cell};1\n{cell};2\n" * 5)


@pytest.mark.parametrize("first", ["sep=;", "# made by a program", "Sales of 2020"])
def test_a_first_line_that_is_no_row_is_shown(first):
    with pytest.raises(DatasetError, match=f"the first row is '{first}'"):
        parse_table(f"{first}\na;b\n1;2.5\n2;3.5\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04\xff\xfe", "got a spreadsheet or an archive; save it as CSV"),
        (b"\x1f\x8b\x08\x00", "got a gzip file; unpack it"),
        ("a,b".encode("utf-16"), "got UTF-16; convert the file to UTF-8"),
        (b"\xfe\xff\x00a", "got UTF-16; convert the file to UTF-8"),
        ("é".encode("latin-1"), r"got byte 0xe9 at byte position 0 .*; convert the file"),
    ],
)
def test_a_file_of_another_format_is_recognised_by_its_first_bytes(tmp_path, content, says):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    for read in (data.text, data.read_table):
        with pytest.raises(DatasetError, match=says):
            read(path)


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0c", "\x1c", "\x0b"], ids=ascii)
def test_only_line_ends_divide_the_lines_of_pairs(tmp_path, separator):
    path = tmp_path / "pairs.txt"
    path.write_bytes(f"a\tb{separator}c\r\nd\te\n".encode())
    assert data.text_pairs(path) == (["a", "d"], [f"b{separator}c", "e"])


@pytest.mark.parametrize("text", [["a", "b"], b"ab", 3, None], ids=repr)
def test_a_vocabulary_takes_a_text(text):
    if text is not None:
        with pytest.raises(DTypeError, match="takes a text, a str"):
            Vocabulary(text)
    with pytest.raises(DTypeError, match="takes a text, a str"):
        Vocabulary("ab").encode(text)
