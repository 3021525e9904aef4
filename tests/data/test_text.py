import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.data import Vocabulary, text, text_pairs
from minigen.errors import DatasetError, DTypeError


def test_a_text_file_is_read_unchanged(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_bytes("naïve\r\n日本 🙂\n".encode())
    assert text(path) == text(str(path)) == "naïve\r\n日本 🙂\n"


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path):
    path = tmp_path / "marked.txt"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert text(path) == "abc"


def test_the_default_is_the_language_reference():
    reference = text()
    assert len(reference) > 300_000
    assert "lambda" in reference and "assert" in reference
    assert reference == text()


def test_a_python_without_the_language_reference_raises_with_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DatasetError, match=r"text\(path\)"):
        text()


def test_text_that_is_not_utf8_is_refused_with_byte_and_position(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("é".encode() + b"caf\xe9 au lait")
    with pytest.raises(DatasetError, match="byte 0xe9 at byte position 5") as caught:
        text(path)
    assert str(path) in str(caught.value) and "UTF-8" in str(caught.value)


def test_pairs_are_the_two_columns_of_the_file(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("one\tun\ntwo, 2\tdeux\n")
    assert text_pairs(path) == (["one", "two, 2"], ["un", "deux"])


@pytest.mark.parametrize("line", ["two", "two\t", "two\tdeux\tzwei", ""])
def test_a_line_that_is_not_a_pair_is_refused_with_its_number(line, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"one\tun\n{line}\nthree\ttrois\n")
    with pytest.raises(DatasetError, match="on line 2"):
        text_pairs(path)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="empty") as caught:
        text(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    for path in (tmp_path / "nothing.txt", tmp_path):
        with pytest.raises(DatasetError) as caught:
            text(path)
        assert str(path) in str(caught.value)


def test_a_file_that_is_too_long_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("abc")
    assert text(path, max_bytes=3) == "abc"
    with pytest.raises(DatasetError, match="3 bytes, more than max_bytes=2"):
        text(path, max_bytes=2)
    os.truncate(path, 2**40)  # a sparse file: it occupies no disk space
    with pytest.raises(DatasetError, match="more than max_bytes"):
        text(path)


def test_a_device_file_is_refused_before_it_is_read():
    with pytest.raises(DatasetError, match="/dev/zero: expected a text file, got a folder or a"):
        text("/dev/zero")


def test_a_long_line_is_shortened_in_the_error(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("x" * 100_000)
    with pytest.raises(DatasetError) as caught:
        text_pairs(path)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_ids_are_indices_into_the_sorted_characters():
    vocabulary = Vocabulary("hello")
    assert vocabulary.characters == "ehlo" and len(vocabulary) == 4
    ids = vocabulary.encode("hole")
    assert ids.dtype == np.int64
    assert ids.tolist() == [1, 3, 2, 0]
    assert repr(vocabulary) == "Vocabulary('ehlo')"


@given(st.text(st.characters(), min_size=1))
def test_decode_undoes_encode(sample):
    vocabulary = Vocabulary(sample)
    assert vocabulary.characters == "".join(sorted(set(sample)))
    assert vocabulary.decode(vocabulary.encode(sample)) == sample
    assert Vocabulary(vocabulary.characters).characters == vocabulary.characters


def test_lists_arrays_and_scalars_of_integers_are_decoded():
    vocabulary = Vocabulary("abc")
    assert vocabulary.decode([2, 0]) == "ca"
    assert vocabulary.decode(np.array([2, 0], np.uint8)) == "ca"
    assert vocabulary.decode(np.int64(1)) == vocabulary.decode(1) == "b"
    assert vocabulary.decode([]) == "" and vocabulary.encode("").shape == (0,)


@pytest.mark.parametrize("unknown", ["!", "z", "🙂", "\n"])
def test_an_unknown_character_is_refused_with_its_position(unknown):
    with pytest.raises(DatasetError) as caught:
        Vocabulary("abc").encode(f"ab{unknown}c{unknown}")
    assert f"{unknown!r} at position 2" in str(caught.value)


@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
def test_an_id_out_of_range_is_refused_with_value_range_and_position(wrong):
    with pytest.raises(IndexError, match=rf"id {wrong} at position 1 is not in \[0, 3\)"):
        Vocabulary("abc").decode([0, wrong])


@pytest.mark.parametrize("ids", [[0.0], [True], [[0, 1]], "ab"])
def test_ids_of_another_type_or_rank_are_refused(ids):
    with pytest.raises(DTypeError, match="decode takes integers"):
        Vocabulary("abc").decode(ids)


def test_an_empty_text_has_no_vocabulary():
    with pytest.raises(DatasetError, match="at least one character"):
        Vocabulary("")
