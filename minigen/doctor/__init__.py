"""What works on this machine, and remedies for what does not: python -m minigen doctor.

`environment` describes each part (versions, devices, kernels, ...), `self_test` runs a few ops.
"""

import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator

from minigen.backend.devices import cuda_is_available, devices
from minigen.doctor import environment
from minigen.doctor.environment import Part, Problem

WIDTH, INDENT = 79, 13
MAX_SECONDS = 120  # a self-test that takes longer hangs


def doctor() -> int:
    """Print the state of all parts, the problems and remedies. Returns 1 if a part is broken."""
    problems = []
    for part in parts():
        print(_lines(part.label, part.text), flush=True)
        problems += part.problems
    broken = any(problem.broken for problem in problems)
    print()
    for problem in problems:
        print(_lines("problem" if problem.broken else "hint", problem.what))
        print(_lines("  remedy", problem.remedy))
    print("Something is broken." if broken else "All works.")
    return int(broken)


def parts() -> Iterator[Part]:
    """The parts of the report; the self-tests run in processes of their own."""
    yield environment.versions()
    yield environment.devices(environment.driver_version(), environment.cupy_packages())
    yield environment.threads(environment.cores())
    yield environment.processes()
    failure = environment.numba_failure()
    yield environment.fast_kernels(failure)
    variants = {"reference": "cpu"}
    if not failure:
        variants["numba"] = "cpu"
        yield _kernel_cache()
    yield environment.data()
    if cuda_is_available():
        variants |= {device: device for device in devices()[1:]}
    for variant, device in variants.items():
        yield _self_test(variant, device)


def _kernel_cache() -> Part:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report has the same problems
            from minigen.kernels.cpu import caching, compiling

            folder = compiling.cache_folder()
        return environment.kernel_cache(folder, caching.damaged)
    except Exception as error:
        what = f"The compiled kernels cannot be loaded ({error})."
        remedy = f"{environment.REINSTALL}; or set MINIGEN_KERNELS=reference"
        return Part("cache", "unknown", [Problem(what, remedy)])


def _self_test(variant: str, device: str) -> Part:
    """The result of `doctor --self-test` in another process, which may crash or hang."""
    label, part = f"test of {variant}", Part("self-test")
    kernels = {"MINIGEN_KERNELS": "reference" if variant == "reference" else ""}
    command = [sys.executable, "-m", "minigen", "doctor", "--self-test", device]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **kernels},
            capture_output=True,
            text=True,
            timeout=MAX_SECONDS,
        )
        failure = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        if done.returncode == 0:
            return Part("self-test", f"{variant}: {done.stdout.strip()}")
    except subprocess.TimeoutExpired:
        failure = f"no end after {MAX_SECONDS} s"
    except OSError as error:
        failure = f"no process can be started: {error}"
    remedies = {
        "reference": "pip install --force-reinstall numpy",
        "numba": f"{environment.REINSTALL}; or set MINIGEN_KERNELS=reference",
    }
    remedy = remedies.get(variant, "update driver and CuPy, or use device='cpu'")
    part.text = f"{variant}: failed"
    part.problems.append(Problem(f"The {label} fails: {failure}.", remedy))
    return part


def _lines(label: str, text: str) -> str:
    """The text as a paragraph to the right of its label, for a terminal of 80 columns."""
    paragraph = textwrap.fill(
        text,
        WIDTH,
        initial_indent=f"{label:<{INDENT}}",
        subsequent_indent=" " * INDENT,
        break_on_hyphens=False,
        break_long_words=False,  # a path stays whole
    )
    return paragraph.replace("\xa0", " ")
