"""A stand-in for CuPy on machines without a GPU: stricter than CuPy, and in no hurry.

Its arrays are of a type of their own, which NumPy does not take for its own and which does not
mix with NumPy's; only names, arguments and index rules that CuPy has are there. Raw kernels are
compiled for the CPU and run thread by thread; products go through a stand-in for cuBLAS that sees
nothing but addresses; a captured graph replays what was done to memory.
"""

import sys
from contextlib import contextmanager
from unittest.mock import patch

import stand_in.methods
from stand_in.blas import Library
from stand_in.module import cupy


@contextmanager
def installed():
    """`import cupy` gives the stand-in, and cuBLAS is one, for a with block."""
    from minigen.kernels.gpu import blas

    found, before = blas.declared(Library()), sys.modules.get("cupy")
    sys.modules["cupy"] = cupy  # patch.dict would forget what else is imported in the block
    try:
        with patch.object(blas, "library", lambda: found):
            yield cupy
    finally:
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before
