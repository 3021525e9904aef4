"""Mistakes with `study.record` and `run.source()` get one sentence, with the remedy."""

import threading

import numpy as np
import pytest

import minigen as mg
from minigen import nn, study
from minigen.autodiff.primitives import REGISTRY


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """A copy of the registry, to which the ops of a test go."""
    for name in {*REGISTRY}:
        monkeypatch.setitem(REGISTRY, name, REGISTRY[name])
    before = {*REGISTRY}
    yield
    for name in {*REGISTRY} - before:
        del REGISTRY[name]


def leaf():
    return mg.tensor([0.5, -2.0, 3.0], requires_grad=True)


def recorded(f):
    x = leaf()
    with study.record() as run:
        f(x).sum().backward()
    return run


# ------------------------------------------------------------------------------- record


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"values": nn.Linear(2, 2)}, "not Linear; the model, or names of tensors, go to names="),
        ({"values": None}, "values is True or False, and not NoneType"),
        ({"names": [leaf()]}, "names is a module, or a dict from names to tensors; got list"),
        ({"names": {"x": np.ones(3)}}, "got ndarray under the name 'x'"),
        ({"names": {3: leaf()}}, "from names to tensors; got Tensor under the name 3"),
        ({"limit": "1e9"}, "limit='1e9' must be a number of bytes"),
        ({"limit": -1}, "limit=-1 must be a number of bytes of at least 0"),
        ({"limit": np.nan}, "limit=nan must be a number of bytes"),
        ({"limit": True}, "limit=True must be a number of bytes"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(settings, message):
    with pytest.raises((TypeError, ValueError), match=message), study.record(**settings):
        pass


def test_values_and_limit_may_be_numbers_of_numpy():
    with study.record(values=np.bool_(False), limit=np.float64(np.inf)) as run:
        mg.exp(leaf())
    assert run.values[0].array is None


def test_a_recording_without_with_says_how_one_is_made():
    with pytest.raises(AttributeError, match=r"write `with study\.record\(\) as run:`, then run\."):
        study.record().steps  # noqa: B018


def test_a_context_is_for_one_recording():
    context = study.record()
    with context as run:
        mg.exp(leaf())
        with pytest.raises(RuntimeError, match="call it again for another"), context:
            pass
    with pytest.raises(RuntimeError, match="call it again for another"), context:
        pass
    assert len(run.steps) == 1 and repr(run).startswith("Recording of 1 step with 0 backward")


def test_a_recording_is_read_inside_of_itself_without_a_warning():
    with study.record() as run:
        mg.exp(leaf()).sum().backward()
        steps = len(run.steps)
        assert "np.exp" in run.source() and "peak" in str(run.memory()) and "exp" in str(run)
        assert "exp" in str(run.times())
        assert len(run.steps) == steps


# ------------------------------------------------------------------------------- source


def masked(g, y, x):
    return np.where(x > 0, g, np.zeros_like(g))


def written(g, y, x):
    gx = np.zeros_like(x)
    gx[...] = g
    return gx


@pytest.mark.parametrize("rule", [lambda g, y, x: np.multiply(g, 1.0), masked, written])
def test_a_rule_in_plain_numpy_is_named_with_the_remedy(rule):
    @mg.primitive(rule, saves="x")
    def mine(x):
        return np.maximum(x, 0)

    run = recorded(mine)
    message = "cannot write op 'mine', as its derivative rule does not run on tensors: write it"
    with pytest.raises(TypeError, match=message):
        run.source()


def test_a_definition_in_plain_numpy_is_named_with_the_remedy():
    @mg.fused(lambda x: np.exp(x), lambda g, y, wanted, x: (g * y,))
    def mine(x):
        y = np.exp(x)
        return y, y

    run = recorded(mine)
    with pytest.raises(TypeError, match=r"op 'mine', as its definition .* as mg\.cos for np\.cos"):
        run.source()


def test_what_a_forward_reads_besides_its_arguments_is_named():
    factors = np.arange(3.0)

    @mg.primitive(lambda g, y, x: g)
    def shifted(x):
        return x + factors

    run = recorded(shifted)
    with pytest.raises(TypeError, match=r"op 'shifted': it reads factors, .* make it an argument"):
        run.source()


def test_an_op_without_a_source_file_is_named():
    space = {"mg": mg}
    exec("@mg.primitive(lambda g, y, x: g)\ndef typed(x): return x + 1", space)
    run = recorded(space["typed"])
    with pytest.raises(TypeError, match="op 'typed': the source of typed cannot be read: define"):
        run.source()


def test_ops_of_another_thread_are_missed_in_words():
    found = []
    with study.record() as run:
        thread = threading.Thread(target=lambda: found.append(mg.exp(leaf())))
        thread.start()
        thread.join()
        found[0].sum().backward()
    with pytest.raises(ValueError, match="before the recording or in another thread: put the"):
        run.source()


def test_names_are_found_at_once_among_thousands_with_the_same_word():
    from minigen.study.modules import unused

    taken: dict[str, int] = {}
    names = [unused("t", taken) for _ in range(20_000)]
    assert names[:3] == ["t", "t_2", "t_3"] and len({*names}) == 20_000
    assert unused("t_7", taken) == "t_7_2"
