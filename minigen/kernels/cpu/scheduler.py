"""Matrix products for the thread pool: queues of tasks, workers that serve them, deferred products.

Urgent products are waited for: the caller computes their tasks together with the workers.
Deferred ones, of weights' gradients, are computed by workers while the caller runs Python, and
finished at the end of the backward pass. The queues are in `task_queue.py`.
"""

import os
import threading
from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from minigen.kernels.cpu.gemm import N_BLOCK, workspace_for
from minigen.kernels.cpu.task_queue import POLLING, Product, TaskQueue, gemm_pointer, serve_tasks
from minigen.kernels.cpu.tiles import K_BLOCK
from minigen.parallel import pool

MAX_DEFERRED = 3  # unfinished products: the operands that they keep alive take memory


class Scheduler:
    """Hands products of one dtype to the pool. One thread at a time uses it, holding its lock."""

    def __init__(self, dtype: np.dtype, uses_workers: bool = True):
        self.dtype, self.uses_workers, self.lock = dtype, uses_workers, threading.Lock()
        self.process = os.getpid()
        self.workspace, self.of_worker = self._new_workspace(), threading.local()
        function = gemm_pointer(self.workspace)
        self.urgent, self.deferred = TaskQueue(function), TaskQueue(function)

    def _new_workspace(self):
        """Memory in which one thread computes tasks of any product."""
        return workspace_for(self.dtype, K_BLOCK, N_BLOCK)

    def run(self, products: Sequence[Product], arrays: Any, calls: Sequence[tuple]) -> bool:
        """Compute products of arrays and, meanwhile, call function(*args) for each of calls.

        Returns False, and does nothing, if another thread uses this scheduler.
        """
        if self.lock.locked():
            return False
        with self.lock:
            workers = self._request_workers(sum(len(product.parts) for product in products))
            try:
                for product in products:
                    self.urgent.enqueue(product, arrays, self.workspace)
                pool.wake_sleeping(workers)
                for function, *args in calls:
                    function(*args)
            finally:
                self.urgent.finish(0, self.workspace)
        return True

    def defer(self, product: Product, arrays: Any) -> bool:
        """Queue a product that is done when `finish_deferred` returns; False as for `run`."""
        if self.lock.locked():
            return False
        with self.lock:
            workers = self._request_workers(1 + len(product.parts))  # the caller computes none
            self.deferred.enqueue(product, arrays, self.workspace)
            pool.wake_sleeping(workers)
            self.deferred.finish(MAX_DEFERRED, self.workspace)
        return True

    def finish_deferred(self) -> None:
        """Compute what is left of the deferred products."""
        if os.getpid() != self.process:
            raise RuntimeError(
                "a derivative rule has forked: its child has lost other threads' work"
            )
        with self.lock:
            self.deferred.finish(0, self.workspace)

    def _request_workers(self, tasks):
        """Have workers look for tasks, before that many are queued; the number of workers.

        The caller wakes them again when the tasks are queued: some may have looked before, and
        sleep.
        """
        workers = min(pool.get_num_threads(), tasks) - 1 if self.uses_workers else 0
        if workers:  # also if all are awake: the caller may have moved to the core of one of them
            pool.wake(workers, int(self.urgent.memory[POLLING]), self.serve)
        return workers

    def serve(self, events: array, seen: int) -> None:
        """What a worker of the pool calls while it has no job; see `task_queue.serve_tasks`."""
        events = np.frombuffer(events, np.int64)
        if not hasattr(self.of_worker, "workspace"):  # kept: a new one is megabytes, at each wake
            self.of_worker.workspace = self._new_workspace()
        workspace = self.of_worker.workspace
        serve_tasks(self.urgent.memory, self.deferred.memory, events, seen, workspace)


@cache
def scheduler_for(dtype: np.dtype) -> Scheduler:
    """The scheduler of all products of a dtype in this process."""
    return Scheduler(dtype)


if hasattr(os, "register_at_fork"):  # a child has no workers, and queues that may be inconsistent
    os.register_at_fork(after_in_child=scheduler_for.cache_clear)
