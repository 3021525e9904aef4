"""What the examples share: their flags and their data, and a run that can stop and go on."""

from minigen.training.flags import argument_parser, count, image_data, number, run_example
from minigen.training.run import Run
