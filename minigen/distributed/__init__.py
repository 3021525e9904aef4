"""Training on several processes and machines: optimizers that share gradients or weights."""

from minigen.communication.launch import start
from minigen.communication.world import World
from minigen.distributed.asynchronous import Asynchronous
from minigen.distributed.local_steps import LocalSteps
from minigen.distributed.synchronous import Synchronous

__all__ = ["Asynchronous", "LocalSteps", "Synchronous", "World", "start"]
