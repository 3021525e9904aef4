"""No Numba, for a run of the tests, in which warnings are errors and one would say that it lacks:

PYTHONPATH=tests/without_numba MINIGEN_KERNELS=reference python -m pytest
"""

raise ModuleNotFoundError("No module named 'numba'", name="numba")
