"""A sample of what PyTorch's users type gives in minigen what it gave in PyTorch.

`python benchmarks/pytorch_idioms.py --write` ran all of them in both and stored PyTorch's results.
"""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))
import idioms  # noqa: E402
from pytorch_idioms import engine_of_minigen  # noqa: E402

KEPT = json.loads((FOLDER.parent / "tests" / "fixtures" / "pytorch_idioms.json").read_text())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", KEPT)
def test_an_idiom_of_pytorch_gives_pytorchs_result(code):
    assert idioms.agree(idioms.stored(idioms.run(code, engine_of_minigen())), KEPT[code])


def test_there_are_enough_idioms_and_each_once():
    codes = [code for name in idioms.FILES for code in idioms.idioms(name)]
    assert len(codes) == len(set(codes)) >= 500
