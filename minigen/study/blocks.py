"""Which memory is alive when: each array is followed until it is freed."""

import weakref
from collections.abc import Callable
from typing import Any

from minigen.study.steps import Block


class Blocks:
    """The memory of the arrays that were shown to `follow`.

    Views share the block of the array that owns their memory. now: a function that returns the
    number of the next step.
    """

    def __init__(self, now: Callable[[], int]):
        self.now, self.blocks = now, []
        self._alive: dict[int, tuple[Any, Block]] = {}  # id of the owner -> (weak reference, block)

    def follow(self, array: Any, value: int, use: str = "") -> None:
        """Follow the memory of an array, the value of that number, unless it is followed."""
        owner = owner_of(array)
        if id(owner) in self._alive:
            if not use:
                self._alive[id(owner)][1].values.append(value)
            return
        block = Block(owner.nbytes, self.now(), value, values=[] if use else [value], use=use)
        key = id(owner)

        def freed(_):
            del self._alive[key]
            block.died = self.now()

        try:
            reference = weakref.ref(owner, freed)
        except TypeError:  # a NumPy scalar
            return
        self._alive[key] = reference, block
        self.blocks.append(block)

    def stop(self) -> None:
        """Follow no array any longer: what is alive now has no end."""
        self._alive.clear()


def owner_of(array: Any) -> Any:
    """The array that owns the memory of a view; the array itself if it is no view."""
    base = getattr(array, "base", None)
    while base is not None and type(base) is type(array):
        array, base = base, base.base
    return array
