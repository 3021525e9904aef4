"""Weights of other programs: 16-bit floats, pickles, links, permissions, the home folder."""

import json
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest

import minigen as mg
from minigen.errors import CheckpointError
from minigen.training.checkpoint import load_state, save_state


def write(path, entries, metadata=None):
    """A safetensors file of (name, dtype, shape, bytes), as another program would write it."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, dtype, shape, content in entries:
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


BITS = np.array(  # of bfloat16, with the values that IEEE 754 gives to the upper half of a float32
    [0x3F80, 0xC000, 0x0000, 0x8000, 0x7F80, 0xFF80, 0x0001, 0x7F7F, 0x4049, 0x7FC0], "<u2"
)
VALUES = [1, -2, 0, -0.0, np.inf, -np.inf, 2.0**-133, (2 - 2**-7) * 2.0**127, 3.140625, np.nan]


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_bfloat16_and_float16_are_read_as_float32(metadata, tmp_path):
    path = tmp_path / "model.safetensors"
    halves = np.array([1.5, -65504, 2.0**-24, np.inf, np.nan, -0.0], np.float16)
    full = np.arange(3, dtype=np.float32)
    entries = [
        ("a.full", "F32", [3], full.tobytes()),
        ("b.brain", "BF16", [2, 5], BITS.tobytes()),
        ("c.half", "F16", [6], halves.tobytes()),
        ("d.empty", "BF16", [0, 3], b""),
        ("e.point", "BF16", [], BITS[:1].tobytes()),
        ("f.ids", "I64", [1], np.array([7]).tobytes()),
    ]
    write(path, entries, metadata)
    loaded = mg.load(path)
    assert sorted(loaded) == [name for name, *_ in entries]
    brain = loaded["b.brain"]
    assert brain.dtype == np.float32 and brain.shape == (2, 5)
    assert np.array_equal(brain.data.ravel(), np.array(VALUES, np.float32), equal_nan=True)
    assert np.signbit(brain.data.ravel()[3])
    assert loaded["c.half"].dtype == np.float32
    assert np.array_equal(loaded["c.half"].data, halves.astype(np.float32), equal_nan=True)
    assert loaded["d.empty"].shape == (0, 3) and loaded["e.point"].item() == 1
    assert np.array_equal(loaded["a.full"].data, full) and loaded["f.ids"].item() == 7
    model = mg.nn.Linear(5, 2, bias=False)
    model.load_state_dict({"weight": brain})
    brain.data[...] = 0  # its own memory, which can be written to


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_other_dtypes_are_named(dtype, tmp_path):
    path = tmp_path / "model.safetensors"
    write(path, [("w", dtype, [2], b"\x00\x01")])
    with pytest.raises(CheckpointError, match=f"got {dtype} for tensor 'w'; convert it"):
        mg.load(path)


@pytest.mark.parametrize("shape", [[3], [2**40], [1] * 70, [0, 2**62, 2**62]])
def test_a_bfloat16_tensor_whose_size_is_wrong_is_refused(shape, tmp_path):
    path = tmp_path / "model.safetensors"
    write(path, [("w", "BF16", shape, b"\x00\x00")])
    with pytest.raises(CheckpointError):
        mg.load(path)


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path, length):
    note = {"note": ""}
    write(tmp_path / "w", [("w", "F32", [1], bytes(4))], note)
    found = int.from_bytes((tmp_path / "w").read_bytes()[:8], "little")
    write(tmp_path / "w", [("w", "F32", [1], bytes(4))], {"note": "x" * (length - found)})
    assert (tmp_path / "w").read_bytes()[0] == 0x80
    assert mg.load(tmp_path / "w")["w"].numpy() == [0]


def test_a_pickle_is_not_read_and_the_remedy_is_named(tmp_path):
    path = tmp_path / "model.pt"
    for protocol in (2, 3, 4, 5):
        path.write_bytes(pickle.dumps({"w": 1}, protocol))
        with pytest.raises(CheckpointError, match=r"got a pickle.*safetensors.torch.save_file"):
            mg.load(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"")
    with pytest.raises(CheckpointError, match=r"got a pickle.*weights_only=True"):
        mg.load(path)


def save_weights(path):
    mg.save(path, {"w": mg.ones(2)})


def save_a_state(path):
    save_state(path, {"w": np.ones(2)})


each_writer = pytest.mark.parametrize("write_file", [save_weights, save_a_state])


@each_writer
def test_a_save_keeps_the_mode_of_the_file_and_a_new_one_has_the_usual_mode(write_file, tmp_path):
    path = tmp_path / "w.safetensors"
    before = os.umask(0o027)
    try:
        write_file(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o664, 0o444):
            path.chmod(mode)
            write_file(path)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


@each_writer
def test_a_save_through_a_link_replaces_the_file_and_keeps_the_link(write_file, tmp_path):
    target, link = tmp_path / "disk/w.safetensors", tmp_path / "w.safetensors"
    target.parent.mkdir()
    link.symlink_to(target)
    for _ in range(2):  # the link points to nothing at first
        write_file(link)
        assert link.is_symlink() and not target.is_symlink()
        assert np.array_equal(mg.load(link)["w"].data, mg.load(target)["w"].data)
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "w.safetensors"}


@each_writer
def test_a_tilde_is_the_home_folder(write_file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_file("~/runs/w.safetensors")
    assert (tmp_path / "runs/w.safetensors").is_file()
    assert mg.load("~/runs/w.safetensors")["w"].shape == (2,)
    if write_file is save_a_state:
        assert load_state("~/runs/w.safetensors")["w"].shape == (2,)
    assert not (tmp_path / "~").exists()
    write_file("./~literal")
    assert (tmp_path / "~literal").is_file()
