"""The array backend switch: NumPy on the CPU, CuPy on an NVIDIA GPU.

There is no global switch: the type of a raw array determines its module and device. `arrays` finds
the module of an array and is the only file here that imports cupy; `devices` moves arrays between
devices; `precision` sets how a GPU multiplies matrices; `dtypes` has the supported dtypes and their
promotion.
"""
