"""python -m minigen doctor: each problem is found, with its remedy; the self-tests can fail."""

import ctypes
import os
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from minigen import doctor, kernels, ops
from minigen.doctor import environment, self_test
from minigen.errors import BackendUnavailable


def said(part):
    """What a part complains of, with remedies, as one text."""
    return " ".join(f"{problem.what} {problem.remedy}" for problem in part.problems)


def broken(part):
    return any(problem.broken for problem in part.problems)


def command(**changes):
    env = {key: value for key, value in os.environ.items() if key != "MINIGEN_KERNELS"} | changes
    words = [sys.executable, "-m", "minigen", "doctor"]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, env=env)


def test_the_report_names_versions_devices_threads_cache_and_fits_a_terminal():
    pytest.importorskip("numba")
    done = command()
    for word in ("numpy 2", "cpu, ", "cores", "BLAS", "cache", "reference: passed", "All works."):
        assert word in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if "/" not in line) < 80
    assert not any(line.startswith("problem") for line in lines)


def test_a_broken_environment_costs_no_traceback_but_remedies_and_exit_code_1(tmp_path):
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba/__init__.py").write_text("raise ImportError('llvmlite is too old')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = command(PYTHONPATH=path, MINIGEN_DATA=str(tmp_path / "none"), MINIGEN_KERNELS="fast")
    assert done.returncode == 1 and done.stderr == ""
    text = " ".join(done.stdout.split())
    for words in (
        "Numba is installed but cannot be imported (llvmlite is too old)",
        "remedy pip install --force-reinstall numba llvmlite",
        f"MINIGEN_DATA={tmp_path / 'none'} is not a folder.",
        "MINIGEN_KERNELS=fast is not a known value",
        "reference: passed",
        "Something is broken.",
    ):
        assert words in text, done.stdout


# ---------------------------------------------------------------------- packages, kernels


def test_a_package_that_is_missing_is_named_with_its_remedy(monkeypatch):
    version = metadata.version

    def without(name):
        if name == "safetensors":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    assert said(environment.versions()) == "safetensors is not installed. pip install safetensors"


def test_numba_missing_broken_and_switched_off_are_told_apart(monkeypatch):
    numba = pytest.importorskip("numba")
    assert environment.numba_failure() == ""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    part = environment.fast_kernels(environment.numba_failure())
    assert "unset NUMBA_DISABLE_JIT" in said(part) and not broken(part)
    monkeypatch.setitem(sys.modules, "numba", None)
    part = environment.fast_kernels(environment.numba_failure())
    assert "not installed" in said(part) and "pip install numba" in said(part) and not broken(part)


def test_reference_kernels_that_were_asked_for_are_a_hint_and_no_problem(monkeypatch):
    monkeypatch.setenv("MINIGEN_KERNELS", "reference")
    part = environment.fast_kernels("")
    assert "unset MINIGEN_KERNELS" in said(part) and not broken(part)


# -------------------------------------------------------------------------- kernel cache


def no_damage(folder):
    return []


def test_a_cache_that_works_is_described(tmp_path):
    (tmp_path / "f.0123456789abcdef.nbc").write_bytes(bytes(500_000))
    part = environment.kernel_cache(str(tmp_path), no_damage)
    assert "1 kernels in 0.5 MB" in part.text and "writable" in part.text
    assert part.problems == []


def test_no_cache_a_damaged_one_and_a_full_disk_have_remedies(tmp_path, monkeypatch):
    part = environment.kernel_cache(None, no_damage)
    assert "set NUMBA_CACHE_DIR" in said(part) and not broken(part)
    part = environment.kernel_cache(str(tmp_path), lambda folder: [tmp_path / "f.nbc"])
    assert "damaged files: f.nbc." in said(part) and f"rm {tmp_path}/*.nbc" in said(part)
    usage = type("usage", (), {"free": 5e6})
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda folder: usage)
    part = environment.kernel_cache(str(tmp_path), no_damage)
    assert "5 MB left" in said(part) and "free some space" in said(part) and broken(part)


def test_a_cache_that_cannot_be_written_is_named_with_the_reason(tmp_path, monkeypatch):
    def refused(dir):
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr(environment.tempfile, "TemporaryFile", refused)
    part = environment.kernel_cache(str(tmp_path), no_damage)
    assert "Permission denied" in said(part) and "set NUMBA_CACHE_DIR" in said(part)
    assert "not writable" in part.text and not broken(part)


def test_a_cache_folder_of_the_environment_that_is_passed_over_is_a_hint(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null")
    part = environment.kernel_cache(str(tmp_path), no_damage)
    assert "NUMBA_CACHE_DIR=/dev/null cannot be written" in said(part) and not broken(part)


# -------------------------------------------------------------------------------- threads


def test_more_threads_than_cores_and_a_senseless_number_are_named(monkeypatch):
    monkeypatch.setattr(environment, "get_num_threads", lambda: 8)
    part = environment.threads(2)
    assert "8 threads for 2 cores" in said(part) and "OMP_NUM_THREADS=2" in said(part)
    assert not broken(part)
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert "OMP_NUM_THREADS=many" in said(environment.threads(8))
    assert "OMP_NUM_THREADS=many" in environment.threads(8).text


def test_a_containers_share_of_the_cores_is_read(tmp_path):
    share = tmp_path / "cpu.max"
    share.write_text("100000 100000\n")
    assert environment.cores(share) == 1
    share.write_text("max 100000\n")
    assert environment.cores(share) == environment.cores(tmp_path / "none") >= 1


# -------------------------------------------------------------------------------- devices

DRIVERS = {  # driver, packages: words of the complaint and remedy, whether something is broken
    "nothing": (None, [], "", False),
    "cupy, no driver": (None, ["cupy-cuda12x"], "no NVIDIA driver", False),
    "a driver for 12": (12040, [], 'pip install "minigen[cuda12]"', False),
    "a driver for 13": (13010, [], 'pip install "minigen[cuda13]"', False),
    "a newer driver": (14000, [], 'pip install "minigen[cuda13]"', False),
    "an old driver": (11080, ["cupy-cuda12x"], "release 525", True),
    "an old driver alone": (11080, [], "release 525", False),
    "cupy too new": (12080, ["cupy-cuda13x"], "too old for cupy-cuda13x", True),
    "two": (
        12080,
        ["cupy-cuda12x", "cupy-cuda13x"],
        'cuda13x; pip install "minigen[cuda12]"',
        True,
    ),
    "two, no driver": (None, ["cupy-cuda12x", "cupy-cuda13x"], "installed at once", True),
}


@pytest.mark.parametrize(("driver", "packages", "words", "wrong"), DRIVERS.values(), ids=DRIVERS)
def test_driver_and_cupy_packages_get_the_remedy_that_fits(driver, packages, words, wrong):
    part = environment.devices(driver, packages)
    assert words in said(part)
    assert broken(part) == wrong
    assert bool(part.problems) == (driver is not None or bool(packages))


def test_a_cupy_that_fails_is_reported_with_its_own_reason(monkeypatch):
    def fail():
        raise BackendUnavailable("libnvrtc is missing")

    monkeypatch.setattr(environment, "cupy", fail)
    part = environment.devices(12040, ["cupy-cuda12x"])
    assert "libnvrtc is missing" in said(part) and "minigen[cuda12]" in said(part) and broken(part)


def test_the_drivers_version_is_read_from_its_library():
    class Driver:
        failed = 0

        def cuDriverGetVersion(self, pointer):
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_int))[0] = 12040
            return self.failed

    assert environment.driver_version(lambda name: Driver()) == 12040
    broken_driver = Driver()
    broken_driver.failed = 35
    assert environment.driver_version(lambda name: broken_driver) is None

    def no_library(name):
        raise OSError(name)

    assert environment.driver_version(no_library) is None


def test_cupy_packages_are_found_by_the_names_of_distributions(tmp_path, monkeypatch):
    for name in ("cupy_cuda12x", "cupy_cuda13x", "cupyrus"):
        folder = tmp_path / f"{name}-14.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 14.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert environment.cupy_packages() == ["cupy-cuda12x", "cupy-cuda13x"]
    assert "cupy-cuda13x\xa014.0" in environment.versions().text


# -------------------------------------------------------------------------------- self-test


def test_the_self_test_passes_here():
    found = self_test.self_test("cpu", seconds=60)
    assert found.startswith("passed") and "gradient" in found and "no time" not in found


def test_a_wrong_kernel_a_wrong_gradient_and_wrong_bits_fail_the_self_test(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(self_test.FORWARDS, "gelu", (ops.relu, self_test._gelu, (self_test.X,)))
        with pytest.raises(AssertionError, match="gelu"):
            self_test.self_test("cpu", 60)
    with monkeypatch.context() as patch:
        patch.setattr(self_test, "grad", lambda y, x: [np.zeros_like(t.data) for t in x])
        with pytest.raises(AssertionError, match="gradient for x"):
            self_test.self_test("cpu", 60)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "philox", lambda out, seed, start: out)
        with pytest.raises(AssertionError, match="random bits"):
            self_test.self_test("cpu", 60)


def test_a_self_test_that_crashes_hangs_or_cannot_start_is_a_problem_with_a_remedy(monkeypatch):
    run = subprocess.run

    def crash(words, **settings):
        return run([sys.executable, "-c", "import os; os.abort()"], **settings)

    monkeypatch.setattr(subprocess, "run", crash)
    part = doctor._self_test("numba", "cpu")
    assert "test of numba fails: exit code -6" in said(part)
    assert "MINIGEN_KERNELS=reference" in said(part) and broken(part)
    monkeypatch.undo()
    monkeypatch.setattr(doctor, "MAX_SECONDS", 0)
    assert "no end after 0 s" in said(doctor._self_test("reference", "cpu"))
    monkeypatch.setattr(sys, "executable", "/dev/null")
    part = doctor._self_test("reference", "cpu")
    assert "no process can be started" in said(part) and broken(part)
