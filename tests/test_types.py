"""What type checkers read: the stubs of the ops say what the ops are."""

import pytest
from op_stubs import FOLDER, SUBJECTS, stubs


@pytest.mark.parametrize("stem", SUBJECTS)
def test_the_stubs_of_the_ops_are_those_of_the_ops(stem):
    written = (FOLDER / f"{stem}.pyi").read_text(encoding="utf-8")
    assert written == stubs(stem), "run: python tests/op_stubs.py"
