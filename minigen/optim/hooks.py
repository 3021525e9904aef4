"""Hooks of an optimizer, which run before or after each step."""

from collections.abc import Callable
from typing import Any

from minigen.nn.hooks import HookHandle


class StepHooks:
    """The base of `Optimizer`: hooks by number, in the order in which they were registered."""

    def __init__(self):
        self.before_step: dict[int, Callable] = {}
        self.after_step: dict[int, Callable] = {}

    def register_step_pre_hook(self, hook: Callable) -> HookHandle:
        """Call hook(optimizer, args, kwargs) before each step, with the arguments of step.

        `remove()` of the handle that is returned takes the hook away. What it returns is ignored.
        """
        return HookHandle(self.before_step, hook)

    def register_step_post_hook(self, hook: Callable) -> HookHandle:
        """Call hook(optimizer, args, kwargs) after each step."""
        return HookHandle(self.after_step, hook)

    def run_hooks(self, hooks: dict[int, Callable], gradients: Any) -> None:
        """Call the hooks that run before or after a step with these gradients."""
        for hook in list(hooks.values()):
            hook(self, (gradients,), {})
