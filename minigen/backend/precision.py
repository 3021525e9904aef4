"""The precision with which a GPU multiplies float32 matrices."""

_matmul_precision = "highest"


def set_matmul_precision(precision: str) -> None:
    """Set the precision of float32 matrix products on a GPU: "highest", or "high" for TF32.

    TF32 rounds the factors to 10 bits of mantissa and is several times faster. ValueError for
    another name.
    """
    global _matmul_precision
    if precision not in ("highest", "high"):
        raise ValueError(f"matmul precision must be 'highest' or 'high', got {precision!r}")
    _matmul_precision = precision


def get_matmul_precision() -> str:
    """The precision that set_matmul_precision has set; "highest" by default."""
    return _matmul_precision
