"""How often Hypothesis tries: a few fixed cases by default, many new ones with "nightly"."""

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

settings.register_profile(
    "quick",
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=SLOW,
)
settings.register_profile("nightly", max_examples=500, deadline=None, suppress_health_check=SLOW)
settings.load_profile("quick")
