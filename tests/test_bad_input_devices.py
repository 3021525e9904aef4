"""Devices that are not there, imports that touch none, and kernels after fork and in threads."""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigen as mg
from minigen import training
from minigen.autodiff.explain import explained
from minigen.backend.devices import resolve_device
from minigen.errors import BackendUnavailable, DeviceError

no_gpu = pytest.mark.skipif(mg.cuda_is_available(), reason="this machine has a GPU")


# ------------------------------------------------------------------------- no GPU, no cupy

CUDA = {
    "zeros": lambda: mg.zeros(2, device="cuda"),
    "tensor": lambda: mg.tensor([1.0], device="cuda:1"),
    "to": lambda: mg.ones(2).to("cuda"),
    "Module.to": lambda: mg.nn.Linear(2, 2).to("cuda:0"),
    "Linear": lambda: mg.nn.Linear(2, 2, device="cuda"),
    "Generator": lambda: mg.Generator(0).normal(2, device="cuda"),
    "to_device": lambda: mg.to_device(np.ones(2), "cuda"),
}


@no_gpu
@pytest.mark.parametrize("make", CUDA.values(), ids=CUDA)
def test_cuda_where_there_is_none_is_backend_unavailable_with_reason_and_remedy(make):
    with pytest.raises(BackendUnavailable, match=r"cuda.*device='cpu'") as caught:
        make()
    assert "cupy" in str(caught.value)


def fake_cupy(available, count=1):
    """What `import cupy` gives on a machine with a driver or without."""
    runtime = type("runtime", (), {"getDeviceCount": staticmethod(lambda: count)})
    cuda = type("cuda", (), {"is_available": staticmethod(lambda: available), "runtime": runtime})
    cuda.Device = type("Device", (), {"id": 0})
    return type("cupy", (), {"cuda": cuda})


def test_cupy_without_a_driver_is_backend_unavailable_with_that_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(False))
    with pytest.raises(BackendUnavailable, match=r"driver.*device='cpu'"):
        mg.zeros(2, device="cuda")
    assert not mg.cuda_is_available()
    assert mg.devices() == ["cpu"]
    assert mg.zeros(2, device="auto").device == "cpu"


@pytest.mark.parametrize("error", [ImportError, OSError, AttributeError, RuntimeError])
def test_a_cupy_that_cannot_be_imported_is_backend_unavailable_with_its_error(monkeypatch, error):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise error("libcuda.so.1 is too old")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(BackendUnavailable, match=r"libcuda.so.1 is too old"):
        mg.zeros(2, device="cuda")
    assert not mg.cuda_is_available()


def test_a_device_number_that_does_not_exist_is_named_beside_those_that_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(True, 2))
    assert mg.devices() == ["cpu", "cuda:0", "cuda:1"]
    assert resolve_device("auto") == "cuda:0"
    with pytest.raises(BackendUnavailable, match=r"'cuda:2'.*'cuda:0', 'cuda:1'"):
        mg.zeros(2, device="cuda:2")


@no_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu():
    assert mg.zeros(2, device="auto").device == "cpu"
    assert mg.ones(2).to("auto").device == "cpu"
    assert mg.devices() == ["cpu"]


@no_gpu
def test_a_training_run_with_auto_says_once_that_it_takes_the_cpu(tmp_path, capsys):
    w = mg.nn.Linear(1, 1)
    args = argparse.Namespace(device="auto", epochs=1, out=tmp_path, resume=False, max_seconds=None)
    optimizer = mg.optim.SGD(w.parameters(), 0.1)
    run = training.Run(args, model=w, optimizer=optimizer, loader=None, rng=mg.Generator(0))
    assert run.device == "cpu"
    said = "".join(capsys.readouterr())
    assert said.count("CPU") == 1
    assert "no GPU" in said


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "cuda:-1", "cpu:0", 0, ""])
def test_a_device_of_no_known_name_is_a_value_error_with_the_names(name):
    with pytest.raises(ValueError, match=r"'cpu', 'cuda', 'cuda:N' or 'auto'") as caught:
        mg.zeros(2, device=name)
    assert repr(name) in str(caught.value)


def test_a_failed_move_leaves_the_module_as_it_was():
    layer = mg.nn.Linear(2, 2)
    arrays = [p.data for p in layer.parameters()]
    with pytest.raises(ValueError, match="tpu"):
        layer.to("tpu:0")
    assert all(p.data is x for p, x in zip(layer.parameters(), arrays))


# ---------------------------------------------------------------------- two devices at once


class Elsewhere:
    """As much of an array on a GPU as ops look at before they fail: NumPy refuses it."""

    __module__ = "cupy"
    __array_ufunc__ = None
    __array_priority__ = -1
    dtype, shape, ndim, size = np.dtype("float32"), (2, 2), 2, 4
    device = type("Device", (), {"id": 1})

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __len__(self):
        return self.shape[0]


HERE, THERE = np.ones((2, 2), np.float32), mg.Tensor(Elsewhere())
MIXED = {
    "add": lambda x: x + THERE,
    "matmul": lambda x: mg.matmul(x, THERE),
    "linear": lambda x: mg.linear(x, THERE),
    "where": lambda x: mg.where(HERE > 0, x, THERE),
    "concatenate": lambda x: mg.concatenate([x, THERE]),
    "mse_loss": lambda x: mg.mse_loss(x, THERE),
    "scaled": lambda x: mg.cross_entropy(x, THERE),
    "scatter_add": lambda x: mg.scatter_add(x, 0, THERE),
}


@pytest.mark.parametrize("op", MIXED)
def test_tensors_on_two_devices_are_a_device_error_that_names_op_both_and_the_remedy(op):
    for x in (mg.Tensor(HERE), mg.tensor(HERE, requires_grad=True)):
        with pytest.raises(DeviceError, match=r"\(2, 2\), is on (cpu|cuda:1)") as caught:
            MIXED[op](x)
        for part in (op, "on cpu", "on cuda:1", "array 0", "array [12]", ".to"):
            assert re.search(part, str(caught.value))


def test_arguments_on_one_device_are_no_device_error():
    error = explained(TypeError("other"), "multiply", [Elsewhere(), Elsewhere()])
    assert not isinstance(error, DeviceError)


# -------------------------------------------------------------------------- out of memory


def test_a_gpu_out_of_memory_is_an_error_with_the_bytes_asked_and_free(monkeypatch):
    fake, pool = fake_cupy(True), type("pool", (), {"free_bytes": lambda self: 24})
    fake.cuda.runtime.memGetInfo = staticmethod(lambda: (1000, 4096))
    fake.get_default_memory_pool = pool
    monkeypatch.setitem(sys.modules, "cupy", fake)
    full = type("OutOfMemoryError", (MemoryError,), {"__module__": "cupy.cuda.memory"})
    error = explained(full("Out of memory allocating 8,192 bytes"), "matmul", [HERE])
    assert isinstance(error, MemoryError)
    for part in ("matmul: ", "8,192 bytes", "1,024 bytes are free", "smaller batches"):
        assert part in str(error)
    assert explained(error, "outer", [HERE]) is error


def test_what_does_not_fit_into_memory_names_the_op_and_the_process_goes_on():
    x = mg.ones((1, 1))
    with pytest.raises(MemoryError, match=r"^repeat: .*allocate .*iB"):
        mg.repeat(x, 2**50)
    assert float(x.sum()) == 1


# ------------------------------------------------------------------------ what is imported


def in_a_new_process(code):
    command = [sys.executable, "-W", "error", "-c", code]
    env = {key: value for key, value in os.environ.items() if key != "MINIGEN_KERNELS"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=env
    )


def test_import_minigen_imports_no_heavy_or_optional_package():
    heavy = ("cupy", "numba", "llvmlite", "matplotlib", "hypothesis", "torch", "scipy", "pytest")
    done = in_a_new_process(
        f"import sys, minigen; print([m for m in {heavy!r} if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_without_numba_the_first_kernel_warns_once_and_the_result_is_the_same():
    code = """
import sys, warnings
sys.modules["numba"] = None
import numpy as np, minigen as mg
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    values = [float(mg.erf(np.array(0.5))), float(mg.sum(mg.layer_norm(np.eye(3), 3)[0] ** 2))]
print(len(said), said[0].category.__name__, "Numba" in str(said[0].message), *values)
"""
    done = in_a_new_process(code)
    count, kind, named, erf, norm = done.stdout.split() or pytest.fail(done.stderr)
    assert (count, kind, named) == ("1", "RuntimeWarning", "True")
    assert abs(float(erf) - float(mg.erf(np.array(0.5)))) < 1e-15
    assert abs(float(norm) - float(mg.sum(mg.layer_norm(np.eye(3), 3)[0] ** 2))) < 1e-12


# ---------------------------------------------------------------------- fork, and threads


def kernels(seed):
    """A pass through every kernel of a dense model, as bytes."""
    rng = np.random.default_rng(seed)
    x = mg.Tensor(rng.normal(size=(64, 32))).requires_grad_()
    w = mg.Tensor(rng.normal(size=(16, 32))).requires_grad_()
    h = mg.layer_norm(mg.gelu(mg.linear(x, w)), 16, np.ones(16), np.ones(16))
    h = mg.softmax(h) + mg.embedding(np.arange(64) % 16, mg.matmul(w, mg.transpose(w)))
    loss = mg.cross_entropy(mg.log_softmax(h), rng.integers(0, 16, 64))
    loss.backward()
    noise = mg.Generator(seed).normal((5,))
    mg.optim.Adam([w], 0.1).step()
    return [a.tobytes() for a in (loss.data, x.grad.data, w.grad.data, w.data, noise)]


def test_threads_after_a_kernel_ran_give_the_serial_results():
    seeds = [0, 1, 2, 3] * 4
    serial = [kernels(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(kernels, seeds)) == serial


def test_threads_that_share_a_parameter_each_get_their_own_gradient():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    start, found = threading.Barrier(4), {}

    def run(i):
        start.wait()
        for _ in range(50):
            found[i] = mg.grad((w * w * float(i)).sum(), w).data

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[i], [2 * i, 4 * i]) for i in range(4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_after_a_kernel_ran_gives_the_same_results():
    expected = kernels(7)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(kernels(7)))
    with warnings.catch_warnings():
        # Python warns of a fork while threads run; those of this process hold no lock of ours
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    try:
        assert receiver.poll(60), "the child hangs"
        assert receiver.recv() == expected
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()
        child.close()
        receiver.close()
        sender.close()
