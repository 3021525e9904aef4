"""No Numba, for the tests: PYTHONPATH=tests/without_numba python -m pytest -W "ignore:Numba is"."""

raise ModuleNotFoundError("No module named 'numba'", name="numba")
