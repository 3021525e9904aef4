"""The array backend switch: NumPy on the CPU, CuPy on an NVIDIA GPU.

There is no global switch: a raw array tells its own module and device. `arrays` asks an array for
its module and is the only place that imports cupy; `devices` moves arrays between devices;
`precision` sets how a GPU multiplies matrices; `dtypes` says which dtypes are supported and how
they are promoted.
"""
