"""Declaring ops, and recording their calls as nodes of the graph.

    @primitive(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, saves=("b", "a"))
    def multiply(a, b): ...

The function that results takes raw arrays and returns raw arrays; given a tensor it returns
tensors and, where a gradient may be asked for, adds a node to the graph.
"""

from collections.abc import Callable
from functools import wraps
from itertools import repeat

from minigen.autodiff import (
    Leaf,
    Node,
    Output,
    Spec,
    Traced,
    backprop,
    grad_mode,
    is_grad_enabled,
    trace_observer,
)
from minigen.backend import NOT_ARRAYS, checked
from minigen.explain import explained, scalar_as_array
from minigen.signatures import Signature

REGISTRY: dict[str, "Op"] = {}  # every op, filled while minigen is imported; _x is the core of x


class Op:
    """What is known of an op. `function` is what users call; `domain` is where tests look."""

    has_residuals = False  # whether forward returns (y, residuals)
    prepare = staticmethod(checked)  # maps the raw arguments before forward gets them

    def __init__(self, forward: Callable, domain: tuple[float, float] | None = None):
        self.forward, self.domain, self.signature = forward, domain, Signature(forward)
        self.name, self.function = self.signature.name, forward
        REGISTRY[forward.__name__] = self

    def __repr__(self) -> str:
        return f"<op {self.signature}>"


class Primitive(Op):
    """An op with a derivative rule for each array argument."""

    def __init__(self, forward, rules, saves="", prepare=None, domain=None):
        super().__init__(forward, domain)
        self.rules, self.prepare, names = rules, prepare or checked, self.signature.arrays
        if self.signature.variadic:
            self.needs = repeat({"": 0, "y": 1, "xs": ~1}[saves])
            return
        saves = [saves] * len(names) if isinstance(saves, str) else saves
        if not len(rules) == len(names) == len(saves):
            raise TypeError(f"{self.name} needs one rule, and one of `saves`, for each of {names}")
        # needs[i]: what rule i reads, as bits: 1 for y, 2 << k for argument k. A call keeps the
        # union over the arguments that are tracked: x * 2 with x tracked keeps the 2, not x.
        bits = {"y": 1} | {name: 2 << i for i, name in enumerate(names)}
        self.needs = [sum(bits[name] for name in names.split()) for names in saves]

    def pull(self, g, node, wanted, args, y, cls, create_graph):
        """The cotangents of the arguments that are wanted, None for the others."""
        if self.signature.variadic:
            (rule,) = self.rules
            pairs = enumerate(wanted)
            return [rule(g, y, i, *args, **node.static) if w else None for i, w in pairs]
        pairs = zip(wanted, self.rules)
        return [rule(g, y, *args, **node.static) if w and rule else None for w, rule in pairs]


class Fused(Op):
    """An op with a readable definition, a fast forward and one fast backward for all arguments."""

    has_residuals = True

    def __init__(self, forward, definition, backward, prepare=None):
        super().__init__(forward)
        self.definition, self.backward, self.prepare = definition, backward, prepare or checked
        self.needs = [~1] * len(self.signature.arrays)  # all but y: the definition may read any

    def pull(self, g, node, wanted, args, y, cls, create_graph):
        """The same as Primitive.pull, in one go."""
        if self.backward and not create_graph:
            return self.backward(g, node.residuals, wanted, *args, **node.static)
        # Trace the definition on stand-ins and walk that small graph alone. A stand-in is an
        # identity node over its argument: so a tensor that is two arguments gets two cotangents,
        # and the walk does not run on into the graph that the arguments came from.
        with grad_mode(True):
            inner = [_stand_in(x, w, cls) for x, w in zip(args, wanted)]
            result = self.definition(*inner, **node.static)
        pairs = zip(result, g) if type(result) is tuple else [(result, g)]
        roots = [(r.node, part) for r, part in pairs if part is not None and r.node is not None]
        inputs = [x.node if w else None for x, w in zip(inner, wanted)]
        stop = {x.node for x in inner if isinstance(x, Traced)}
        found = backprop(roots, set(inputs), cls, create_graph=create_graph, stop=stop)
        return [found.get(vertex) for vertex in inputs]


def primitive(
    *rules: Callable | None,
    saves: str | tuple[str, ...] = "",
    prepare: Callable[[list], list] | None = None,
    domain: tuple[float, float] | None = None,
) -> Callable:
    """Declare an op by its rules, one per array argument; it decorates the forward function.

    Rule i is called as rule(g, y, *arrays, **static) and returns the cotangent of array i; None
    marks an array without derivative. With several outputs g and y are tuples. A forward with
    *xs has one rule, which gets i after y. `saves` names what the rules read, "y" or arguments
    ("xs"): one string for all, or one for each rule. `prepare` maps the raw arguments before
    forward and rules see them; by default it checks dtypes. `domain` (low, high) is where tests
    of an elementwise op draw from. What a rule returns is a new array, a view or what it was given:
    the walk adds to new ones in place.
    """
    return lambda forward: recorded(Primitive(forward, rules, saves, prepare, domain))


def fused(
    definition: Callable,
    backward: Callable | None = None,
    prepare: Callable[[list], list] | None = None,
) -> Callable:
    """Declare an op that computes `definition`, a composition of other ops, in a faster way.

    The decorated forward returns (y, residuals). First-order gradients come from
    backward(g, residuals, wanted, *arrays, **static), a tuple with one for each array; wanted tells
    which are, see `autodiff.LATER`. Higher orders, and first ones where there is no `backward`,
    trace the definition again and differentiate that: nobody writes a second derivative by hand.
    """
    return lambda forward: recorded(Fused(forward, definition, backward, prepare))


def composite(function: Callable) -> Callable:
    """Register a function that is composed of ops, and has its derivatives from them."""
    op = Op(function)

    @wraps(function)
    def call(*args, **named):
        try:
            return function(*args, **named)
        except Exception as error:
            again = scalar_as_array(error, args)
            if again is not None:
                return call(*again, **named)
            raise explained(error, op.name, [*args, *named.values()]) from error.__cause__

    op.function, call.op = call, op
    return call


def recorded(op: Primitive | Fused) -> Callable:
    """The function of an op. Here, and nowhere else, the graph is built."""
    forward, needs, has_residuals, prepare = op.forward, op.needs, op.has_residuals, op.prepare
    count, static_defaults = len(op.signature.arrays), op.signature.static_defaults

    @wraps(forward)
    def function(*args, **static):
        if static or len(args) != count:
            args, static = op.signature.bind(args, static)
        else:
            static = static_defaults
        cls, raw, run = None, args, forward
        for x in args:
            if isinstance(x, Traced):
                cls = type(x)
                raw, parents, needed, depth, stamp, tracked = _unwrapped(args, needs)
                observer = trace_observer.get()
                if observer is not None:
                    run = observer.watched(op)
                break
        try:
            raw = prepare(raw)
            result = run(*raw, **static) if static else run(*raw)
        except Exception as error:
            again = scalar_as_array(error, raw)
            if again is not None and cls is None:
                return function(*again, **static)
            raise explained(error, op.name, raw) from error.__cause__
        y, residuals = result if has_residuals else (result, None)
        if cls is None:  # raw in, raw out
            return y
        several = type(y) is tuple
        if not tracked or not is_grad_enabled():
            return tuple(map(cls, y)) if several else cls(y)

        kept_y = y if needed & 1 else (None,) * len(y) if several else None
        kept = []
        for x in raw:
            needed >>= 1
            kept.append(x if needed & 1 or type(x) in NOT_ARRAYS else Spec(x))
        node = Node(op, parents, kept, kept_y, residuals, static, depth, stamp)
        if observer is not None:
            node.site = observer.site()
        return tuple(cls(y[i], Output(node, i)) for i in range(len(y))) if several else cls(y, node)

    op.function, function.op, function.__signature__ = function, op, op.signature.public
    return function


def raw(x):
    """The array of a tensor; anything else as it is."""
    return x.data if isinstance(x, Traced) else x


def _unwrapped(args, needs):
    """The raw arguments, and what a node will remember of where they came from."""
    arrays, parents, needed, depth, stamp, tracked = [], [], 0, 0, 0, False
    for x, need in zip(args, needs):
        vertex = None
        if isinstance(x, Traced):
            vertex, x = x.node, x.data
            if vertex is not None:
                tracked, needed, stamp = True, needed | need, stamp + vertex.version
                if vertex.depth >= depth:
                    depth = vertex.depth + 1
        arrays.append(x)
        parents.append(vertex)
    return arrays, parents, needed, depth, stamp, tracked


def _identity(x):
    return x


# Never called: its rule alone is used, where higher derivatives flow on to the argument itself.
_STAND_IN = Primitive(_identity, (lambda g, y, x: g,))


def _stand_in(x, wanted, cls):
    """Another handle for an argument: on the graph if it is, on a leaf of its own if raw."""
    if isinstance(x, Traced):
        parent, spec = x.node, Spec(x.data)
        depth, stamp = parent.depth + 1, parent.version
        return cls(x.data, Node(_STAND_IN, (parent,), (spec,), None, None, {}, depth, stamp))
    return cls(x, Leaf()) if wanted else x
