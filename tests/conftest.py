"""How often Hypothesis tries: a few fixed cases by default, many new ones with "nightly".

Every case that it generates is counted, and the number printed at the end.
"""

import platform
import shutil
from functools import wraps

import pytest
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

settings.register_profile(
    "quick",
    max_examples=27,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=SLOW,
)
settings.register_profile("nightly", max_examples=800, deadline=None, suppress_health_check=SLOW)
settings.load_profile("quick")

generated = {"cases": 0}


def counted(test):
    """test, each of whose runs counts as a generated case."""

    @wraps(test)
    def run(*args, **named):
        generated["cases"] += 1
        return test(*args, **named)

    return run


def pytest_collection_modifyitems(items):
    """Count what Hypothesis runs; a test with parameters is one function for many items."""
    handles = {id(h): h for item in items if (h := getattr(item.obj, "hypothesis", None))}
    for handle in handles.values():
        handle.inner_test = counted(handle.inner_test)


def pytest_sessionfinish(session):
    """A process that ran a part of the tests hands in its count."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cases"] = generated["cases"]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Take the count of a process that has ended; a hook of pytest-xdist."""
    generated["cases"] += getattr(node, "workeroutput", {}).get("cases", 0)


def pytest_terminal_summary(terminalreporter):
    """Say how many cases there were."""
    if generated["cases"]:
        terminalreporter.write_line(f"{generated['cases']:,} generated cases")


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=["stand-in", "cuda"],
        default="stand-in",
        help="where the tests of GPU code run: on a stand-in for CuPy, or on a GPU",
    )


@pytest.fixture(autouse=True)
def registry():
    """Ops that a test declares are forgotten after it."""
    from minigen.autodiff.primitives import REGISTRY

    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.fixture(params=["fast", "plain"])
def each_walk(request, monkeypatch):
    """The test runs twice: on the walk that runs by default, and on the plain one."""
    plain = request.param == "plain"
    monkeypatch.setattr("minigen.autodiff.fast_walk._plain_is_asked_for", lambda: plain)


@pytest.fixture(scope="module")
def device(request):
    """What `device="cuda"` means for a module of tests: a GPU, or its stand-in."""
    if request.config.getoption("--device") == "cuda":
        yield "cuda:0"
    else:
        if shutil.which("g++") is None or platform.machine() != "x86_64":
            pytest.skip("the stand-in for a GPU compiles its kernels with g++ for x86-64")
        from stand_in import installed

        with installed():
            yield "cuda:0"
