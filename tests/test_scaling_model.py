"""The model of a step on many ranks, against timelines worked out by hand and against limits."""

import itertools
import math
import random
import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from scaling_model import (
    Network,
    Reduction,
    Work,
    cheapest,
    fitted,
    halving_doubling,
    in_machines,
    local_steps,
    median_of_slowest,
    on_network,
    on_shared_cores,
    recursive_doubling,
    ring,
    slowdown_by_spread,
    step,
    work_by_rows,
)
from scaling_plan import METHODS, NETWORKS, PARAMETERS, Machine, on_a100, stored, strong, weak

ALGORITHMS = ring, recursive_doubling, halving_doubling, cheapest
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda f: f.__name__)
NETWORK = Network(latency=1.0, bandwidth=10.0)
# Forward 2; buckets complete 1 and 3 after that; the walk ends after 4; update 1.
WORK = Work(2.0, (1.0, 3.0), 4.0, 1.0, (10, 10))


def drawn_work(rng):
    ready = sorted(rng.uniform(0, 5) for _ in range(rng.randint(1, 6)))
    sizes = tuple(rng.randint(1, 10**6) for _ in ready)
    return Work(rng.uniform(0, 3), tuple(ready), ready[-1] + rng.random(), rng.random(), sizes)


def drawn_reductions(rng, work):
    draw = lambda: rng.choice([0.0, rng.uniform(0, 3)])
    return [Reduction(draw(), draw(), draw()) for _ in work.sizes]


def test_the_sums_of_four_ranks_take_what_the_papers_say():
    assert ring(40, 4, NETWORK) == 6 * (1 + 1)  # six messages of a quarter
    assert recursive_doubling(40, 4, NETWORK) == 2 * (1 + 4)  # two of the whole
    assert halving_doubling(40, 4, NETWORK) == (1 + 2) + (1 + 1) + (1 + 1) + (1 + 2)


def test_trees_of_other_numbers_of_ranks_need_two_more_messages():
    for algorithm in (recursive_doubling, halving_doubling):
        assert algorithm(40, 7, NETWORK) == algorithm(40, 4, NETWORK) + 2 * (1 + 4)


@each_algorithm
def test_one_rank_sends_nothing_and_a_perfect_network_takes_no_time(algorithm):
    assert algorithm(10**9, 1, NETWORK) == 0
    assert algorithm(10**9, 64, Network(0.0, math.inf)) == 0


@each_algorithm
def test_more_bytes_latency_or_ranks_never_take_less(algorithm):
    for power, size in itertools.product(range(12), (1, 10**3, 10**9)):
        cost = algorithm(size, 2**power, NETWORK)
        assert algorithm(2 * size, 2**power, NETWORK) >= cost
        assert algorithm(size, 2 ** (power + 1), NETWORK) >= cost
        assert algorithm(size, 2**power, Network(2.0, 10.0)) >= cost
        assert algorithm(size, 2**power, Network(1.0, 5.0)) >= cost


def test_a_tree_is_faster_for_few_bytes_and_a_ring_for_many():
    # For 8 ranks they cross where 14 + 1.75 n / 10 = 3 + 3 n / 10, at n = 88.
    assert recursive_doubling(87, 8, NETWORK) < ring(87, 8, NETWORK)
    assert recursive_doubling(89, 8, NETWORK) > ring(89, 8, NETWORK)
    assert ring(88, 8, NETWORK) == pytest.approx(recursive_doubling(88, 8, NETWORK))
    assert cheapest(1, 8, NETWORK) == recursive_doubling(1, 8, NETWORK)


def test_machines_sum_inside_before_they_send():
    inside = Network(0.1, 100.0)
    cost = in_machines(4, inside, ring)
    assert cost(40, 4, NETWORK) == ring(40, 4, inside)
    assert cost(40, 16, NETWORK) == ring(40, 4, inside) + ring(40, 4, NETWORK)
    assert cost(40, 16, NETWORK) < ring(40, 16, NETWORK)


def test_a_bucket_is_ready_with_the_last_gradient_in_it():
    work = Work(1.0, (1.0, 2.0, 3.0, 4.0, 5.0), 6.0, 1.0, (3, 4, 9, 1, 2))
    assert work.in_buckets(6) == Work(1.0, (2.0, 3.0, 5.0), 6.0, 1.0, (7, 9, 3))
    assert work.in_buckets(1) == work
    assert work.in_buckets(10**9).sizes == (19,)


def test_the_timeline_of_a_step_worked_out_by_hand():
    sends = [Reduction(link=3.0), Reduction(link=3.0)]
    # The first bucket is on the link from 3 to 6, the second waits for it: 6 to 9; the walk ends
    # at 6, the update at 10.
    done = step(WORK, sends)
    assert (done.seconds, done.communication, done.exposed) == (10.0, 6.0, 3.0)
    assert done.hidden == 0.5
    assert step(WORK, sends, overlap=False) == (13.0, 6.0, 6.0)
    # Short sends: only the last one, 5 to 6, ends with the walk.
    assert step(WORK, [Reduction(link=1.0)] * 2).seconds == WORK.seconds


def test_what_a_reduction_takes_of_the_core_is_never_hidden():
    # Half a second before each send and after each arrival, so the walk ends at 7: the first
    # bucket is on the link from 3.5 to 4.5, the second from 6 to 7.
    done = step(WORK, [Reduction(0.5, 1.0, 0.5)] * 2)
    assert done.seconds == WORK.seconds + 4 * 0.5
    assert done.hidden == 0.5


def test_without_communication_a_step_is_the_work():
    for overlap in (False, True):
        done = step(WORK, on_network(WORK, 1, NETWORK), overlap)
        assert done == (WORK.seconds, 0, 0) and done.hidden == 1


def test_overlap_is_never_slower_and_never_faster_than_the_work_or_the_link():
    rng = random.Random(0)
    for _ in range(500):
        work = drawn_work(rng)
        reductions = drawn_reductions(rng, work)
        done, blocking = step(work, reductions), step(work, reductions, overlap=False)
        busy = sum(r.before + r.after for r in reductions)
        assert done.seconds <= blocking.seconds + 1e-12
        assert done.seconds >= work.seconds + busy - 1e-12
        assert done.seconds >= sum(r.link for r in reductions)
        assert -1e-9 <= done.hidden <= 1


def test_a_slower_network_never_makes_a_step_faster():
    rng = random.Random(1)
    for _ in range(200):
        work = drawn_work(rng)
        reductions = drawn_reductions(rng, work)
        slower = [r._replace(link=2 * r.link, before=1.5 * r.before) for r in reductions]
        assert step(work, slower).seconds >= step(work, reductions).seconds


def test_local_steps_share_one_sum_among_them():
    sends = [Reduction(link=3.0)] * 2
    assert local_steps(WORK, sends, 1) == step(WORK, sends, overlap=False)
    assert local_steps(WORK, sends, 6).seconds == WORK.seconds + 1
    assert local_steps(WORK, sends, 10**9).seconds == pytest.approx(WORK.seconds)


def test_ranks_beyond_the_cores_take_turns():
    assert on_shared_cores(WORK, 2, 2) == WORK
    assert on_shared_cores(WORK, 4, 2, 1.1).seconds == pytest.approx(2.2 * WORK.seconds)
    assert on_shared_cores(WORK, 4, 2).ready == (2.0, 6.0)


def test_a_line_is_fitted_to_times_and_has_no_negative_part():
    line = fitted([1, 2, 4], [5.0, 7.0, 11.0])
    assert line == pytest.approx((3, 2)) and line.at(8) == pytest.approx(19)
    assert fitted([1, 2], [1.0, 3.0]).fixed == 0
    assert fitted([1, 2], [3.0, 1.0]).each == 0


def test_the_work_for_other_rows_follows_from_what_was_measured():
    at = lambda rows: Work(1.0 + rows, (rows, 2.0 * rows), 2.0 * rows, 3.0, (4, 8))
    work = work_by_rows({2: at(2), 8: at(8)})
    assert work(32)[:1] + work(32)[2:4] == pytest.approx((33.0, 64.0, 3.0))
    assert work(32).ready == pytest.approx((32.0, 64.0)) and work(32).sizes == (4, 8)


def test_the_slowest_of_ranks():
    assert median_of_slowest([3.0, 1.0, 2.0], 1) == 1.0
    assert median_of_slowest([2.0] * 9, 4) == 1.0
    samples = [random.Random(0).random() + 1 for _ in range(2_000)]
    slowest = [max(random.Random(i).choices(samples, k=3)) for i in range(2_000)]
    expected = statistics.median(slowest) / statistics.median(samples)
    assert median_of_slowest(samples, 3) == pytest.approx(expected, rel=0.01)
    draws = random.Random(0).gauss
    means = [max(draws(1, 0.1) for _ in range(8)) for _ in range(4000)]
    assert slowdown_by_spread(0.1, 8) == pytest.approx(sum(means) / 4000, rel=0.005)
    assert slowdown_by_spread(0.1, 1) == slowdown_by_spread(0.0, 4096) == 1
    assert slowdown_by_spread(0.1, 8, every=4) - 1 == pytest.approx(
        (slowdown_by_spread(0.1, 8) - 1) / 2
    )


def test_the_plan_for_gpt2_has_plausible_efficiencies():
    core = work_by_rows(stored())
    assert sum(core(1).sizes) == 4 * PARAMETERS
    for machine in (Machine(core, 1, 2**18), Machine(on_a100(core), 12, 2**24)):
        for scaling, network, ranks in itertools.product(
            (weak, strong), NETWORKS.values(), (8, 512, 4096)
        ):
            after, overlap, local_16, local_500 = (
                scaling(machine, ranks, network, method) for method in METHODS
            )
            assert 0 < after <= overlap <= 1 and after <= local_16 <= local_500 <= 1
