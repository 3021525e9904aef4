"""The stand-in for CuPy's RawModule: CUDA C++ compiled for the CPU by g++, run thread by thread.

Arguments are checked more strictly than on a GPU: each has exactly the type that the kernel
declares, a struct has the declared fields, and no kernel writes outside of an array.
"""

import ctypes
import hashlib
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from stand_in.arrays import ndarray
from stand_in.memory import check_guards
from stand_in.recording import perform

HEADER = Path(__file__).with_name("cuda_on_cpu.h").read_text()
KERNEL = re.compile(r"^KERNEL (\w+)\(([^)]*)\)", re.MULTILINE)
STRUCT = re.compile(r"struct (\w+) \{([^}]*)\};")
COMMENT = re.compile(r"//.*")
BARRIER = re.compile(r"_sync|block_|warp_|group_")  # in names of functions that wait
END_OF_COMMON = "// ---- end of common.cuh"
TYPES = {
    "float": np.float32,
    "double": np.float64,
    "int": np.int32,
    "unsigned": np.uint32,
    "index_t": np.int64,
    "unsigned char": np.uint8,
    "bool": np.bool_,
}


class RawModule:
    """The kernels of a string of CUDA C++, which are declared extern "C"."""

    def __init__(self, *, code, options=()):
        assert all(option.startswith(("-std=", "-D")) for option in options)
        real = re.search(r"typedef (\w+) real;", code)
        self.types = {**TYPES, "real": TYPES[real[1]] if real else None}
        self.types |= _structs(COMMENT.sub("", code), self.types)
        self.kernels = {name: _parameters(text) for name, text in KERNEL.findall(code)}
        waits = BARRIER.search(COMMENT.sub("", code.rpartition(END_OF_COMMON)[2])) is not None
        launchers = [_launcher(name, p, waits) for name, p in self.kernels.items()]
        self.library = _compiled("\n".join([HEADER, code, *launchers]), tuple(options))

    def get_function(self, name):
        return RawKernel(self, name)


class RawKernel:
    """A kernel, called with a grid, a block and its arguments."""

    def __init__(self, module, name):
        self.name, self.run = name, getattr(module.library, "launch_" + name)
        self.parameters = [(module.types[c_type], star) for c_type, star in module.kernels[name]]

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert shared_mem == 0, "the stand-in has no dynamic shared memory"
        grid, block = ((*lengths, 1, 1)[:3] for lengths in (grid, block))
        assert all(type(n) is int and n > 0 for n in (*grid, *block)), (grid, block)
        assert max(grid[1:]) < 65536 and grid[0] < 2**31 and np.prod(block) <= 1024
        assert len(args) == len(self.parameters), f"{self.name}: {len(args)} arguments"
        values = [self._checked(i, x, *p) for i, (x, p) in enumerate(zip(args, self.parameters))]

        def launch():
            pointers = (ctypes.c_void_p * len(values))(*(x.ctypes.data for x in values))
            lengths = [(ctypes.c_uint * 3)(*n) for n in (grid, block)]
            if self.run(*lengths, pointers):
                raise RuntimeError(f"{self.name}: threads of a block wait at different barriers")
            for x in args:
                if isinstance(x, ndarray):
                    check_guards(x, self.name)

        perform(launch)

    def _checked(self, i, x, dtype, star):
        """A NumPy array of one element whose bytes are the argument."""
        what = f"{self.name}: argument {i}"
        if star:
            if isinstance(x, ndarray):
                assert dtype is None or x.dtype == dtype, f"{what} is {x.dtype}, not {dtype}"
                return np.array([x.data.ptr], np.uintp)
            assert type(x) is np.uintp, f"{what} is a {type(x).__name__}, not an array"
            return np.array([x])
        if isinstance(dtype, np.dtype):
            assert type(x) is np.ndarray and x.shape == (1,), f"{what} is not a struct"
            assert x.dtype == dtype, f"{what} has the fields {x.dtype}, not {dtype}"
            return x.copy()
        assert type(x) is dtype, f"{what} is a {type(x).__name__}, not {dtype.__name__}"
        return np.array([x])


def _structs(code, types):
    """The dtypes of the structs that contain no pointers and no other structs, by name."""
    found = {}
    for name, body in STRUCT.findall(code):
        fields = []
        for declaration in filter(None, map(str.strip, body.split(";"))):
            c_type, _, names = declaration.partition(" ")
            fields += [(field.strip(), types.get(c_type)) for field in names.split(",")]
        if all(dtype is not None and field.isidentifier() for field, dtype in fields):
            found[name] = np.dtype(fields, align=True)
    return found


def _parameters(text):
    """[(C type, whether it is a pointer)] of a parameter list."""
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        for qualifier in ("const ", "BY_VALUE ", "__restrict__"):
            part = part.replace(qualifier, "")
        c_type, star, _ = part.rpartition("*") if "*" in part else (part.rpartition(" ")[0], "", "")
        found.append((c_type.strip(), bool(star)))
    return found


def _launcher(name, parameters, waits):
    """C++ of a function that launches a kernel, from pointers to its arguments."""
    args = ", ".join(
        f"*({c_type}{'*' if star else ''}*)args[{i}]" for i, (c_type, star) in enumerate(parameters)
    )
    return (
        f'extern "C" int launch_{name}(const unsigned* grid, const unsigned* block, void** args)'
        f" {{ return run_grid(grid, block, {str(waits).lower()}, [&] {{ {name}({args}); }}); }}"
    )


@cache
def _compiled(code, options):
    """The library compiled from code, cached in the folder for temporary files."""
    key = hashlib.sha256(repr((code, options)).encode()).hexdigest()[:20]
    path = Path(tempfile.gettempdir()) / f"minigen-stand-in-{key}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            source, built = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
            source.write_text(code)
            flags = ["-O1", "-shared", "-fPIC", "-w", "-std=c++17", *options]
            done = subprocess.run(
                ["g++", *flags, "-o", built, source], capture_output=True, text=True
            )
            if done.returncode:
                raise RuntimeError(done.stderr[:4000])
            built.replace(path)
    return ctypes.PyDLL(str(path))  # PyDLL keeps the interpreter's lock: one launch at a time
