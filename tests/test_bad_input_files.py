"""What a damaged or foreign file gets from a model and from a run (NUMERICS.md)."""

import numpy as np
import pytest

import minigen as mg
from minigen.errors import CheckpointError
from minigen.training import checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


def test_a_pickle_is_refused_and_nothing_in_it_is_executed(path):
    proof = path.with_name("executed")
    path.write_bytes(b"cos\nmkdir\n(V%s\ntR." % str(proof).encode())  # os.mkdir(proof), unpickled
    for read in (mg.load, checkpoint.load_state):
        with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors: expected .*, got "):
            read(path)
    assert not proof.exists()


def test_weights_of_another_model_are_refused_with_all_differences_and_the_model_unchanged(path):
    model = mg.nn.Sequential(mg.nn.Linear(3, 2), mg.nn.Linear(2, 1))
    other = mg.nn.Sequential(mg.nn.Linear(4, 2), mg.nn.ReLU(), mg.nn.Linear(2, 1))
    mg.save(path, other.state_dict())
    before = {name: x.data.copy() for name, x in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        model.load_state_dict(mg.load(path))
    for part in (
        "0.weight has shape (2, 4), expected (2, 3)",
        *("1.weight is missing", "1.bias is missing"),
        *("2.weight is unexpected", "2.bias is unexpected"),
    ):
        assert part in str(caught.value)
    assert all(np.array_equal(x.data, before[name]) for name, x in model.state_dict().items())
