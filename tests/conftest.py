"""How often Hypothesis tries: a few fixed cases by default, many new ones with "nightly".

Every case that it generates is counted, and the number printed at the end.
"""

from functools import wraps

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


def pytest_terminal_summary(terminalreporter):
    """Say how many cases there were."""
    if generated["cases"]:
        terminalreporter.write_line(f"{generated['cases']:,} generated cases")
