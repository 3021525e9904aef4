"""Training on several processes and machines: optimizers that share gradients or weights."""

from minigen.communication.launch import start
from minigen.communication.world import World
from minigen.distributed.synchronous import Synchronous

__all__ = ["Synchronous", "World", "start"]
