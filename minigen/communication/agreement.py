"""What all ranks must have in common, and what rank 0 does for all of them.

Errors that are raised here are raised on all ranks at once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from minigen import errors
from minigen.communication.world import World
from minigen.errors import DistributedError

SHOWN = 3  # differences in a message


def refuse_differences(world: World, facts: Mapping[str, Any], remedy: str) -> None:
    """DistributedError on all ranks, if one of the facts (JSON) is not the same on all of them."""
    if world.size == 1:
        return
    all_facts = world.gather(facts)
    for rank, other in enumerate(all_facts):
        names = [name for name in facts if other.get(name) != all_facts[0].get(name)]
        if names:
            found = [
                f"{name} is {other.get(name)} on rank {rank}, {all_facts[0].get(name)} on rank 0"
                for name in names[:SHOWN]
            ]
            more = f" (and {len(names) - SHOWN} more)" if len(names) > SHOWN else ""
            raise DistributedError(f"{'; '.join(found)}{more}: {remedy}")


def first_for_all(world: World, work: Callable[[], Any]) -> Any:
    """The result (JSON) of work(), which rank 0 alone does; an error of minigen, on all ranks."""
    if world.size == 1:
        return work()
    result, error = None, None
    if world.rank == 0:
        try:
            result = work()
        except (errors.CheckpointError, errors.DatasetError) as failure:
            error = failure
    found = world.share([error and type(error).__name__, str(error), result])
    if found[0]:
        raise error or getattr(errors, found[0])(found[1])
    return found[2]
