"""One pool of threads for matrix products and kernels, in this order of reading:

`pieces` cuts work so that results have the same bits for any number of threads; `pool` shares
the pieces among its workers; `bell` wakes the workers that wait in compiled code; `deferred`
puts work off to the end of a walk back; `blas` keeps NumPy's own threads out of the way.
"""
