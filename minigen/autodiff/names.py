"""PyTorch's names and what they are here: keywords of ops, and calls that mean something else.

Names whose meaning is the same exist as synonyms. For other calls this table has the expression to
write, which errors show; `left_out.py` has one for names that do not exist here. The page
PYTORCH.md shows them all.
"""

from collections.abc import Collection

# PyTorch's keywords, and ours in order of preference: the first that the op has.
KEYWORDS = {
    "dim": ("axis",),
    "dims": ("axis", "axes", "reps"),
    "keepdim": ("keepdims",),
    "input": ("x", "a", "xs"),
    "other": ("b",),
    "mat2": ("b",),
    "tensors": ("xs",),
    "exponent": ("b",),
    "p": ("ord",),
    "diagonal": ("k",),
    "shifts": ("shift",),
    "size": ("shape",),
    "correction": ("ddof",),
    "unbiased": ("ddof",),  # True is 1
    "indices": ("index",),
    "generator": ("rng",),
    "end": ("stop",),
    "steps": ("num",),
    "fill_value": ("value",),
    "gradient": ("cotangent",),
    "grad_outputs": ("cotangents",),
    "f": ("path",),
}

# Calls that would mean something else here. They are refused with these hints: where a keyword is
# PyTorch's, and wherever the call is no valid call here.
CALLS = {
    "max": "max(x, axis) gives the values, argmax(x, axis) the indices, maximum(a, b) the larger",
    "min": "min(x, axis) gives the values, argmin(x, axis) the indices, minimum(a, b) the smaller",
    "var": "give ddof=1 to divide by n - 1, PyTorch's default, or ddof=0 for n, NumPy's",
    "std": "give ddof=1 to divide by n - 1, PyTorch's default, or ddof=0 for n, NumPy's",
    "split": "split(x, parts, axis) and chunk(x, parts, dim) take the number of parts, "
    "split(x, indices, axis) where to cut; PyTorch's takes the length of parts",
    "transpose": "transpose(x, axes) takes the order of all axes; to exchange two of them write "
    "swapaxes(x, axis1, axis2)",
    "repeat": "repeat(x, n, axis) repeats each element, as repeat_interleave; copies side by side "
    "are tile(x, reps)",
    "where": "nonzero(condition, as_tuple=True) gives the indices where it is true",
    "pad": "nn.functional.pad(x, pad) has PyTorch's order, from the last axis back; "
    "here it is ((before, after), ...) from the first axis on",
    "scatter_add": "scatter_add(x, index, updates) takes any NumPy index; PyTorch's index along "
    "one axis is (*indices of the other axes, index)",
    "add": "for alpha=c write x + c * y",
    "subtract": "for alpha=c write x - c * y",
    "divide": "for rounding_mode='floor' write x // y",
}
# What raises no error and means something else: what is typed, PyTorch's and our meaning, and what
# to write. Only these stay silent, since each is a call that users of NumPy write as well.
TRAPS = (
    ("x.std(), x.var(1)", "divides by n - 1", "divides by n", "x.std(ddof=1)"),
    ("x.max(1)[1], x.min(1)[1]", "the indices", "entry 1 of the values", "x.argmax(1)"),
    ("x.split(2), mg.split(x, 2)", "parts of length 2", "2 parts", "x.chunk(parts)"),
    ("x.repeat(2), x.repeat(2, 1)", "copies side by side", "each element twice", "x.tile((2, 1))"),
    ("nn.Upsample(8)", "to 8 x 8", "8 times as large", "nn.Upsample(size=8)"),
    ("mg.pad, mg.one_hot (and F = mg.ops)", "last axis first; int64", "first axis first; float32",
     "import minigen.nn.functional as F"),
    ("x.data", "a tensor", "the NumPy or CuPy array", "x.detach()"),
    ("for x, y in DataLoader(...)", "tensors", "arrays; layers take them", "mg.tensor(x)"),
)  # fmt: skip
# With PyTorch's keyword for the axis these mean something else: that call is refused.
REFUSED_WITH_DIM = {"max", "min", "var", "std", "split"}
_DDOF = {"correction", "unbiased", "ddof"}  # unless one of these says which variance is meant
# Keywords that no op takes.
OTHER_KEYWORDS = {
    "dtype": "convert with .astype(dtype)",
    "out": "tensors are not written to: use the result",
    "inplace": "tensors are not written to: use the result",
    "alpha": "multiply the second argument yourself",
    "rounding_mode": "write x // y for 'floor'",
    "non_blocking": "leave it out",
    "memory_format": "leave it out",
    "map_location": "leave it out: tensors are loaded to the CPU, and .to(device) moves them",
    "weights_only": "leave it out: files hold tensors and text alone",
    "only_inputs": "leave it out",
}


def translated(op: str, named: dict, names: Collection[str]) -> dict:
    """named with our keywords, of names, in place of PyTorch's.

    TypeError if one is given twice, if it is unknown, or if the call means something else here.
    """
    found = {}
    for name, value in named.items():
        if value is None and name in ("out", "dtype") and name not in names:
            continue  # np.sum(x) is x.sum(axis=None, dtype=None, out=None), and so are its like
        ours = name
        if name not in names:
            ours = next((k for k in KEYWORDS.get(name, ()) if k in names), name)
            if ours not in names and name in OTHER_KEYWORDS:
                raise TypeError(f"{op}() has no argument {name!r}: {OTHER_KEYWORDS[name]}")
            if ours in found or (ours != name and ours in named):
                raise TypeError(f"{op}() got {name!r} and {ours!r}, which are one argument")
            if name == "dim" and op in REFUSED_WITH_DIM and not named.keys() & _DDOF:
                raise TypeError(f"{op}() with dim= is PyTorch's, and another op: {CALLS[op]}")
        found = {**found, ours: value}
    return found


# Ops whose errors about shapes come of calls that mean something else in PyTorch.
OF_SHAPES = ("repeat", "split", "pad")


def with_hint(message: str, op: str) -> str:
    """The message of a TypeError about the arguments of op, with the hint for it, if any."""
    return f"{message}; {CALLS[op]}" if op in CALLS else message
