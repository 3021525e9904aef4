"""A moving average of a model's weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

The last steps of a training jump around a minimum; the mean of many of them is nearer to it.
Generators are sampled with it (Ho et al. 2020):

    average = optim.Average(model, decay=0.999)
    ...after each step of the optimizer: average.update(step)
    average.model(x)
"""

import copy
from typing import Generic, TypeVar

from minigen.autodiff.graph import count_write
from minigen.errors import ShapeError
from minigen.nn import Module
from minigen.tensors import Tensor

Model = TypeVar("Model", bound=Module)


class Average(Generic[Model]):
    """`model`, a copy of the given one in evaluation mode, has the moving means of its weights.

    decay: the factor of the mean at each update, in [0, 1). A run saves `model` beside the model
    itself, for instance as ModuleDict({"net": net, "average": average.model}).
    """

    def __init__(self, model: Model, decay: float = 0.999):
        if isinstance(decay, bool) or not isinstance(decay, float | int) or not 0 <= decay < 1:
            raise ValueError(f"Average: decay must be a number in [0, 1), got {decay!r}")
        self.source, self.decay = model, float(decay)
        self.model = copy.deepcopy(model)
        self.model.eval()
        for p in self.model.parameters():
            p.requires_grad_(False)

    def update(self, step: int) -> None:
        """mean += (1 - d) (weight - mean), after step number `step`, from 0 on.

        d is decay, but at most (1 + step) / (10 + step): so an early mean forgets the weights that
        training began with. Buffers, such as batch norm's statistics, and integers are copied.
        """
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        means, weights = self.model.named_parameters(), self.source.named_parameters()
        for (name, mean), (_, weight) in zip(means, weights, strict=True):
            _check(name, mean, weight)
            mean.data += rate * (weight.data - mean.data)
            count_write(mean.node)
        for mean, buffer in zip(self.model.buffers(), self.source.buffers(), strict=True):
            mean.data[...] = buffer.data
            count_write(mean.node)


def _check(name: str, mean: Tensor, weight: Tensor) -> None:
    if mean.shape != weight.shape:
        raise ShapeError(
            f"Average: {name} has shape {weight.shape} now and {mean.shape} before; make a new "
            "Average after a change of the model"
        )
