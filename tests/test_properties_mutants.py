"""The checker is checked: wrong derivatives, planted one at a time, that it must reject."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen.autodiff.primitives import REGISTRY
from minigen.testing import GradcheckError, causes, gradcheck
from minigen.testing.cases import DIFFERENTIABLE, draw_call
from minigen.testing.choices import Choices
from minigen.testing.faults import catalogue, planted
from minigen.testing.properties import check_call

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "mutants.py"
TIMES = Counter(fault.mistake for fault in catalogue())
OF_ONE_OP = [fault for fault in catalogue() if TIMES[fault.mistake] == 1]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_right_derivative_is_accepted(name):
    for seed in range(3):
        call = draw_call(name, Choices(seed))
        check_call(call, np.random.default_rng(seed))
        gradcheck(call, call.arrays)


@pytest.mark.parametrize("fault", OF_ONE_OP, ids=str)
def test_a_mistake_of_one_op_is_rejected(fault):
    with planted(fault), np.errstate(all="ignore"):
        for seed in range(40):
            call = draw_call(fault.public_op, Choices(seed))
            try:
                gradcheck(call, fault.at or call.arrays)
                check_call(call, np.random.default_rng(seed))
            except Exception:  # a wrong rule may fail in any way
                return
    pytest.fail(f"no check rejects {fault}")


def test_the_catalogue_is_large_and_of_many_kinds():
    faults = catalogue()
    assert len(faults) >= 1000
    assert len({fault.op for fault in faults}) >= 75
    assert {fault.cause for fault in faults} >= {
        *(causes.FACTOR, causes.SIGN, causes.BROADCAST, causes.TRANSPOSED, causes.SWAPPED),
        *(causes.ZERO, causes.KINK, causes.DTYPE, causes.HIGHER),
    }


def test_a_fault_is_gone_behind_its_with_block():
    fault = catalogue()[0]
    before = [(op.name, getattr(op, "rules", None)) for op in REGISTRY.values()]
    with pytest.raises(ZeroDivisionError), planted(fault):
        raise ZeroDivisionError
    assert before == [(op.name, getattr(op, "rules", None)) for op in REGISTRY.values()]


def test_a_sample_of_the_faults_is_rejected_named_and_explained(tmp_path):
    path = tmp_path / "rows.json"
    command = [sys.executable, str(SCRIPT), "--every", "27", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())
    share = lambda key: sum(row[key] for row in rows) / len(rows)
    assert len(rows) > 40
    assert share("the property suite") >= 0.99
    assert share("located") >= 0.95
    assert share("explained") >= 0.8
    weak = ("a cotangent of ones", "the first argument alone", "one entry, at 1e-2")
    assert max(map(share, weak)) < 0.85
    assert "names op and argument" in done.stdout


def test_gradcheck_names_the_op_the_argument_the_line_and_the_cause_in_a_module():
    fault = next(f for f in catalogue() if (f.op, f.argument, f.mistake) == ("linear", 1, "a sign"))
    model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.Tanh(), mg.nn.Linear(4, 2))
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    gradcheck(model, x)
    with planted(fault), pytest.raises(GradcheckError, match=r"0\.weight") as found:
        gradcheck(model, x)
    assert (found.value.fault.op, found.value.fault.argument) == ("linear", "weight")
    assert found.value.fault.cause == causes.SIGN
    assert "Sequential > Linear" in found.value.fault.where
    assert Path(__file__).name in str(found.value)
