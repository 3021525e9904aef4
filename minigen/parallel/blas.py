"""NumPy's BLAS, whose threads must not compete with the pool's."""

from pathlib import PurePath


def hold_to_one_thread() -> None:
    """Limit NumPy's BLAS to one thread; the BLAS of another package, as PyTorch's, is left alone.

    Threads of a pool spin while they wait for work. Two pools would take each other's cores, and
    be many times slower than either alone.
    """
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    folders = [set(PurePath(lib.filepath).parts) for lib in found]
    own = [lib for lib, names in zip(found, folders) if names & {"numpy", "numpy.libs"}]
    others = [lib for lib, names in zip(found, folders) if not names & {"torch", "scipy.libs"}]
    for lib in own or others:  # NumPy without a BLAS of its own uses the system's
        lib.set_num_threads(1)
