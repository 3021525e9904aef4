"""Declaring ops, and recording their calls as nodes of the graph.

    @primitive(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, saves=("b", "a"))
    def multiply(a, b): ...

The decorated function, forward, takes raw arrays and returns raw arrays. The op that results
takes handles too (tensors, that is). Given one, it returns handles, and adds a node to the graph
if a gradient may be asked for.
"""

from collections.abc import Callable
from functools import wraps

from numpy import ndarray

from minigen.autodiff import checks
from minigen.autodiff.explain import explained, with_number_as_array
from minigen.autodiff.graph import (
    NOT_SAVED,
    Alias,
    Node,
    Output,
    Spec,
    Traced,
    View,
    is_grad_enabled,
    leaf_of_memory,
    trace_observer,
)
from minigen.autodiff.signatures import Signature
from minigen.backend.dtypes import NOT_ARRAYS, checked

# Every op, filled while minigen is imported. Some public functions prepare their arguments and
# call an op that has their name with an underscore: `where` calls `_where`.
REGISTRY: dict[str, "Op"] = {}


def primitive(
    *rules: Callable | None,
    saves: str | tuple[str, ...] = "",
    prepare: Callable[[list], list] = checked,
    domain: tuple[float, float] | None = None,
    views: bool = False,
    returns_new: bool = False,
) -> Callable:
    """Declare an op by its rules, one per array argument; it decorates the forward function.

    Arguments of forward before a * are arrays. Those after it are static: settings without
    derivative, which rules get by name (and callers may give by position: sum(x, axis)).
    Rule i is called as rule(g, y, *arrays, **static) and returns the cotangent of array i. For an
    array without derivative give None, not a rule. With several outputs g and y are tuples. A
    forward with *xs has one rule, which gets i after y.

    saves: what the rules read, "y" or names of arguments ("xs" of *xs): a string of names for all
    rules, or one for each. At the top of this file the rule for a reads b, and that for b reads a.
    prepare: maps the raw arguments before forward and rules see them; by default checks dtypes.
    domain: the interval (low, high) that tests of an elementwise op draw from.
    views: the result may be a view of an argument.
    returns_new: every rule returns a new array, held by nobody, that `fast_walk` may write to.
    """
    return lambda forward: function_of(
        Primitive(forward, rules, saves, prepare, domain, views, returns_new)
    )


def composite(function: Callable) -> Callable:
    """Register a function that is composed of ops, and has its derivatives from them."""
    op = Op(function)

    @wraps(function)
    def call(*args, **named):
        try:
            return function(*args, **named)
        except Exception as error:
            if (again := with_number_as_array(error, args)) is not None:
                return call(*again, **named)
            raise explained(error, op.name, [*args, *named.values()]) from error.__cause__

    op.function, call.op = call, op
    return call


class Op:
    """What is known of an op. `function` is what users call; `domain` is where tests look."""

    has_residuals = False  # whether forward returns (y, residuals), see `fused.py`
    writes: tuple[str, ...] = ()  # arguments that forward writes to, see `fused.py`

    def __init__(self, forward, prepare=checked, domain=None, views=False, returns_new=False):
        checks.check_forward(forward)
        self.forward, self.prepare, self.domain = forward, prepare, domain
        self.views, self.returns_new = views, returns_new
        self.signature, self.function = Signature(forward), forward
        self.name = self.signature.name
        REGISTRY[forward.__name__] = self

    def pull(self, g, node, wanted, cls, create_graph):
        """The cotangents of the arguments of a call, given g; None where they are not wanted.

        What subclasses return in `cotangents` is checked here: shape, dtype, and that it is there.
        """
        if node.num_outputs is not None:
            g = tuple(g)  # rules get a plain one
        try:
            parts = self.cotangents(g, node, wanted, cls, create_graph)
        except Exception as error:
            checks.explain_rule(error, self, g, node, wanted)
            raise
        # A raw array of the right shape and dtype is taken as it is. All else goes to
        # fitted_cotangent: with create_graph every part, for those are handles. What fits comes
        # back as it is; what does not raises.
        for i, (x, part) in enumerate(zip(node.args, parts)):
            if not wanted[i]:
                parts[i] = None
            elif type(part) is not ndarray or part.shape != x.shape or part.dtype != x.dtype:
                parts[i] = checks.fitted_cotangent(self, i, part, x, g, create_graph)
        if create_graph:  # a rule may return a raw array, as that of sign does: a constant
            parts = [p if p is None or isinstance(p, Traced) else cls(p) for p in parts]
        if (observer := trace_observer.get()) is not None:
            observer.pulled(node, g, parts)
        return parts

    def __repr__(self) -> str:
        return f"<op {self.signature}>"


class Primitive(Op):
    """An op with a derivative rule for each array argument. (The other kind is in `fused.py`.)"""

    def __init__(self, forward, rules, saves, *settings):
        super().__init__(forward, *settings)
        if isinstance(saves, str):
            saves = [saves] * len(rules)
        self.rules = rules
        checks.check_rules(self, rules, saves)
        self.reads = [text.split() for text in saves]  # names of what each rule reads

    def cotangents(self, g, node, wanted, cls, create_graph):
        """What the rules return: raw arrays, or with create_graph handles on a graph."""
        if create_graph:
            args, y = node.saved_as_handles(cls)
        else:
            args, y = node.args, node.y
        if self.signature.variadic:
            (rule,) = self.rules
            pairs = enumerate(wanted)
            return [rule(g, y, i, *args, **node.static) if w else None for i, w in pairs]
        pairs = zip(wanted, self.rules)
        return [rule(g, y, *args, **node.static) if w and rule else None for w, rule in pairs]

    def keeps(self, tracked: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        """Whether a call keeps y, and each argument, for the rules of the tracked arguments.

        x * 2 with x tracked keeps the 2, which the rule for x reads, and not x.
        """
        if self.signature.variadic:
            (read,) = self.reads
            return "y" in read, ("xs" in read,) * len(tracked)
        read = set().union(*(names for names, t in zip(self.reads, tracked) if t))
        return "y" in read, tuple(name in read for name in self.signature.arrays)

    def rule(self, i, create_graph):
        """The function that gives the cotangent of argument i; None if there is none."""
        return self.rules[0 if self.signature.variadic else i]

    def values_for_rule(self, i, g, node, wanted):
        """What the rule for argument i is called with, by name."""
        first = {"g": g, "y": node.y, **({"i": i} if self.signature.variadic else {})}
        return first | {self.signature.argument(k): x for k, x in enumerate(node.args)}


def function_of(op: Op) -> Callable:
    """The function that users call. Here, and nowhere else, the graph is built."""
    forward, prepare, has_residuals, views = op.forward, op.prepare, op.has_residuals, op.views
    count, static_defaults = len(op.signature.arrays), op.signature.static_defaults
    make_node = View if views else Node
    keeps = {}  # what op.keeps has answered, by which arguments are tracked

    @wraps(forward)
    def function(*args, **static):
        if static or len(args) != count:
            args, static = op.signature.bind(args, static)
        else:
            static = static_defaults

        # Handles are taken apart, if there are any: forward works on raw arrays.
        cls = observer = residuals = None
        arrays, run = args, forward
        for x in args:
            if isinstance(x, Traced):  # the first of them: all arguments are taken apart
                cls = type(x)
                arrays, parents, tracked = _unwrapped(args)
                if (observer := trace_observer.get()) is not None:
                    run = observer.watched(op)
                break
        try:
            arrays = prepare(arrays)
            y = run(*arrays, **static) if static else run(*arrays)
        except Exception as error:
            if (again := with_number_as_array(error, args)) is not None:
                return function(*again, **static)
            raise explained(error, op.name, arrays) from error.__cause__
        if has_residuals:
            y, residuals = checks.checked_pair(op, y)
        # No plain array, or perhaps a view that is not declared: worth a closer look.
        if type(y) is not ndarray or (
            not views and (y.base is not None or y is arrays[0] or y is arrays[-1])
        ):
            checks.check_outputs(op, y, arrays)
        if cls is None:  # raw in, raw out
            return y
        if not (True in tracked and is_grad_enabled()):
            return _constants(y, cls, parents if views else ())

        # The node keeps what the rules will read. Of other arguments they see a Spec.
        try:
            keeps_y, keeps_args = keeps[tracked]
        except KeyError:
            keeps_y, keeps_args = keeps[tracked] = op.keeps(tracked)
        saved = []
        for x, keep in zip(arrays, keeps_args):  # NOT_ARRAYS: Python's numbers and None
            saved.append(x if keep or type(x) in NOT_ARRAYS else Spec(x))
        num_outputs = len(y) if type(y) is tuple else None
        kept_y = y if keeps_y else NOT_SAVED
        node = make_node(op, parents, saved, kept_y, residuals, static, num_outputs)
        if observer is not None:
            node.site = observer.site()
        if num_outputs is None:
            return cls(y, node)
        return tuple(cls(y[i], Output(node, i)) for i in range(num_outputs))

    op.function, function.op, function.__signature__ = function, op, op.signature.public
    return function


def raw(x):
    """The array of a handle; anything else as it is."""
    return x.data if isinstance(x, Traced) else x


def fixed(x):
    """As raw, for an index or a mask that a node will keep: a copy, if a module may write to it."""
    return x.data.copy() if isinstance(x, Traced) and x.node is not None else raw(x)


def _unwrapped(args):
    """The raw arguments, their vertices, and which of these ask for a gradient."""
    arrays, parents, tracked = [], [], ()
    for x in args:
        vertex = None
        if isinstance(x, Traced):
            vertex, x = x.node, x.data
        arrays.append(x)
        if vertex is None:
            tracked += (False,)
        elif vertex.requires_grad:
            tracked += (True,)
        else:
            # A frozen leaf or a buffer: for this call a constant, whatever is set on it later.
            vertex = Alias(leaf_of_memory(vertex))
            tracked += (False,)
        parents.append(vertex)
    return arrays, parents, tracked


def _constants(y, cls, parents):
    """Results that no graph is recorded of; views of a leaf's memory remember that leaf."""
    leaf = next(filter(None, map(leaf_of_memory, parents)), None)
    node = None if leaf is None else Alias(leaf)
    return tuple(cls(part, node) for part in y) if type(y) is tuple else cls(y, node)
