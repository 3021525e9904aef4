"""What the examples share: their flags and data, a run that can stop and go on, captured steps."""

from minigen.training.flags import argument_parser, count, image_data, number, run_example
from minigen.training.recording import capture
from minigen.training.run import Run
