"""Files of tensors and of training states: exact, atomic and checked for damage."""

import json
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minigen as mg
from minigen import tensor_files
from minigen.errors import CheckpointError
from minigen.training import checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


def test_tensors_come_back_in_any_layout_and_dtype(path):
    arrays = {
        "turned": np.arange(6.0).reshape(2, 3).T,
        "stepped": np.arange(10, dtype=np.float32)[::-3],
        "ints": np.arange(3),
        "flags": np.array([True, False]),
        "point": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.uint8),
    }
    mg.save(path, {**arrays, "tensor": mg.ones(2)}, metadata={"by": "test"})
    loaded = mg.load(path)
    assert np.array_equal(loaded.pop("tensor").data, np.ones(2))
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert np.array_equal(loaded[name].data, array), name


def test_files_are_exchangeable_with_safetensors(path):
    mg.save(path, {"w": mg.ones((2, 2))})
    assert np.array_equal(load_file(path)["w"], np.ones((2, 2)))
    save_file({"v": np.zeros(3)}, path)
    assert np.array_equal(mg.load(path)["v"].data, np.zeros(3))


def test_a_nested_state_comes_back(path):
    state = {
        "a": [1, 2.5, "x", None, True, {"deep": np.arange(3)}],
        "b": {"w": mg.ones(2)},
        "big": 2**64 - 1,
    }
    checkpoint.save_state(path, state)
    loaded = checkpoint.load_state(path)
    assert loaded["a"][:5] == state["a"][:5]
    assert np.array_equal(loaded["a"][5]["deep"], np.arange(3))
    assert np.array_equal(loaded["b"]["w"], np.ones(2))
    assert loaded["big"] == 2**64 - 1
    with pytest.raises(TypeError, match="cannot be saved"):
        checkpoint.save_state(path, {"f": lambda: 0})


def test_two_arrays_of_one_name_are_refused(path):
    one, two = np.zeros(1), np.ones(1)
    with pytest.raises(ValueError, match=r"'a\.b'"):
        checkpoint.save_state(path, {"a.b": one, "a": {"b": two}})


def test_every_truncation_and_bit_flip_is_detected(path):
    mg.save(path, {"w": mg.Tensor(np.arange(20.0))}, {"by": "test"})
    whole = path.read_bytes()
    for cut in (0, 4, 8, 50, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=path.name):
            mg.load(path)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            loaded = mg.load(path)
        except CheckpointError as error:
            assert "expected" in str(error) and "got" in str(error)
        else:  # the bit is in the padding after the header
            assert np.array_equal(loaded["w"].data, np.arange(20.0))


def test_the_hash_covers_the_text_too(path):
    checkpoint.save_state(path, {"step": 1234, "w": np.ones(2)})
    path.write_bytes(path.read_bytes().replace(b"1234", b"1235"))
    with pytest.raises(CheckpointError, match=r"expected data of SHA-256 .*, got .* damaged"):
        checkpoint.load_state(path)


def test_a_file_without_the_keys_of_a_state_is_refused(path):
    checkpoint.save_state(path, {"step": 1})
    whole = path.read_bytes()
    marks = {b'"minigen"': b'"minigem"', b'"sha256"': b'"sha255"', tensor_files.TAIL: b" " * 8}
    for kept in marks:
        damaged = whole
        for mark in marks.keys() - {kept}:
            damaged = damaged.replace(mark, marks[mark])
        path.write_bytes(damaged)
        for read in (mg.load, checkpoint.load_state):
            with pytest.raises(CheckpointError, match=r"damaged|not a state"):
                read(path)
    path.write_bytes(damaged.replace(kept, marks[kept]))
    with pytest.raises(CheckpointError, match="not a state"):
        checkpoint.load_state(path)


def test_equal_contents_give_equal_files_with_arrays_aligned_to_eight_bytes(path):
    tensors = {"w": np.ones(3), "\u00e9": np.arange(2, dtype=np.uint8)}
    files = []
    for _ in range(5):
        mg.save(path, tensors, {"by": "test", "for": "na\u00efve"})
        files.append(path.read_bytes())
    assert len(set(files)) == 1
    assert int.from_bytes(files[0][:8], "little") % 8 == 0
    assert np.array_equal(load_file(path)["\u00e9"], [0, 1])


def test_the_error_for_a_damaged_file_names_the_previous_save(path):
    mg.save(path, {"w": mg.ones(2)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="name a whole copy"):
        mg.load(path)
    for _ in range(2):
        mg.save(path, {"w": mg.ones(2)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"take .*\.previous, the save before"):
        mg.load(path)


def test_invalid_json_of_a_state_is_refused(path):
    mg.save(path, {}, {"state": "[" * 100_000})
    with pytest.raises(CheckpointError, match="RecursionError"):
        checkpoint.load_state(path)
    mg.save(path, {}, {"state": '{"w": {"$array": ["w"]}}'})
    with pytest.raises(CheckpointError, match="a description of all its arrays"):
        checkpoint.load_state(path)


@pytest.mark.parametrize(
    ("dtype", "shape", "end"),
    [("F32", [2**40], 2**42), ("F32", [0, 2**62, 2**62], 0), ("U8", [1] * 70, 1), ("BF16", [2], 2)],
)
def test_an_impossible_header_is_refused_before_allocation(path, dtype, shape, end):
    header = {"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(min(end, 2)))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="expected a whole safetensors file"):
        mg.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


def test_files_are_exchangeable_with_pytorch(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as torch_load
    from safetensors.torch import save_file as torch_save

    model = mg.nn.Sequential(mg.nn.Linear(3, 2), mg.nn.BatchNorm1d(2))
    mg.save(path, model.state_dict())
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    theirs.load_state_dict(torch_load(path))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model.eval()(mg.tensor(x)).data, expected, rtol=1e-5, atol=1e-6)
    theirs[0].weight.data += 1
    torch_save(theirs.state_dict(), path)
    model.load_state_dict(mg.load(path))
    assert np.array_equal(model[0].weight.data, theirs[0].weight.detach().numpy())


def test_files_of_other_formats_are_refused_with_the_reason(path):
    with pytest.raises(CheckpointError, match="no such file"):
        mg.load(path)
    path.write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(CheckpointError, match="expected a whole safetensors file"):
        mg.load(path)
    save_file({"h": np.zeros(2, np.complex64)}, path)
    with pytest.raises(CheckpointError, match="got C64 for tensor"):
        mg.load(path)
    for version, remedy in (("99", "update minigen"), ("1", "the release that wrote it")):
        save_file({"v": np.zeros(2)}, path, metadata={"minigen": version})
        with pytest.raises(CheckpointError, match=f"expected format 2, got {version}; .*{remedy}"):
            mg.load(path)
    for folder in (path.parent, "/dev/zero"):
        with pytest.raises(CheckpointError, match="a folder or a device"):
            mg.load(folder)
    mg.save(path, {"v": mg.ones(1)})
    with pytest.raises(CheckpointError, match="not a state"):
        checkpoint.load_state(path)


def test_the_previous_file_is_kept(path):
    mg.save(path, {"w": mg.ones(2)})
    mg.save(path, {"w": mg.zeros(2)})
    assert np.array_equal(mg.load(f"{path}.previous")["w"].data, np.ones(2))


def test_a_reserved_tensor_name_is_refused(path):
    with pytest.raises(ValueError, match="__metadata__"):
        mg.save(path, {"__metadata__": mg.ones(1)})
