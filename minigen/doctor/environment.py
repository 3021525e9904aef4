"""What minigen needs from its environment: a `Part` for each, with its problems."""

import importlib
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from minigen.backend import devices as backend_devices
from minigen.backend.arrays import cupy
from minigen.errors import BackendUnavailable
from minigen.parallel.pool import get_num_threads

NEEDED = ("numpy", "numba", "matplotlib", "safetensors", "tqdm", "threadpoolctl")
MIN_FREE = 100e6  # bytes of disk: all kernels take about 10 MB, a checkpoint often more
MPI_SECONDS = 20  # in which two processes start and end
REINSTALL = "pip install --force-reinstall numba llvmlite"
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_CACHE_DIR")


@dataclass(frozen=True)
class Problem:
    """What is wrong, and the remedy; with broken=False only a hint, since minigen works."""

    what: str
    remedy: str
    broken: bool = True


@dataclass
class Part:
    """One paragraph of the report, and the problems of that part."""

    label: str
    text: str = ""
    problems: list[Problem] = field(default_factory=list)


def installed(name: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cupy_packages() -> list[str]:
    """The installed distributions of CuPy. More than one is a problem."""
    names = {d.metadata["Name"] or "" for d in metadata.distributions()}
    return sorted(name for name in names if name == "cupy" or name.startswith("cupy-"))


def versions() -> Part:
    """Versions of Python, minigen and its dependencies."""
    found = {name: installed(name) for name in ("minigen", *NEEDED, *cupy_packages())}
    listed = [f"{name}\xa0{version}" for name, version in found.items() if version]
    part = Part("versions", ", ".join([f"Python\xa0{platform.python_version()}", *listed]))
    for name in NEEDED:
        if not found[name] and name != "numba":
            part.problems.append(Problem(f"{name} is not installed.", f"pip install {name}"))
    return part


def numba_failure() -> str:
    """Why Numba cannot be used; empty where it can."""
    try:
        module = importlib.import_module("numba")
    except Exception as error:  # a broken installation raises OSError, AttributeError and others
        if getattr(error, "name", None) == "numba":
            return "is not installed"
        return f"is installed but cannot be imported ({error})"
    return "is switched off by NUMBA_DISABLE_JIT" if module.config.DISABLE_JIT else ""


def fast_kernels(failure: str) -> Part:
    """Which kernels run; failure is what numba_failure() returns."""
    requested = os.environ.get("MINIGEN_KERNELS", "")
    plain = bool(failure) or requested == "reference"
    part = Part("kernels", "plain ones, in NumPy" if plain else "compiled by Numba")
    if requested == "reference":
        what = "MINIGEN_KERNELS=reference is set: the plain kernels run, several times slower."
        part.problems.append(Problem(what, "unset MINIGEN_KERNELS for the fast ones", broken=False))
    elif requested:
        what = f"MINIGEN_KERNELS={requested} is not a known value and is ignored."
        part.problems.append(Problem(what, "unset it, or set it to reference"))
    if failure:
        remedy = {"is not installed": "pip install numba"}.get(failure, REINSTALL)
        remedy = "unset NUMBA_DISABLE_JIT" if "JIT" in failure else remedy
        what = f"Numba {failure}: kernels are several times slower."
        part.problems.append(Problem(what, remedy, broken="cannot be imported" in failure))
    return part


def kernel_cache(folder: str | None, damaged: Callable) -> Part:
    """The cache of compiled kernels in a folder; None: there is no folder for it."""
    part, requested = Part("cache"), os.environ.get("NUMBA_CACHE_DIR")
    other = "set NUMBA_CACHE_DIR to a folder that can be written, on a disk with space"
    if folder is None:
        part.text = "none"
        what = "No folder for compiled kernels can be written: each process compiles anew."
        part.problems.append(Problem(what, other, broken=False))
        return part
    if requested and Path(requested) not in Path(folder).parents:
        what = f"NUMBA_CACHE_DIR={requested} cannot be written and is ignored."
        part.problems.append(Problem(what, "make it a folder of yours, or unset it", False))
    files = list(Path(folder).glob("*.nbc"))
    failure = _write_failure(folder)
    size, free = sum(path.stat().st_size for path in files), shutil.disk_usage(folder).free
    part.text = f"{folder}; {len(files)} kernels in {size / 1e6:.1f} MB; "
    part.text += f"{free / 1e9:.1f} GB free, {'writable' if not failure else 'not writable'}"
    broken = damaged(folder)
    if broken:
        what = f"The cache has damaged files: {', '.join(path.name for path in broken[:3])}."
        part.problems.append(Problem(what, f"rm {folder}/*.nbc (kernels are compiled anew)"))
    if failure:
        what = f"{folder} cannot be written ({failure}): each process compiles anew."
        part.problems.append(Problem(what, other, broken=False))
    elif free < MIN_FREE:
        what = f"The disk of {folder} has {free / 1e6:.0f} MB left."
        part.problems.append(Problem(what, f"free some space, or {other}"))
    return part


def _write_failure(folder: str) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(100_000))
            file.flush()
    except OSError as error:
        return str(error)
    return ""


def data() -> Part:
    """The folder in which minigen looks for data files."""
    named = os.environ.get("MINIGEN_DATA")
    part = Part("data", named or "the user's cache; MINIGEN_DATA is not set")
    if named and not Path(named).expanduser().is_dir():
        what = f"MINIGEN_DATA={named} is not a folder."
        part.problems.append(Problem(what, "set it to the folder with the data, or unset it"))
    return part


def cores(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The number of cores that this process may use, by its affinity and by its cgroup's quota."""
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = cgroup.read_text().split()
        return max(1, min(available, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return available


def threads(available: int) -> Part:
    """The threads of minigen and of BLAS, and the environment variables that bear on them."""
    number, requested = get_num_threads(), os.environ.get("OMP_NUM_THREADS", "")
    text = [f"{number} of minigen on {available} cores", *_blas()]
    text += [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    part = Part("threads", "; ".join(text))
    if number > available:
        what = f"There are {number} threads for {available} cores: they wait for each other."
        part.problems.append(Problem(what, f"set OMP_NUM_THREADS={available}", False))
    if requested and not (requested.isdecimal() and int(requested)):
        what = f"OMP_NUM_THREADS={requested} is not a number of threads and is ignored."
        part.problems.append(Problem(what, "unset it, or set it to a whole number from 1"))
    return part


def processes() -> Part:
    """MPI, with which several processes train one model; mpiexec is tried with two of them."""
    found, mpiexec = installed("mpi4py"), _mpiexec()
    remedy = "pip install 'minigen[mpi]' brings mpi4py and MPICH"
    if not found or mpiexec is None:
        lacks = "mpiexec" if found else "mpi4py"
        part = Part("processes", "one: there is no MPI to train on several")
        if found or mpiexec:  # half of it is here
            what = f"There is no {lacks}: mpiexec cannot start several processes."
            part.problems.append(Problem(what, remedy, broken=False))
        return part
    part = Part("processes", f"mpi4py {found}, {mpiexec}: ")
    words = "w.size, *MPI.Get_library_version().split()[:3]"
    line = f"from mpi4py import MPI; w = MPI.COMM_WORLD; w.rank or print({words})"
    command = [mpiexec, "-n", "2", sys.executable, "-c", line]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MPI_SECONDS)
        size, *version = done.stdout.split() or ["0"]
        failure = "" if size == "2" else (done.stderr.strip() or "they are of two MPIs")
        works = f"two processes work, on {' '.join(version)}"
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    part.text += "two processes cannot be started" if failure else works
    if failure:
        what = f"mpiexec and mpi4py do not work together: {failure.splitlines()[-1]}."
        part.problems.append(Problem(what, remedy, broken=False))
    return part


def _mpiexec() -> str | None:
    """The mpiexec beside this Python, else that on PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _blas() -> list[str]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:  # versions() says so
        return []
    return [
        f"BLAS {lib['internal_api']} {lib['version']} ({lib.get('architecture', 'unknown')}): "
        f"{lib['num_threads']} threads (1 once minigen has run a compiled kernel)"
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    ]


def devices(driver: int | None, packages: list[str]) -> Part:
    """The devices. driver is a CUDA version (12040 is 12.4); packages are those of CuPy."""
    part = Part("devices", f"cpu, {_processor()}; ")
    extra = f'pip install "minigen[cuda{min(driver // 1000, 13) if driver else 12}]"'
    clean = f"pip uninstall -y {' '.join(packages)}; {extra}"
    if len(packages) > 1:
        what = f"{' and '.join(packages)} are installed at once and overwrite each other."
        part.problems.append(Problem(what, clean))
    if driver is None:
        part.text += "no NVIDIA driver"
        if packages:
            what = f"{packages[0]} is installed, but there is no NVIDIA driver."
            remedy = "install the driver of your GPU; without one minigen takes the CPU"
            part.problems.append(Problem(what, remedy, broken=False))
        return part
    part.text += f"NVIDIA driver for CUDA {driver // 1000}.{driver % 1000 // 10}"
    if driver < 12000:
        what = "The NVIDIA driver is too old for CUDA 12, which CuPy needs."
        remedy = "install a driver of release 525 or newer"
        part.problems.append(Problem(what, remedy, broken=bool(packages)))
    elif not packages:
        what = "There is an NVIDIA driver, but no CuPy: device='cuda' cannot be used."
        part.problems.append(Problem(what, extra, broken=False))
    elif not part.problems:
        _try_cupy(part, driver, packages[0], clean)
    return part


def _try_cupy(part, driver, package, clean):
    release = package.removeprefix("cupy-cuda").removesuffix("x")
    if release.isdecimal() and int(release) > driver // 1000:
        part.problems.append(Problem(f"The driver is too old for {package}.", clean))
        return
    try:
        cupy()
        part.text += "; " + ", ".join(backend_devices.devices()[1:])
    except BackendUnavailable as error:
        part.problems.append(Problem(f"{package} does not work: {error}.", clean))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(s.partition(":")[2].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def driver_version(load: Callable | None = None) -> int | None:
    """The newest CUDA version that the NVIDIA driver runs, 12040 for 12.4; None without one."""
    import ctypes

    name = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    found = ctypes.c_int(0)
    try:
        failed = (load or ctypes.CDLL)(name).cuDriverGetVersion(ctypes.byref(found))
    except (OSError, AttributeError):
        return None
    return None if failed else found.value
