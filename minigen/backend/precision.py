"""How a GPU multiplies float32 matrices."""

_matmul_precision = "highest"


def set_matmul_precision(precision: str) -> None:
    """How a GPU multiplies float32 matrices: "highest", or "high" for TF32.

    TF32 rounds the factors to 10 bits of mantissa and is several times faster.
    """
    global _matmul_precision
    if precision not in ("highest", "high"):
        raise ValueError(f"matmul precision must be 'highest' or 'high', got {precision!r}")
    _matmul_precision = precision


def get_matmul_precision() -> str:
    """What set_matmul_precision has set last; "highest" at the start."""
    return _matmul_precision
