"""Shared by the examples: flags and data, a run that can stop and resume, captured steps."""

from minigen.training.cuda_graphs import capture
from minigen.training.flags import (
    argument_parser,
    nonnegative_float,
    positive_int,
    run_example,
)
from minigen.training.image_sets import image_data
from minigen.training.ranks import distribute
from minigen.training.results import SavedRun, load_run, saved_run
from minigen.training.run import Run
from minigen.training.sound_sets import padded_spectrograms, played, sound_data, spectrograms

__all__ = [
    "Run",
    "SavedRun",
    "argument_parser",
    "capture",
    "distribute",
    "image_data",
    "load_run",
    "nonnegative_float",
    "padded_spectrograms",
    "played",
    "positive_int",
    "run_example",
    "saved_run",
    "sound_data",
    "spectrograms",
]
