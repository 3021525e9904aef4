"""How often Hypothesis tries, and which tests are quick.

By default it tries a few fixed cases, many new ones with --hypothesis-profile=nightly, and three of
each property with `-m quick`. Every case is counted, and the number printed at the end.
"""

import platform
import shutil
from functools import wraps

import pytest
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

FIXED = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": SLOW}
settings.register_profile("default", max_examples=22, **FIXED)
settings.register_profile("quick", max_examples=3, **FIXED)
settings.register_profile("nightly", max_examples=800, deadline=None, suppress_health_check=SLOW)
settings.load_profile("default")

# Files that take more than two seconds with three cases of each property. `-m quick` leaves them
# out, but for the tests below, so that every folder is touched.
SLOW_FILES = {
    *("test_attention.py", "test_benchmarks.py", "test_capture.py", "test_download.py"),
    *("test_examples.py", "test_gpu_benchmarks.py", "test_gpu_examples.py", "test_gpu_models.py"),
    *("test_gpu_ops.py", "test_gpu_sources.py", "test_models_char_lstm.py", "test_op_cases.py"),
    *("test_models_seq2seq.py", "test_properties_kernels.py", "test_properties_mutants.py"),
    *("test_readme.py", "test_scheduler.py", "test_study_browser.py", "test_study_command.py"),
    *("test_study_browser_readers.py", "test_threads.py", "test_vector_math.py"),
}
SLOW_TESTS = ("test_a_chain_of_a_million_ops", "test_gradcheck_prints_a_line_for_each_op")
QUICK_TESTS = (
    "test_an_example_trains_draws_and_resumes[gpt",
    "test_a_bad_flag_is_answered_in_a_sentence",
    "test_every_cuda_file_compiles[softmax.cu-float32-75]",
    "test_every_link_leads_somewhere",
    "test_keys_step_to_the_end_and_back[small_net-1600]",
)


def is_quick(item):
    """Whether `-m quick` runs a test."""
    if item.name.startswith(QUICK_TESTS):
        return True
    return item.path.name not in SLOW_FILES and not item.name.startswith(SLOW_TESTS)


def pytest_configure(config):
    """Fewer cases of each property with `-m quick`."""
    config.addinivalue_line("markers", "quick: touches every folder, in little more than a minute")
    if config.option.markexpr == "quick":
        settings.load_profile("quick")


generated = {"cases": 0}


def counted(test):
    """test, each of whose runs counts as a generated case."""

    @wraps(test)
    def run(*args, **named):
        generated["cases"] += 1
        return test(*args, **named)

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what is quick, and count what Hypothesis runs.

    A test with parameters is one function for many items.
    """
    for item in items:
        if is_quick(item):
            item.add_marker(pytest.mark.quick)
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
    monkeypatch.setattr("minigen.autodiff.fast_walk._plain_walk_is_set", lambda: plain)


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
