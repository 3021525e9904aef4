"""Compiled kernels on the disk, and life without: damage, no space, no folder, no Numba."""

import errno
import inspect
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import minigen as mg

# ------------------------------------------------------------------------------- the cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A new cache folder, in a process that has not warned yet."""
    numba = pytest.importorskip("numba")
    from minigen.kernels.cpu import compiling

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    compiling.warn_once.cache_clear()
    yield tmp_path
    compiling.warn_once.cache_clear()


def double(x):
    for i in range(x.size):
        x[i] = 2 * x[i]


def halve(x):
    for i in range(x.size):
        x[i] = x[i] / 2


def fresh_kernel(function=double):
    """(kernel, warnings) of a process that compiles or loads one, and runs it right."""
    from minigen.kernels.cpu.compiling import compiled

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kernel, x, want = compiled(function), np.array([1.0, 3.0]), np.array([1.0, 3.0])
        kernel(x)
    function(want)
    assert np.array_equal(x, want)
    return kernel, [str(w.message) for w in said]


def hits(kernel):
    return sum(kernel.stats.cache_hits.values())


def only_warning(messages, *parts):
    (message,) = messages
    for part in (*parts, "compiled in memory", "`python -m minigen doctor`"):
        assert part in message


def damages(data):
    """What can become of a file: cut, emptied, a bit changed, noise, another file's content."""
    middle = len(data) // 2
    yield data[:middle]
    yield b""
    yield data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    yield bytes(range(256)) * 12


def test_a_kernel_is_loaded_from_the_cache(folder):
    kernel, messages = fresh_kernel()
    assert (hits(kernel), messages) == (0, [])
    assert Path(kernel.stats.cache_path).parent == folder
    kernel, messages = fresh_kernel()
    assert (hits(kernel), messages) == (1, [])


def test_a_damaged_kernel_is_compiled_anew_with_one_warning_and_repaired(folder):
    kernel, _ = fresh_kernel()
    fresh_kernel(halve)
    for path in folder.glob("*/*.nbc"):
        path.write_bytes(os.urandom(3000))
    kernel, messages = fresh_kernel()
    only_warning(messages, "a file in", str(folder), "is damaged and is written anew")
    assert hits(kernel) == 0
    kernel, messages = fresh_kernel(halve)
    assert (hits(kernel), messages) == (0, [])  # it has been said
    assert hits(fresh_kernel()[0]) == hits(fresh_kernel(halve)[0]) == 1


def test_every_kind_of_damage_is_seen_before_anything_is_made_of_the_file(tmp_path):
    pytest.importorskip("numba")
    from minigen.kernels.cpu.caching import _CheckedFiles, damaged

    files = _CheckedFiles(str(tmp_path), "f", bytes(32))
    assert files.load("key") is None
    files.save("key", {"a": 1})
    assert files.load("key") == {"a": 1} and files.load("another") is None
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for changed in damages(data):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="hash"):
            files.load("key")
        assert damaged(tmp_path) == [path]
    path.write_bytes(data)
    assert damaged(tmp_path) == []
    assert _CheckedFiles(str(tmp_path), "f", bytes([1] * 32)).load("key") is None  # other sources


def test_a_full_disk_costs_one_warning_for_all_kernels(folder, monkeypatch):
    from minigen.kernels.cpu import caching

    def full(self, name, data):
        raise OSError(errno.ENOSPC, "no space", name)

    monkeypatch.setattr(caching._CheckedFiles, "_save_data", full)
    _, messages = fresh_kernel()
    only_warning(messages, str(folder), f"cannot be written ({os.strerror(errno.ENOSPC)})")
    assert fresh_kernel(halve)[1] == []
    assert hits(fresh_kernel()[0]) == 0


def test_a_file_for_a_folder_costs_one_warning_for_all_kernels(folder, monkeypatch):
    import numba

    (folder / "file").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder / "file"))
    kernel, messages = fresh_kernel()  # beside the sources, as long as there may be written
    assert messages == [] and "__pycache__" in kernel.stats.cache_path
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    kernel, messages = fresh_kernel()
    only_warning(messages, "there is no folder that it can be written to")
    assert kernel.stats.cache_path is None and fresh_kernel(halve)[1] == []


def test_another_numba_that_keeps_its_cache_elsewhere_costs_one_warning(folder, monkeypatch):
    from minigen.kernels.cpu import caching

    def moved(*_):
        raise AttributeError("_cache_path")

    monkeypatch.setattr(caching, "_CheckedFiles", moved)
    kernel, messages = fresh_kernel()
    only_warning(messages, "this Numba", "_cache_path")
    assert kernel.stats.cache_path is None and fresh_kernel(halve)[1] == []


def test_a_folder_that_is_lost_while_kernels_run_costs_one_warning(folder, monkeypatch):
    from minigen.kernels.cpu.compiling import compiled

    kernel, x = compiled(double), np.ones(2)
    Path(kernel.stats.cache_path).rmdir()
    Path(kernel.stats.cache_path).touch()
    with pytest.warns(RuntimeWarning, match="cannot be written") as said:
        kernel(x)
    assert len(said) == 1
    assert np.array_equal(x, [2, 2])


# --------------------------------------------------------------------------- without Numba


def train():
    """The loss of a small model after a step."""
    x, y = mg.Generator(0).normal((8, 5)), mg.tensor([0, 1] * 4)
    layers = [mg.nn.Linear(5, 6, rng=mg.Generator(1)), mg.nn.LayerNorm(6), mg.nn.GELU()]
    model = mg.nn.Sequential(*layers, mg.nn.Linear(6, 2, rng=mg.Generator(2)))
    optimizer = mg.optim.Adam(model.parameters(), 0.1)
    mg.cross_entropy(model(mg.Tensor(x)), y).backward()
    optimizer.step()
    return mg.cross_entropy(model(mg.Tensor(x)), y).item()


IN_A_CHILD = """
import warnings
import minigen as mg
{train}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    loss = train()
print(loss, *[w.message for w in said], sep="|")
"""
NO_NUMBA = {
    "sys.modules['numba'] = None": "Numba is not installed",
    "sys.meta_path.insert(0, Broken())": "Numba is installed but cannot be imported (libLLVM.so)",
}
BROKEN = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "numba":
            raise OSError("libLLVM.so")
"""


@pytest.mark.parametrize(("before", "says"), NO_NUMBA.items(), ids=NO_NUMBA.values())
def test_without_numba_a_model_trains_to_the_same_loss_with_one_true_warning(before, says):
    code = f"{BROKEN}\n{before}\n{IN_A_CHILD.format(train=inspect.getsource(train))}"
    env = {key: value for key, value in os.environ.items() if key != "MINIGEN_KERNELS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    loss, message = done.stdout.strip().split("|")
    assert message.startswith(says) and "`python -m minigen doctor`" in message
    assert float(loss) == pytest.approx(train(), rel=1e-5)
