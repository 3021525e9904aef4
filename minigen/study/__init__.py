"""Seeing a run: its steps, its gradient as a program, its memory, its time."""

from minigen.study.recording import Recording, record

__all__ = ["Recording", "record"]
