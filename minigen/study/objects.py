"""A dict whose keys are objects, told apart by identity."""

import weakref
from collections.abc import Iterator
from typing import Any


class ByIdentity:
    """Maps objects to values for as long as the objects are alive, and does not keep them alive.

    Arrays cannot be keys of a dict, and the id of an object that was freed is given to another one.
    So an entry has a weak reference too, by which `get` sees whether it is that of the object.
    """

    def __init__(self):
        self._entries: dict[int, tuple[Any, Any]] = {}  # id -> (weak reference, value)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of an object, or default."""
        reference, value = self._entries.get(id(key), (None, None))
        return value if reference is not None and reference() is key else default

    def __contains__(self, key: Any) -> bool:
        reference, _ = self._entries.get(id(key), (None, None))
        return reference is not None and reference() is key

    def __iter__(self) -> Iterator:
        """The objects that are alive."""
        objects = [reference() for reference, _ in self._entries.values()]
        return (x for x in objects if x is not None)

    def __setitem__(self, key: Any, value: Any) -> None:
        try:
            reference = weakref.ref(key)
        except TypeError:  # a NumPy scalar has no weak references, and is small
            reference = lambda: key
        self._entries[id(key)] = reference, value
