"""Random programs against an oracle that is not ours (properties 16 to 18)."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings

from minigen.testing import graph_properties, programs
from minigen.testing.choices import Choices
from minigen.testing.graph_draws import STEPS, draw_program
from minigen.testing.graphs import Ref

more = settings(max_examples=10 * settings().max_examples)

pytestmark = pytest.mark.usefixtures("each_walk")


@more
@given(programs())
def test_a_program_has_the_gradients_of_its_oracle_in_both_dtypes(program):
    graph_properties.equals_the_oracle(program, np.random.default_rng(0))
    graph_properties.float32_stays_close(program)


@given(programs())
def test_a_program_repeats_bit_for_bit_on_any_thread_and_with_its_graph_kept(program):
    graph_properties.repeats_bit_for_bit(program)


@given(programs())
def test_uses_of_one_tensor_add_up(program):
    graph_properties.uses_add_up(program)


def test_programs_are_what_they_say():
    rejected, names, sizes, shared = Counter(), Counter(), set(), 0
    for seed in range(120):
        program = draw_program(Choices(seed), rejected)
        names.update(step.name for step in program.steps)
        sizes.add(len(program.steps))
        used = Counter(x.index for step in program.steps for x in step.args if isinstance(x, Ref))
        shared += max(used.values()) > 1
        assert all(np.abs(x).max() <= 3 for x in program.inputs)
        assert len(program.weights) == len(program.inputs) + len(program.steps)
    assert min(sizes) == 3 and max(sizes) == 25
    assert len(names) >= 40 and len(STEPS) >= 45
    assert shared > 100
    assert rejected["step"] > rejected["steep"] + rejected["sensitive"]


def test_a_program_shows_its_calls():
    assert "v1 = " in str(draw_program(Choices(1)))
