"""CSV files as arrays: what is found out, what is kept, and what is refused by its line."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.data import Standardizer, parse_table, read_table, throws
from minigen.errors import DatasetError

PEOPLE = """age,city,height,fit
31,Rome,1.7,yes
42,"Paris, Texas",1.8,no
25,Rome,1.65,yes
60,Oslo,1.75,no
"""


def refused(content, *parts, **options):
    with pytest.raises(DatasetError) as caught:
        parse_table(content, name="some table", **options)
    for part in ("some table", "expected", "got", *parts):
        assert part in str(caught.value)


def test_numbers_stay_and_texts_become_one_hot():
    table = parse_table(PEOPLE)
    assert table.features == ["age", "city=Oslo", "city=Paris, Texas", "city=Rome", "height"]
    assert table.x.tolist()[:2] == [[31, 0, 0, 1, 1.7], [42, 0, 1, 0, 1.8]]
    assert table.target == ("fit", ("no", "yes"))
    assert table.y.tolist() == [1, 0, 1, 0] and table.y.dtype == np.int64
    table = parse_table(PEOPLE, "height", drop=["fit"])
    assert table.y.tolist() == [1.7, 1.8, 1.65, 1.75] and table.target.categories == ()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("header", [True, False])
def test_delimiter_line_ends_mark_and_header_are_found(tmp_path, delimiter, end, mark, header):
    rows = ["a b,ü,c", '1,"x ""y"" ,;\tz",0.5', "2,w,1e-3", "", '-3,"w",.25']
    rows = [row.replace(",", delimiter) if "x" not in row else row for row in rows]
    rows[1] = delimiter.join(("1", '"x ""y"" ,;\tz"', "0.5"))
    path = tmp_path / "my täble.csv"
    content = mark + end.join(rows if header else rows[1:]) + end
    path.write_bytes(content.encode())
    table = read_table(path)
    assert table.target.name == ("c" if header else "3")
    assert table.features[0] == ("a b" if header else "1")
    assert table.x[:, 0].tolist() == [1, 2, -3] and table.y.tolist() == [0.5, 0.001, 0.25]
    assert table.columns[1].categories == ("w", 'x "y" ,;\tz')


def test_a_decimal_comma_is_read_where_the_delimiter_is_another():
    table = parse_table("a;b\n1,5;2,25\n-3;1e2\n")
    assert table.x.tolist() == [[1.5], [-3]] and table.y.tolist() == [2.25, 100]


def test_columns_without_a_name_are_left_out():
    table = parse_table(",a,Unnamed: 0,b,\n0,5,7,1.5,\n1,6,8,2.5,\n")
    assert table.features == ["a"] and table.y.tolist() == [1.5, 2.5]


def test_the_target_decides_between_regression_and_classification():
    column = lambda values: parse_table("x,y\n" + "".join(f"1,{v}\n" for v in values))
    classes = lambda values: column(values).target.categories
    assert classes([10, 9, 2] * 5) == ("2", "9", "10")  # in the order of the numbers
    assert column([10, 9, 2] * 5).y[:3].tolist() == [2, 1, 0]
    assert classes([0.5, 1.5] * 10) == () == classes(range(100)) == classes([1, 2, 3])
    assert classes(["cat", "dog", "cat", "dog"]) == ("cat", "dog")
    content = "x,y\n" + "1,3\n2,4\n" * 10
    assert parse_table(content, task="regression").y[:2].tolist() == [3, 4]
    assert parse_table("x,y\n1,3\n2,4\n", task="classification").target.categories == ("3", "4")
    refused("x,y\n1,cat\n2,dog\n", "numbers in the target 'y'", "'cat'", task="regression")


def test_missing_values_are_refused_by_line_or_filled():
    content = "a,b,c\n1,x,1.5\n?,,2.5\n3,x,3.5\nNA,y,4\n5,y,4.25\n"
    refused(content, "line 3: expected a value in the column 'a', got none", "missing='fill'")
    refused(content, "line 3: expected a value in the column 'b'", drop=["a"])
    table = parse_table(content, missing="fill")
    assert np.isnan(table.x[:, 0]).tolist() == [False, True, False, True, False]
    assert table.columns[1].categories == ("", "x", "y")
    assert Standardizer.fit(table.x)(table.x)[1, 0] == 0  # the mean of the others
    refused("a,b\n1,2\n2,\n3,3\n", "line 3", "remove the row", missing="fill")


def test_standardizing_takes_the_training_rows_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 5, (50, 2)) * [1, 1e200]
    x = np.concatenate([x, np.full((50, 1), 0.1)], axis=1)
    z = Standardizer.fit(x)(x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), [1, 1, 0], atol=1e-6)
    assert Standardizer.fit(x)(x + 7)[:, 2].tolist() == [0] * 50  # constant in training
    of_first = Standardizer.fit(x[:10, 0])
    np.testing.assert_allclose(of_first.inverse(of_first(x[:, 0])), x[:, 0], rtol=1e-5)
    np.testing.assert_allclose(of_first.mean, x[:10, 0].mean(), rtol=1e-14)


def test_a_part_of_each_class_is_held_out_and_the_same_each_time():
    content = "x,y\n" + "".join(f"{i},{'ab'[i % 4 == 0]}\n" for i in range(40))
    train_x, train_y, test_x, test_y = parse_table(content).split()
    assert np.bincount(test_y).tolist() == [6, 2] and len(train_x) == 32
    assert not set(train_x[:, 0]) & set(test_x[:, 0])
    for a, b in zip(parse_table(content).split(), (train_x, train_y, test_x, test_y)):
        np.testing.assert_array_equal(a, b)


def test_further_rows_are_read_with_the_categories_of_the_first():
    table = parse_table(PEOPLE)
    more = parse_table("city,height,age\nOslo,2,50\n", like=table)
    assert more.x.tolist() == [[50, 1, 0, 0, 2]] and more.y is None
    refused("city,height,age\nBonn,2,50\n", "line 2", "category of the column 'city'", like=table)
    refused("city,age\nOslo,50\n", "a column 'height'", like=table)


TEXTS = st.text("abcü日 .;,\t\"'\n", min_size=1, max_size=6).map(lambda x: f"t{x}t")


@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=n, max_size=n),
            st.lists(TEXTS, min_size=n, max_size=n),
            st.lists(st.integers(-(10**6), 10**6), min_size=n, max_size=n, unique=True),
        )
    ),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_a_table_that_was_written_by_the_csv_module_is_read_as_it_was(
    columns, delimiter, end, quoting
):
    file = io.StringIO(newline="")
    options = {"delimiter": delimiter, "lineterminator": end, "quoting": quoting}
    csv.writer(file, **options).writerows([["a", "b", "c"], *zip(*columns)])
    table = parse_table(file.getvalue(), delimiter=delimiter, task="regression")
    numbers, texts, target = columns
    assert table.x[:, 0].tolist() == numbers and table.y.tolist() == target
    assert table.columns[1].categories == tuple(sorted(set(texts)))
    assert [table.columns[1].categories[i] for i in table.x[:, 1:].argmax(1)] == texts


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n3\n", "line 3: expected 2 fields, as in the first row, got 1"),
        ("a,b\n1,2\n\n3,4,5\n", "line 4: expected 2 fields"),
        ('a,b\n1,"x\ny"\n2,"open\n3,z\n', "line 4: expected fields in whole quotes"),
        ('a,b\n1,"x"y\n', "line 2: expected fields in whole quotes"),
        ("a,b\n1,2\n3,4\n5,1x\n6,7\n", "line 4: expected a number in the column 'b'"),
        ("a,b\n1,2\n3,inf\n5,6\n", "line 3: expected a number in the column 'b'"),
        ("a,b\n1,2\n3,1e999\n5,6\n", "line 3: expected a finite number"),
        ("a,b\n1,2\n\x00,4\n", "line 3: expected text, got '\\x00'"),
        ("a,a\n1,2\n", "line 1: expected a name for each column, got 'a' twice"),
        ("a\n1\n2\n", "two columns or more, got 1"),
        ("a|b\n1|2\n", "two columns or more, got 1; separate fields by comma"),
        (
            'a,b\n"1,234",2\n"51,678",3\n',
            "expected plain numbers, such as 1234.5, in the column 'a'",
        ),
        ("a,b\n12 %,2\n$3,3\n", "expected plain numbers, such as 1234.5, in the column 'a'"),
        ("a,b\n1,2\n", "two rows or more"),
        ("a,b\n", "two rows or more"),
        ("\n\n", "two columns or more, got 0"),
        ("a,b\n1,2\n3,2\n", "two values of the target 'b' or more, got '2' in all rows"),
        ("a,b\n" + "".join(f"name {i},{i}.5\n" for i in range(60)), "in the column 'a'"),
        ("a,b\n" + "x" * 140_000 + ",2\n", "line 2: expected fields in whole quotes, got field"),
        ("," * 20_000 + "\n", "at most 16384 columns"),
        ("a,b\n" + "1,1\n1,1.0\n" * 10, "one way to write each class"),
        ("a,b\n" + "1,1\n1,2.0\n1,2\n" * 10, "one way to write each class of 'b'"),
    ],
    ids=range(22),
)
def test_a_damaged_table_is_refused_by_its_line(content, says):
    refused(content, says)


def test_names_that_the_table_lacks_and_files_that_are_none(tmp_path):
    refused(PEOPLE, "a column 'size'", "'age', 'city'", target="size")
    refused(PEOPLE, "a column 'size'", drop=["size"])
    refused(PEOPLE, "a column 'fit'", target="fit", drop=["fit"])
    for path, content, says in (
        ("none.csv", None, "No such file"),
        ("utf16.csv", PEOPLE.encode("utf-16"), "expected UTF-8"),
        ("empty.csv", b"", "empty file"),
    ):
        if content is not None:
            (tmp_path / path).write_bytes(content)
        with pytest.raises(DatasetError, match=says):
            read_table(tmp_path / path)
    with pytest.raises(DatasetError, match="max_bytes=10"):
        (tmp_path / "long.csv").write_text(PEOPLE)
        read_table(tmp_path / "long.csv", max_bytes=10)
    with pytest.raises(ValueError, match="missing must be"):
        parse_table(PEOPLE, missing="drop")


def test_numbers_of_any_length_are_read_in_linear_time():
    refused("a,b\n1,2\n3,4\n5," + "1" * 100_000 + "x\n", "line 4: expected a number")
    refused("a,b\n1,2\n3,4\n5," + "1" * 100_000 + "\n", "line 4: expected a number")


def test_thrown_balls_fly_as_without_air_if_they_are_heavy():
    table = parse_table(throws(400, seed=1), drop=["ball"])
    shots = np.array([line.startswith("shot") for line in throws(400, seed=1).splitlines()[1:]])
    speed, angle, height, _ = table.x.T
    up, along = speed * np.sin(np.radians(angle)), speed * np.cos(np.radians(angle))
    vacuum = along * (up + np.sqrt(up**2 + 2 * 9.81 * height)) / 9.81
    relative = table.y / vacuum
    assert np.abs(relative[shots] - 1).max() < 0.1
    assert np.median(relative[~shots]) < 0.9
    assert throws(5) == throws(5) != throws(5, seed=1)
    assert parse_table(throws(50), "ball").target.categories[0] == "baseball"
    with pytest.raises(ValueError, match="integer >= 0"):
        throws(-1)
