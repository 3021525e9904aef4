"""A stand-in for CuPy on machines without a GPU: stricter than CuPy, and slow.

Its arrays have their own type, which NumPy does not convert and which does not mix with NumPy's
arrays. It has only names, parameters and indexing rules that CuPy has. Raw kernels are compiled
for the CPU and run thread by thread; matrix products go through a stand-in for cuBLAS that gets
nothing but pointers and sizes; a captured graph replays operations on memory; NCCL sums over the
ranks of MPI, each of which has a stand-in of its own.
"""

import sys
from contextlib import contextmanager
from unittest.mock import patch

import stand_in.methods
from stand_in.blas import Library
from stand_in.module import cupy


@contextmanager
def installed():
    """In a with block, `import cupy` imports the stand-in, and cuBLAS is replaced too."""
    from minigen.kernels.gpu import blas

    library, own = blas.with_signatures(Library()), {"cupy": cupy, "cupy.cuda": cupy.cuda}
    before = {name: sys.modules[name] for name in own if name in sys.modules}
    sys.modules.update(own)  # patch.dict would also undo other imports made in the block
    try:
        with patch.object(blas, "library", lambda: library):
            yield cupy
    finally:
        for name in own:
            del sys.modules[name]
        sys.modules.update(before)
