"""Modules: contents of every container are found, hooks, moves, and updates that would be lost."""

import copy

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.errors import CheckpointError, DTypeError, GradError
from minigen.testing import gradcheck


def layer(n=2):
    return nn.Linear(n, n, rng=mg.Generator(n))


def trained(model, x):
    """The names of the parameters that one step of SGD changes."""
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    model(x).sum().backward()
    mg.optim.SGD(model.parameters(), lr=1.0).step()
    return {n for n, p in model.named_parameters() if not np.array_equal(p.data, before[n])}


class DictWithHead(nn.ModuleDict):
    def __init__(self):
        super().__init__({"a": layer()})
        self.head = layer()

    def forward(self, x):
        return self.head(self["a"](x))


class ListWithHead(nn.ModuleList):
    def __init__(self):
        super().__init__([layer()])
        self.head = layer()

    def forward(self, x):
        return self.head(self[0](x))


class SequenceWithHead(nn.Sequential):
    def __init__(self):
        super().__init__(layer())
        self.head = layer()


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep = {"a": [layer(), (layer(),)], "b": [{"c": nn.Parameter(np.ones(2, "f4"))}]}
        self.grown = []
        self.grown.append(nn.Parameter(np.ones(2, "f4")))

    def forward(self, x):
        x = self.deep["a"][1][0](self.deep["a"][0](x))
        return x * self.deep["b"][0]["c"] + self.grown[0]


@pytest.mark.parametrize("make", [DictWithHead, ListWithHead, SequenceWithHead, Nested])
def test_what_a_container_or_a_list_in_it_holds_is_found_trained_and_saved(make):
    model = make()
    names = trained(model, mg.ones((3, 2)))
    first = "a" if make is DictWithHead else "0"
    if make is Nested:
        deep = {f"deep.a.{path}.{p}" for path in ("0", "1.0") for p in ("weight", "bias")}
        assert names == deep | {"deep.b.0.c", "grown.0"}
    else:
        assert names == {f"{part}.{p}" for part in (first, "head") for p in ("weight", "bias")}
    assert set(model.state_dict()) == names
    twin = make()
    twin.load_state_dict(model.state_dict())
    x = mg.ones((1, 2))
    assert np.array_equal(twin(x).data, model(x).data)
    model.requires_grad_(False)
    assert set(model.state_dict()) == names  # what is frozen is still saved
    model.requires_grad_()
    model.to(mg.float64)
    assert all(p.dtype == np.float64 for p in model.parameters())


def test_parameters_in_lists_and_dicts_are_differentiated_by_gradcheck():
    gradcheck(Nested(), [np.array([[0.3, -0.7]])])
    assert len(nn.ParameterList([np.ones(2), nn.Parameter(np.ones(3))])) == 2


def test_a_deep_copy_shares_nothing_and_keeps_ties():
    model = Nested()
    model.tied = model.grown[0]
    twin = copy.deepcopy(model)
    assert twin.tied is twin.grown[0] and twin.tied is not model.tied
    assert not trained(twin, mg.ones((1, 2))) & {"x"}
    assert np.array_equal(model.grown[0].data, [1, 1])


def test_a_module_that_occurs_twice_is_trained_once_and_saved_under_both_names():
    shared = layer()
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(list(model.modules())) == 3 and len(list(model.children())) == 2
    old = {k: v for k, v in model.state_dict().items() if k.startswith("0")}
    model.load_state_dict(old)  # one name of a shared parameter is enough
    with pytest.raises(CheckpointError, match=r"2\.bias is missing"):
        model.load_state_dict({"0.weight": old["0.weight"]})
    model.inner = model  # and a module inside itself ends
    assert len(list(model.named_modules())) == 3
    assert len(model.state_dict()) == 4


def test_sequences_are_changed_like_lists():
    a, b, c, d = (nn.Linear(1, n) for n in range(1, 5))
    for make in (lambda parts: nn.Sequential(*parts), nn.ModuleList):
        parts = make([a]).append(b).extend([c])
        parts.insert(1, d)
        assert list(parts) == [a, d, b, c] and parts[-1] is c and len(parts) == 4
        assert [name for name, _ in parts.named_children()] == ["0", "1", "2", "3"]
        parts[np.int64(-4)] = c
        assert list(parts[::2]) == [c, b] and type(parts[:1]) is type(parts)
        del parts[0]
        assert parts.pop() is c and list(parts) == [d, b]
        with pytest.raises(TypeError, match="no module"):
            parts[0] = mg.relu
        with pytest.raises(IndexError):
            parts[7] = a
        assert list(parts) == [d, b]
        both = (parts + [a]) if make is nn.ModuleList else parts + nn.Sequential(a)
        both += [c]
        assert list(both) == [d, b, a, c] and type(both) is type(parts)
    tail = nn.Sequential(a, b, c)[1:]  # keeps its names, as PyTorch's
    assert [name for name, _ in tail.append(d).named_children()] == ["1", "2", "3"]
    named = nn.Sequential({"first": a, "second": b})
    assert named.first is a and next(iter(named.state_dict())) == "first.weight"


def test_a_module_dict_is_a_dict_whose_entries_are_attributes():
    a, b = layer(), layer()
    table = nn.ModuleDict({"a": a})
    table.update({"b": b})
    assert table.b is b and list(table.keys()) == ["a", "b"] and dict(table.items()) == dict(table)
    table["a"] = b
    assert table.a is b and list(table.values()) == [b, b]
    assert table.pop("a") is b and "a" not in table and len(table) == 1
    del table["b"]
    assert list(table) == []
    table.update([("c", a)])
    table.clear()
    assert len(table) == 0
    for name in ("keys", "forward", "training"):
        with pytest.raises(KeyError, match=name):
            table[name] = a
    with pytest.raises(KeyError):
        table["absent"]


def test_hooks_see_and_replace_what_goes_in_and_out_until_they_are_removed():
    model, calls = nn.Sequential(layer(), nn.ReLU()), []
    x = mg.ones((1, 2))
    plain = model(x).data
    before = model[0].register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    after = model[1].register_forward_hook(lambda m, args, y: calls.append((m, args, y)))
    assert np.array_equal(model(x).data, np.maximum(model[0].bias.data, 0)[None])
    assert calls[0][0] is model[1] and calls[0][2].shape == (1, 2)
    before.remove()
    with after, model.register_forward_hook(lambda m, args, y: y + 1):
        assert np.array_equal(model(x).data, plain + 1)
        assert "Linear" in nn.summary(model, x)  # observers see modules with hooks
    before.remove()
    assert np.array_equal(model(x).data, plain) and len(calls) == 3


def test_modules_are_found_applied_and_registered_by_name():
    model = nn.Sequential(layer(), nn.Sequential(nn.BatchNorm1d(2), nn.ReLU()))
    seen = []
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen == ["Linear", "BatchNorm1d", "ReLU", "Sequential", "Sequential"]
    assert model.get_submodule("1.0") is model[1][0] and model.get_submodule("") is model
    assert [type(m).__name__ for m in model.children()] == ["Linear", "Sequential"]
    assert [n for n, _ in model.named_children()] == ["0", "1"]
    assert next(model.parameters()) is model[0].weight
    assert [n for n, _ in model.named_parameters(recurse=False)] == []
    model.add_module("extra", layer())
    model.register_parameter("scale", nn.Parameter(np.ones(1)))
    model.register_parameter("none", None)
    model.register_buffer("cache", np.ones(2), persistent=False)
    assert model.extra in list(model) and "scale" in model.state_dict(prefix="")
    assert "cache" not in model.state_dict() and model.cache in model.buffers()
    assert "net.scale" in model.state_dict(prefix="net.")
    for name, error in (("a.b", KeyError), ("forward", KeyError)):
        with pytest.raises(error):
            model.register_parameter(name, nn.Parameter(np.ones(1)))
    with pytest.raises(AttributeError, match=r"2\.0"):
        model.get_submodule("2.0")


def test_a_module_is_moved_to_a_dtype_in_every_spelling_and_never_to_integers():
    model = nn.BatchNorm1d(2)
    for to, dtype in (
        (model.double, "float64"),
        (model.float, "float32"),
        (lambda: model.to("cpu", mg.float64), "float64"),
        (lambda: model.to(dtype=mg.float32, device="cpu"), "float32"),
    ):
        assert to() is model and model.weight.dtype == model.running_var.dtype == dtype
    with pytest.raises(DTypeError, match="floats"):
        model.to(mg.int64)
    assert model.cpu().weight.dtype == np.float32
    assert model.num_batches_tracked.dtype == np.int64
    with pytest.raises(ValueError, match="mode"):
        model.train("no")


def test_an_update_that_would_be_lost_names_the_optimizer():
    model, x = layer(), mg.ones((1, 2))
    model(x).sum().backward()
    before = model.weight.data.copy()

    def rebind():
        for p in model.parameters():
            p -= 0.1 * p.grad

    with mg.no_grad():
        with pytest.raises(GradError, match=r"mg\.optim\.SGD"):
            rebind()
        with pytest.raises(GradError, match=r"mg\.optim\.SGD"):
            model.weight *= 2
    with pytest.raises(GradError, match="optim"):
        rebind()
    model.zero_grad()
    for value in (model.weight - 1, model.weight.detach() - 1, mg.zeros((2, 2))):
        with pytest.raises(TypeError, match=r"Linear\.weight is a parameter.*optimizer"):
            model.weight = value
    with pytest.raises(TypeError, match="optimizer"):
        model.bias += 1
    assert model.weight.data is not before and np.array_equal(model.weight.data, before)
    y = mg.ones(2)
    z = y
    y += 1
    assert np.array_equal(z.data, [1, 1]) and np.array_equal(y.data, [2, 2])
    model.bias = None
    model.bias = nn.Parameter(np.zeros(2, "f4"))
    assert len(model.parameters()) == 2


def test_a_read_only_array_makes_a_parameter_that_trains():
    values = np.ones((2, 2), np.float32)
    values.setflags(write=False)
    p = nn.Parameter(values)
    (p * p).sum().backward()
    for make in (mg.optim.SGD, mg.optim.Adam, mg.optim.RMSprop, mg.optim.AdamW):
        make([p], lr=0.1).step()
    assert (p.data < 1).all() and (values == 1).all()


def test_a_repr_is_nested_with_settings_on_a_line_of_their_own():
    class Net(nn.Module):
        def __init__(self):
            self.size, self.parts = 3, [nn.ReLU(), nn.Dropout(0.1)]

    assert repr(Net()) == "Net(\n  size=3\n  (parts.0): ReLU()\n  (parts.1): Dropout(p=0.1)\n)"


def test_gradients_that_are_not_finite_are_zeros_after_zero_grad():
    model = nn.Linear(2, 1)
    model.weight.grad = mg.tensor([[np.nan, np.inf]])
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.tolist() == [[0, 0]] and model.bias.grad is None
