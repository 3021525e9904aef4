"""Tensor files: names and texts that a file cannot hold, and files of other programs, named."""

import gzip

import numpy as np
import pytest

import minigen as mg
from minigen.errors import CheckpointError

ONE = {"a": mg.ones(1)}


def test_two_names_that_are_one_as_text_are_refused_and_none_is_lost(tmp_path):
    with pytest.raises(ValueError, match="two tensors have one name"):
        mg.save(tmp_path / "x", {1: mg.ones(1), "1": mg.zeros(1)})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["minigen", "sha256"])
def test_metadata_that_would_make_the_file_unreadable_is_refused(tmp_path, key):
    with pytest.raises(ValueError, match=f"metadata '{key}' is written by minigen"):
        mg.save(tmp_path / "x", ONE, {key: "9"})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("metadata", ["text", ["a"], 3], ids=str)
def test_metadata_is_a_dict(tmp_path, metadata):
    with pytest.raises(TypeError, match="metadata is a dict of texts by name, not"):
        mg.save(tmp_path / "x", ONE, metadata)


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [({"\ud800": mg.ones(1)}, None), (ONE, {"x": "\udcff"}), (ONE, {"\udcff": "x"})],
)
def test_names_and_texts_that_are_no_unicode_are_refused(tmp_path, tensors, metadata):
    with pytest.raises(ValueError, match="cannot be written as UTF-8"):
        mg.save(tmp_path / "x", tensors, metadata)


def test_names_of_any_characters_come_back(tmp_path):
    names = ["", "\x00", 'é\n"q"', "a/b c", "\U0001f600", "'", "\\"]
    mg.save(tmp_path / "x", {name: mg.ones((2, 0)) for name in names}, {"\n": "é"})
    assert set(mg.load(tmp_path / "x")) == set(names)


def write_npz(path):
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def write_npy(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (write_npz, r"an npz archive of NumPy; write it with mg\.save"),
        (write_npy, r"an array of NumPy; write it with mg\.save"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "lfs pull"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "an HDF5 file"),
        (lambda path: path.write_bytes(b"GGUF\3\0\0\0" + bytes(99)), "a GGUF file"),
        (lambda path: path.write_text("<!DOCTYPE html><html>"), "a web page; the download has"),
        (lambda path: path.write_text("<html>404"), "a web page; the download has"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(99)), r"a pickle, as torch\.save writes"),
        (lambda path: path.write_bytes(b""), "got .*header too small"),
        (lambda path: path.write_bytes(gzip.compress(b"x")), "got "),
    ],
)
def test_files_of_other_programs_are_named(tmp_path, write, says):
    write(tmp_path / "x")
    with pytest.raises(CheckpointError, match=f"expected a .*safetensors file, .*{says}"):
        mg.load(tmp_path / "x")
