"""An optimizer around another: the settings, the state and the hooks are those of the inner one."""

from collections.abc import Iterable, Mapping
from typing import Any

from minigen.communication.agreement import refuse_differences
from minigen.communication.world import World
from minigen.optim import Optimizer
from minigen.tensors import Tensor


class DistributedOptimizer(Optimizer):
    """The base of the optimizers of many processes: all but the step is the inner optimizer's.

    DistributedError on all ranks, if their parameters differ in number, shape, dtype or device.
    """

    def __init__(self, optimizer: Optimizer, world: World):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: expected an optimizer of minigen, got {optimizer!r}"
            )
        if isinstance(optimizer, DistributedOptimizer):
            raise TypeError(
                f"{type(self).__name__}: {optimizer!r} is wrapped for several processes already"
            )
        if not isinstance(world, World):
            raise TypeError(
                f"{type(self).__name__}: expected the world that distributed.start() returns, "
                f"got {world!r}"
            )
        found = {
            f"parameter {i}": f"{p.shape} {p.dtype} on {p.device.partition(':')[0]}"
            for i, p in enumerate(optimizer.params)
        }
        refuse_differences(
            world,
            {"the number of parameters": len(found), **found},
            "all ranks train the same model, on CPUs or on GPUs",
        )
        self.optimizer, self.world = optimizer, world

    param_groups = property(lambda self: self.optimizer.param_groups)  # type: ignore
    params = property(lambda self: self.optimizer.params)  # type: ignore
    group_of = property(lambda self: self.optimizer.group_of)  # type: ignore
    state = property(lambda self: self.optimizer.state)  # type: ignore
    defaults = property(lambda self: self.optimizer.defaults)  # type: ignore
    before_step = property(lambda self: self.optimizer.before_step)  # type: ignore
    after_step = property(lambda self: self.optimizer.after_step)  # type: ignore

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        self.optimizer.add_param_group(group)

    def step(self, gradients: Any = None) -> Any:
        return self.optimizer.step(gradients)

    def add_buffers(self, buffers: Iterable[Tensor]) -> None:
        """Tell the buffers of the model, such as running statistics: a run calls it.

        Ranks out of step have statistics of their own, and make means of them.
        """

    def synchronize(self) -> None:
        """Have all ranks hold the same weights: a run calls it at the end of an epoch."""

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.optimizer!r}, {self.world!r})"
