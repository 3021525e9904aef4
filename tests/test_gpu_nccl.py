"""GPUs of several processes: the calls of NCCL reach CuPy's own wrapper; each process has a GPU."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stand_in.nccl
from gpu_device import on_device
from stand_in import installed

from minigen.backend.devices import resolve_device, take_gpu_of
from minigen.communication.nccl import Nccl
from minigen.communication.world import World
from minigen.errors import DistributedError


def test_calls_reach_nccl_through_cupys_own_wrapper_as_they_are_meant(tmp_path):
    source, library = Path(stand_in.__file__).with_name("nccl_library.cpp"), tmp_path / "nccl.so"
    name = "-Wl,-soname,libnccl.so.2"
    subprocess.run(["g++", "-shared", "-fPIC", name, "-o", library, source], check=True)
    code = "import test_gpu_nccl as t, sys; t.through_cupys_wrapper(sys.argv[1])"
    command = [sys.executable, "-c", code, library]
    run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    if "No module named 'cupy'" in run.stderr:
        pytest.skip("CuPy is not installed")
    assert run.returncode == 0, run.stderr


def through_cupys_wrapper(library):
    """In a process of its own: CuPy's extension finds the library, as it is loaded, by its name."""
    calls = ctypes.CDLL(library, ctypes.RTLD_GLOBAL).calls
    calls.restype = ctypes.c_char_p
    from cupy.cuda import nccl

    assert {n: v for n, v in vars(stand_in.nccl).items() if n.startswith("NCCL_")}.items() <= (
        vars(nccl).items()
    )
    assert nccl.available and stand_in.nccl.available
    with installed() as cupy:
        cupy.cuda.nccl = nccl
        world = World()
        world.size, world.rank = 2, 0
        link = Nccl(world)
        x = on_device(np.ones((2, 3)))
        y, z = link.reduced(x, "max"), link.sent(x, 1)
        with pytest.raises(DistributedError, match="NCCL cannot reach"):
            link.check()
        stream = link.stream.ptr
        del link
    buffers = [hex(a.data.ptr) for a in (x, y, z)]
    assert calls().decode().split("\n") == [
        "init 2 0 100 -29",
        f"allReduce {buffers[0]} {buffers[1]} 6 8 2 {hex(stream)}",
        f"broadcast {buffers[0]} {buffers[2]} 6 8 1 {hex(stream)}",
        "destroy",
        "",
    ]


# ------------------------------------------------------------------------- devices


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_on_a_machine_takes_another_gpu_which_is_then_current(monkeypatch, name):
    monkeypatch.setattr("minigen.backend.devices._local_rank", None)
    taken = []
    for local_rank in range(3):
        monkeypatch.setitem(sys.modules, "cupy", two_gpus())
        take_gpu_of(local_rank)
        taken.append(resolve_device(name))
        assert resolve_device("auto") == resolve_device("cuda") == taken[-1]
    assert taken == ["cuda:0", "cuda:1", "cuda:0"]
    take_gpu_of(1)
    assert [resolve_device(name) for name in ("cuda:0", "cuda", "auto")] == ["cuda:0"] * 3


def two_gpus():
    """A module like cupy, on a machine with two GPUs."""

    class Device:
        current = 0

        def __init__(self, number=None):
            self.id = Device.current if number is None else number

        def use(self):
            Device.current = self.id

    runtime = type("runtime", (), {"getDeviceCount": staticmethod(lambda: 2)})
    names = {"is_available": staticmethod(lambda: True), "runtime": runtime, "Device": Device}
    return type("cupy", (), {"cuda": type("cuda", (), names)})
