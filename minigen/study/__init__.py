"""Seeing a run: its steps, its gradient as a program, its memory, its time."""

from minigen.study.recording import Recording, record
from minigen.study.watching import Watch, watch

__all__ = ["Recording", "Watch", "record", "watch"]
