"""A training run on the device stops and goes on, and its files are those of the CPU."""

import pytest
from test_training import metrics, same, train

import minigen as mg


@pytest.mark.parametrize("stop_at", [1, 9, 14])
def test_a_run_on_the_device_that_was_stopped_goes_on_bit_for_bit(tmp_path, stop_at, device):
    straight = train(tmp_path / "a", device=device)
    with pytest.raises(SystemExit):
        train(tmp_path / "b", stop_at, device=device)
    assert same(straight, train(tmp_path / "b", resume=True, device=device))
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


@pytest.mark.parametrize("order", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_on_another_device_to_nearly_the_same_weights(tmp_path, order, device):
    straight = train(tmp_path / "a", device="cpu")
    with pytest.raises(SystemExit):
        train(tmp_path / "b", 9, device=order[0])
    moved = train(tmp_path / "b", resume=True, device=order[1])
    for name, w in straight.items():
        assert moved[name] == pytest.approx(w, rel=1e-4, abs=1e-5)


def test_files_of_weights_know_no_device(tmp_path, device):
    layer = mg.nn.Linear(2, 3, rng=mg.Generator(0))
    here = {name: p.numpy() for name, p in layer.state_dict().items()}
    mg.save(tmp_path / "weights", layer.to(device).state_dict())
    there = mg.load(tmp_path / "weights")
    assert all((there[name].numpy() == w).all() for name, w in here.items())
    layer.load_state_dict(there)
    assert layer.weight.device == device
