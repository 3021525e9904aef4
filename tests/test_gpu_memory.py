"""Moving to the device and back: batches, modules, and what is said of memory and precision."""

import numpy as np
import pytest

import minigen as mg
from minigen.backend.arrays import is_cupy
from minigen.data import DataLoader, Subset, TensorDataset

pytestmark = pytest.mark.usefixtures("device")
X, Y = np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10)


def loader(device, **options):
    return DataLoader((X, Y), 4, shuffle=True, rng=mg.Generator(3), device=device, **options)


def test_batches_on_the_device_are_those_of_the_host_in_arrays_of_their_own():
    there, here = loader("cuda"), loader("cpu")
    for _ in range(2):
        batches = list(there)
        assert all(is_cupy(x) and is_cupy(y) for x, y in batches)
        for got, want in zip(batches, here, strict=True):
            for x, w in zip(got, want):
                assert np.array_equal(x.get(), w) and x.dtype == w.dtype


def test_a_loader_that_reads_ahead_resumes_at_the_batch_that_was_given_last():
    whole = [y.get().tolist() for _, y in loader("cuda")]
    first, second = loader("cuda"), loader("cuda")
    batches = iter(first)
    next(batches)
    second.state = first.state
    assert [y.get().tolist() for _, y in second] == whole[1:]


def test_data_that_lies_on_the_device_stays_there():
    x = mg.tensor(X).to("cuda").data
    (batch, *_) = DataLoader(x, 4, device="cuda")
    assert np.array_equal(batch.get(), X[:4])


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_batches_of_a_data_set_of_ones_own_and_of_parts_are_on_the_device(where):
    examples = [{"x": mg.tensor(x, device=where), "y": int(y), "name": "a"} for x, y in zip(X, Y)]
    (batch, *_) = DataLoader(examples, 4, device="cuda")
    assert is_cupy(batch["x"]) and batch["name"] == ["a"] * 4
    assert np.array_equal(batch["x"].get(), X[:4]) and batch["y"].get().tolist() == [0, 1, 2, 3]
    whole = TensorDataset(mg.tensor(X, device=where), mg.tensor(Y, device=where))
    (x, y), *_ = DataLoader(Subset(whole, [9, 0, 3]), 2, device="cuda")
    assert is_cupy(x) and np.array_equal(x.get(), X[[9, 0]]) and y.get().tolist() == [9, 0]


def test_a_module_goes_there_and_back_with_buffers_and_gradients_apart():
    layer = mg.nn.BatchNorm1d(2)
    before = {key: x.numpy() for key, x in layer.state_dict().items()}
    layer.to("cuda")
    assert {x.device for x in layer.state_dict().values()} == {"cuda:0"}
    layer.to("cpu")
    for key, x in layer.state_dict().items():
        assert np.array_equal(x.numpy(), before[key])


def test_what_is_made_on_the_device_is_there():
    made = [
        mg.zeros((2, 3), device="cuda"),
        mg.tensor([1.0, 2.0], device="cuda:0"),
        mg.arange(4, device="cuda"),
        mg.nn.Linear(2, 3, device="cuda").weight,
        mg.ones(3).to("auto"),
    ]
    assert {x.device for x in made} == {"cuda:0"}
    assert mg.devices()[:2] == ["cpu", "cuda:0"]


def test_a_whole_number_on_the_device_counts():
    assert list(range(mg.tensor(2).to("cuda"))) == [0, 1]
    with pytest.raises(TypeError):
        range(mg.tensor(2.0).to("cuda"))


def test_host_and_device_arrays_do_not_mix():
    with pytest.raises(mg.errors.DeviceError, match=r"cpu.*cuda:0|cuda:0.*cpu"):
        mg.ones(3) + mg.ones(3).to("cuda")
    with pytest.raises(mg.errors.DeviceError, match=r"cpu.*cuda:0|cuda:0.*cpu"):
        mg.layer_norm(mg.ones((2, 1)).to("cuda"), 1, mg.ones(1))
    with pytest.raises(mg.errors.DeviceError, match=r"use .numpy\(\)"):
        np.asarray(mg.ones(3).to("cuda"))


def test_memory_is_reported_in_bytes():
    report = mg.device_memory("cuda")
    assert set(report) == {"used", "held", "free", "total"}
    assert 0 <= report["used"] <= report["held"] and 0 < report["free"] <= report["total"]


def test_the_precision_of_products_is_highest_until_it_is_set():
    a, b = (mg.Tensor(mg.Generator(i).normal((4, 4), device="cuda")) for i in range(2))
    assert mg.get_matmul_precision() == "highest"
    want = (a @ b).numpy()
    mg.set_matmul_precision("high")
    try:
        np.testing.assert_allclose((a @ b).numpy(), want, rtol=1e-2, atol=1e-2)
        with pytest.raises(ValueError, match="'highest' or 'high'"):
            mg.set_matmul_precision("low")
    finally:
        mg.set_matmul_precision("highest")


@pytest.mark.parametrize("wrong", [-1, 5])
def test_an_index_out_of_range_on_the_device_is_named_before_memory_is_touched(wrong):
    index = mg.tensor([0, 2, wrong]).to("cuda")
    weight = mg.ones((5, 2)).to("cuda")
    with pytest.raises(IndexError, match=rf"embedding: index {wrong} at position \(2,\)"):
        mg.embedding(index, weight)
    with pytest.raises(IndexError, match=r"axis 0: index 5 at position \(1,\)"):
        weight[mg.tensor([0, 5]).to("cuda")]
    with pytest.raises(IndexError, match=r"axis 2: index 2 at position \(0,\)"):
        mg.ones((3, 4, 2)).to("cuda")[..., mg.tensor([2]).to("cuda")]
