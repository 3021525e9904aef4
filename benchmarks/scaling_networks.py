"""A network that this machine does not have: sums arrive only when it would have brought them.

The link carries one array after the other, each for latency + bytes / bandwidth, during which the
rank computes or sleeps. A real sum between the ranks is made as well, as fast as they can.
"""

import time
from collections.abc import Sequence
from typing import Any

from scaling_model import Network

from minigen.communication.world import Reductions, World


class SlowWorld(World):
    """The ranks of another World, whose reductions go through `network`."""

    def __init__(self, world: World, network: Network):
        super().__init__()
        self.world, self.network = world, network
        self.rank, self.size = world.rank, world.size
        self.share, self.gather, self.broadcast = world.share, world.gather, world.broadcast
        self.all_reduce = world.all_reduce

    def reductions(self, like: Sequence[Any]) -> Reductions:
        return SlowReductions(self.world.reductions(like), self.network)


class SlowReductions(Reductions):
    """Reductions that finish when the network would have brought the sums."""

    def __init__(self, inner: Reductions, network: Network):
        self.inner, self.network, self.slots = inner, network, inner.slots
        self.arrivals: dict[int, float] = {}
        self.link_free = 0.0

    def ready(self, i: int) -> None:
        self.inner.ready(i)

    def start(self, i: int) -> None:
        self.inner.start(i)
        seconds = self.network.latency + self.slots[i].nbytes / self.network.bandwidth
        self.link_free = max(self.link_free, time.perf_counter()) + seconds
        self.arrivals[i] = self.link_free

    def poll(self) -> None:
        self.inner.poll()

    def finish(self, i: int) -> Any:
        found = self.inner.finish(i)
        time.sleep(max(self.arrivals.pop(i) - time.perf_counter(), 0))
        return found
