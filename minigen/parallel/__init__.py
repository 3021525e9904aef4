"""One pool of threads for matrix products and kernels.

`bell` wakes workers that wait in compiled code; `pool` has the workers, which compute tasks
together with the caller; `pieces` cuts work into tasks, so that results have the same bits for
any number of threads; `deferred` postpones products to the end of a backward pass; `blas` limits
NumPy's own threads.
"""
