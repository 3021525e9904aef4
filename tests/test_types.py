"""What type checkers read: the stub of the ops says what the ops are."""

from op_stubs import FOLDER, stubs


def test_the_stub_of_the_ops_is_that_of_the_ops():
    written = (FOLDER / "__init__.pyi").read_text(encoding="utf-8")
    assert written == stubs(), "python tests/op_stubs.py > minigen/ops/__init__.pyi"
