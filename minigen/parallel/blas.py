"""NumPy's BLAS, whose threads must not compete with the pool's."""

from pathlib import PurePath


def hold_to_one_thread() -> None:
    """Hold NumPy's BLAS to one thread; that of another package, as PyTorch's, is left alone.

    Two pools whose threads spin while they wait for work take each other's cores, and are many
    times slower than either.
    """
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    folders = [set(PurePath(lib.filepath).parts) for lib in found]
    own = [lib for lib, names in zip(found, folders) if names & {"numpy", "numpy.libs"}]
    others = [lib for lib, names in zip(found, folders) if not names & {"torch", "scipy.libs"}]
    for lib in own or others:  # where NumPy brings none of its own, it is the system's
        lib.set_num_threads(1)
