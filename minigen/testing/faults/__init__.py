"""Faults: wrong derivatives planted on purpose, one at a time, that the checks must find.

Reading order: `planting` (what a fault is, and how it is put into an op); `memory_misuse` and
`any_rule` (mistakes that every rule can have); `elementwise`, `shapes`, `layers` and `ties`
(mistakes of single ops); `listing` (all of them). `benchmarks/mutants.py` counts which are found.
"""

from minigen.testing.faults.listing import catalogue
from minigen.testing.faults.planting import PlantedFault, planted

__all__ = ["PlantedFault", "catalogue", "planted"]
