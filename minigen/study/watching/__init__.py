"""The layers of a model over a training run, and warnings where one dies or explodes."""

from minigen.study.watching.watcher import Watch, watch

__all__ = ["Watch", "watch"]
