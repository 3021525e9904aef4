"""Every statement of minigen that writes into an array, and the reason why that is safe.

Kernels are left out: what they may write to, `kernel_draws` says, and their tests hold them to it.
"""

import ast
from pathlib import Path

import minigen as mg

PACKAGE = Path(mg.__file__).parent
RETURNED = "an array that the function makes and returns"
OWN = "an array that the function makes for itself"
PARAMETER = "the two writers: a parameter, or the optimizer's own state"
WRITES = {
    "autodiff/cotangents.py": {"g.fill(1)": OWN},
    "autodiff/fast_walk.py": {
        "self[vertex] += g": "a sum that the walk created: vertex is in `owned`",
        "self.sums[leaf] += g": "created by the walk, or by an op with returns_new: in `owned`",
    },
    "nn/module.py": {
        "x.data[...] =": "parameters and buffers, which own their memory; versions count"
    },
    "nn/embedding.py": {"values[self.padding_idx] = 0": "drawn here, then copied"},
    "nn/init.py": {"x.data[...] =": "a parameter that no op made; versions count"},
    "nn/norm.py": {"self.num_batches_tracked.data += 1": "a buffer, which owns its memory"},
    "nn/utils/rnn.py": {"index[_positions(sequence, data)] =": OWN},
    "nn/utils/vectors.py": {"p.data[...] =": "parameters, which own their memory; versions count"},
    "ops/indexing.py": {"out[index] = updates": RETURNED, "add.at(out, index, updates)": RETURNED},
    "ops/interpolation.py": dict.fromkeys(["weights[rows, before]", "weights[rows, after]"], OWN),
    "ops/pooling.py": {"index[:, u * OW + v] =": OWN},
    "ops/joining.py": {"y[_inside(pad_width, shape)] = x": RETURNED},
    "ops/normalization.py": {
        "running_mean += momentum *": "the two writers: running statistics; versions count",
        "running_var += momentum *": "the two writers: running statistics; versions count",
    },
    "ops/ranks.py": {
        "running += (momentum *": "the two writers: running statistics; versions count",
        "rows[world.rank] = xp.concatenate": OWN,
    },
    "ops/sequences.py": {
        "state[0] = first": RETURNED,
        "gy[ends - 1, columns] += gh": "made by zero_padded or zeros_like",
    },
    "ops/recurrent.py": {
        "gz[t] = gh": OWN,
        "h[t + 1] = ": RETURNED,
        "gh += gy[t]": "a copy of the cotangent, or a product made here",
    },
    "ops/shape.py": {"y.setflags(write=False)": RETURNED},
    "optim/adam.py": dict.fromkeys(
        ["m[...] =", "v[...] =", "largest[...] =", "p -= lr", "p -= decay"], PARAMETER
    ),
    "optim/average.py": dict.fromkeys(["mean.data += rate", "mean.data[...] ="], PARAMETER),
    "optim/optimizer.py": {"bucket.settings[:] =": "the optimizer's own"},
    "optim/rmsprop.py": dict.fromkeys(["s[...] =", "m[...] =", "v[...] =", "p -= lr"], PARAMETER),
    "optim/sgd.py": dict.fromkeys(["v[...] =", "v += group", "p -= lr"], PARAMETER),
    "variates.py": {"keys[array_module(u).asarray(p == 0)] = np.inf": OWN},
    "models/pixel_cnn.py": {
        "x[:, :rows] =": RETURNED,
        "x[:, row, column] =": RETURNED,
        "v[0][-1] =": "a list, not an array",
        "h[0][-1] =": "a list, not an array",
    },
    "models/vae.py": {"self.decoder[2] =": "a module in a Sequential, not an array"},
    "models/seq2seq.py": dict.fromkeys(
        ["scores[:, 0] =", "logp[ended] =", "logp[ended, self.pad] ="], OWN
    ),
}
FOLDERS = ("autodiff", "nn", "ops", "optim", "models")


def statements_that_may_write(path):
    """The lines that assign to elements, add in place, or call what writes."""
    text = path.read_text()
    lines, found = text.splitlines(), set()
    for node in ast.walk(ast.parse(text)):
        targets = node.targets if isinstance(node, ast.Assign) else []
        elements = [t for t in targets if isinstance(t, ast.Subscript)]
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        writes = called and (
            node.func.attr in ("fill", "put", "at", "setflags", "copyto", "resize")
            or any(k.arg == "out" and "np." in ast.unparse(node.func) for k in node.keywords)
        )
        if isinstance(node, ast.AugAssign) or elements or writes:
            found.add(lines[node.lineno - 1].strip())
    return found


NOT_ARRAYS = {  # targets of such statements that are dicts, lists, numbers and texts
    *("self.sums[leaf] = ", "sums[vertex] =", "self[vertex] = ", "found[vertex] =", "depths["),
    *("order[", "must_save[", 'stand_ins["y"]', "REGISTRY[", "found[i] ="),
    *("named[", "row[", "self[name]", "parts +=", '_buffers"', '_parameters"'),
    *("wrong +=", "arrays[name] =", "version", "text +=", "shapes |=", "self.shapes["),
    *("self.weights[", "self.flops[", "self.bytes[", "positions[axis]", "axis +=", "terms[i]"),
    *("lengths[letter]", "n -= half", "self.state[i]", "start +=", "self._counter +="),
    *(
        "hooks[",
        "windows -=",
        "cut[axis] =",
        "saved |=",
        "lines +=",
        "uses[",
        "positions[",
        "state[key] =",
        "found[key] =",
        'found["betas"] =',
        "self.params +=",
        "cache[:] =",
        "layers +=",
        "tracked +=",
        "found[id(node)] =",
        "shapes[id(",
        "stack +=",
    ),
    *(
        "pairs[-1 - i] =",
        "number +=",
        "gains[",
        "gains |=",
        "_warned_of_dtype",
        "params +=",
        'group["',
        "self.num_bad_epochs +=",
    ),
    *("self.group_of +=", "self.state +=", "settings |=", "copied[key] ="),
    *("self.made[", "self.unused[", "count += frame"),
}


def test_every_statement_that_writes_into_an_array_is_listed_with_its_reason():
    paths = [p for folder in FOLDERS for p in sorted((PACKAGE / folder).rglob("*.py"))]
    unknown, seen = [], set()
    for path in [*paths, PACKAGE / "random.py", PACKAGE / "variates.py", PACKAGE / "tensors.py"]:
        name = path.relative_to(PACKAGE).as_posix()
        for line in statements_that_may_write(path):
            reasons = [text for text in WRITES.get(name, ()) if text in line]
            seen.update((name, text) for text in reasons)
            if not reasons and not any(text in line for text in NOT_ARRAYS):
                unknown.append(f"{name}: {line}")
    assert not unknown, "say in WRITES why these are safe"
    assert seen == {(name, text) for name, texts in WRITES.items() for text in texts}
