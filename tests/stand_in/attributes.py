"""The attributes of the stand-in's arrays that describe memory and device."""

from weakref import WeakValueDictionary

exposed: WeakValueDictionary = WeakValueDictionary()  # the array of which a pointer was asked, last


class Flags:
    """`ndarray.flags`, as far as CuPy has them."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata

    def __getitem__(self, name):
        return getattr(self, name.lower())


class Pointer:
    """`ndarray.data`: a pointer to the first element."""

    def __init__(self, x, ptr):
        self.ptr, self.device_id = ptr, 0
        exposed[ptr] = x


class Device:
    """`ndarray.device`: the only device."""

    id = 0

    def __eq__(self, other):
        return isinstance(other, Device)

    __hash__ = object.__hash__

    def __repr__(self):
        return "<CUDA Device 0>"
