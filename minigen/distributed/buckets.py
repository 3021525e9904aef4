"""Buckets: gradients packed into a few arrays, whose sums over ranks go on while the walk does.

The plain way, a sum for each gradient after the walk, costs one wait for each, and nothing is
computed meanwhile. Buckets follow Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating
Data Parallel Training": leaves stand in the order in which the walk completes their gradients, and
when those of a bucket are complete, its sum begins.

A sum belongs to the leaves of a bucket on every rank, so all ranks must cut buckets alike: by the
order that rank 0 has seen, by dtype and device, and by bytes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minigen.autodiff.graph import Leaf
from minigen.backend.arrays import Array, array_module
from minigen.backend.devices import device_of
from minigen.communication.world import World
from minigen.errors import DistributedError

BYTES = 1 << 18  # of a bucket
# On GPUs a sum costs launches, and NCCL needs megabytes to fill a link. It is the default of
# PyTorch's DistributedDataParallel (bucket_cap_mb), and has not been measured here.
GPU_BYTES = 25 << 20
ALIGNED = 64  # bytes of a cache line, at whose beginning each gradient lies

Gradients = dict[Leaf, Callable[[], Array | None]]  # of the leaves that the walk has completed


class Bucket:
    """Leaves whose gradients, of one dtype and device, are packed into one array, a slot."""

    def __init__(self, device: str, dtype: Any):
        self.device, self.dtype = device, dtype
        self.leaves: list[Leaf] = []
        self.shapes: list[tuple[int, ...]] = []
        self.parts: list[slice] = []  # of the slot
        self.length = 0  # of the slot
        self.incomplete = 0  # the number of leaves that the walk has not completed yet

    def add(self, leaf: Leaf, x: Array) -> None:
        self.leaves.append(leaf)
        self.shapes.append(x.shape)
        self.parts.append(slice(self.length, self.length + x.size))
        values = ALIGNED // self.dtype.itemsize
        self.length += -(-x.size // values) * values
        self.incomplete = len(self.leaves)

    @property
    def nbytes(self) -> int:
        return self.length * self.dtype.itemsize

    def views(self, x: Array) -> list[Array]:
        """The parts of x, a slot or a sum of slots, in the shapes of the gradients."""
        return [x[part].reshape(shape) for part, shape in zip(self.parts, self.shapes)]


def buckets_of(leaves: Iterable[tuple[Leaf, Array]], nbytes: int | None = None) -> list[Bucket]:
    """Buckets of pairs (leaf, its parameter's array), in the order in which they become full.

    A bucket is full as soon as it has nbytes, by default BYTES, on GPUs GPU_BYTES. There is one
    open bucket for each dtype and device.
    """
    closed, open_ones = [], {}
    for leaf, x in leaves:
        key = device_of(x), x.dtype
        if key not in open_ones:
            open_ones[key] = Bucket(*key)
        open_ones[key].add(leaf, x)
        if open_ones[key].nbytes >= (nbytes or (BYTES if key[0] == "cpu" else GPU_BYTES)):
            closed.append(open_ones.pop(key))
    return closed + list(open_ones.values())


class BucketSums:
    """Sums of the gradients of leaves that were first completed in the same walk.

    `leaves` stand in the order in which rank 0 completed them. Sums begin in the order of buckets,
    on all ranks.
    """

    def __init__(
        self, world: World, leaves: Sequence[tuple[Leaf, Array]], nbytes: int | None = None
    ):
        self.buckets = buckets_of(leaves, nbytes)
        self.bucket_of = {leaf: bucket for bucket in self.buckets for leaf in bucket.leaves}
        # Slots of one device are summed together: (reductions, index) for each bucket.
        on_device: dict[str, list[Bucket]] = {}
        for bucket in self.buckets:
            on_device.setdefault(bucket.device, []).append(bucket)
        arrays = dict(leaves)
        sums_of = {}
        self.reductions = []
        for buckets in on_device.values():
            empty = [array_module(arrays[b.leaves[0]]).empty(b.length, b.dtype) for b in buckets]
            self.reductions.append(reductions := world.reductions(empty))
            sums_of.update((b, (reductions, i)) for i, b in enumerate(buckets))
        self.sums_of = [sums_of[bucket] for bucket in self.buckets]
        self.slots = []
        for bucket, (reductions, i) in zip(self.buckets, self.sums_of):
            reductions.slots[i].fill(0)  # what lies between gradients is summed, too
            self.slots.append(bucket.views(reductions.slots[i]))
        self.begun = 0  # the number of buckets whose sums have begun in this walk

    def completed(self, leaf: Leaf, gradients: Gradients, weight: float) -> None:
        """Begin the sums of the buckets that are complete now."""
        self.bucket_of[leaf].incomplete -= 1
        while self.begun < len(self.buckets) and not self.buckets[self.begun].incomplete:
            if not self._begin(gradients, weight, complete=True):
                break
        for reductions in self.reductions if self.begun else ():
            reductions.poll()

    def begin_rest(self, gradients: Gradients, weight: float) -> None:
        """Begin all sums that have not begun yet; a gradient that is not there counts as zero."""
        while self.begun < len(self.buckets):
            self._begin(gradients, weight, complete=False)

    def _begin(self, gradients, weight, complete):
        """Pack the next bucket, multiplied by weight, and begin its sum.

        Returns False, and does nothing, if a gradient is missing that should be complete.
        """
        bucket, (reductions, i) = self.buckets[self.begun], self.sums_of[self.begun]
        found = [gradients[leaf]() if leaf in gradients else None for leaf in bucket.leaves]
        if complete and any(g is None for g in found):
            return False
        reductions.ready(i)
        factor = bucket.dtype.type(weight)
        for g, view in zip(found, self.slots[self.begun]):
            if g is None:
                view.fill(0)
                continue
            if g.shape != view.shape or g.dtype != view.dtype or device_of(g) != bucket.device:
                raise DistributedError(
                    f"a gradient of shape {g.shape}, {g.dtype} on {device_of(g)}, was of shape "
                    f"{view.shape}, {view.dtype} on {bucket.device}, in the first walk; move or "
                    "convert a model before you make its optimizer of many processes"
                )
            array_module(g).multiply(g, factor, out=view)
        reductions.start(i)
        self.begun += 1
        return True

    def finish(self) -> dict[Leaf, Array]:
        """The sums, when all are complete, and a new beginning for the next walk."""
        sums = {}
        for bucket, (reductions, i) in zip(self.buckets[: self.begun], self.sums_of):
            sums.update(zip(bucket.leaves, bucket.views(reductions.finish(i))))
        for bucket in self.buckets:
            bucket.incomplete = len(bucket.leaves)
        self.begun = 0
        return sums
