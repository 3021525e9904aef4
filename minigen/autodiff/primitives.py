"""Declaring ops, and recording their calls as nodes of the graph.

    @primitive(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, saves=("b", "a"))
    def multiply(a, b): ...

A rule is the vector-Jacobian product (VJP) for one argument: it maps the cotangent g of the result
to the cotangent of that argument. The decorated function, forward, maps raw arrays to raw arrays.
The function that the decorator returns takes handles (tensors) too. If an argument is a handle, it
returns handles, and adds a node to the graph if an argument requires a gradient.
"""

from collections.abc import Callable
from functools import wraps

from numpy import generic, ndarray

from minigen.autodiff import checks
from minigen.autodiff.explain import explained, with_number_as_array
from minigen.autodiff.grad_modes import is_grad_enabled
from minigen.autodiff.graph import (
    NOT_SAVED,
    Alias,
    Node,
    Output,
    Spec,
    Traced,
    View,
    leaf_of_memory,
    trace_observer,
)
from minigen.autodiff.names import translated
from minigen.autodiff.signatures import Signature
from minigen.backend.dtypes import NOT_ARRAYS, checked, plain_number

# Every op by the name of its forward, filled while minigen is imported. Some public functions
# prepare their arguments, then call an op with an underscore in its name: `where` calls `_where`.
REGISTRY: dict[str, "Op"] = {}


def primitive(
    *rules: Callable | None,
    saves: str | tuple[str, ...] = "",
    prepare: Callable[[list], list] = checked,
    domain: tuple[float, float] | None = None,
    views: bool = False,
    returns_new: bool = False,
) -> Callable:
    """Declare an op by its rules, one for each array argument; decorates the forward function.

    Arguments of forward before the * are arrays, those after it are static: settings that have no
    derivative. Rule i is called as rule(g, y, *arrays, **static) and returns the cotangent of array
    i; None in its place declares that array i has no derivative. With several outputs g and y are
    tuples. A forward with *xs has one rule, which gets the index i after y. If all rules are None,
    as those of comparisons, results are constants.

    saves: the values that the rules read, "y" or names of arguments ("xs" for *xs): one string of
    names for all rules, or one for each. In the example above the rule for a reads b.
    prepare: maps the raw arguments before forward and rules get them; by default checks dtypes.
    domain: the interval (low, high) from which tests of an elementwise op draw.
    views: the result may be a view of the argument.
    returns_new: every rule returns a new array that nothing else refers to, so `fast_walk` may
    write to it.
    """
    return lambda forward: function_of(
        Primitive(forward, rules, saves, prepare, domain, views, returns_new)
    )


def composite(function: Callable) -> Callable:
    """Register a function that is composed of ops; their rules give its derivatives."""
    op = Op(function)
    names = frozenset(op.signature.public.parameters)

    @wraps(function)
    def call(*args, **named):
        if named and not named.keys() <= names:
            named = translated(op.name, named, names)
        for x in (*args, *named.values()):  # faster than any(...)
            if isinstance(x, generic):
                args, named = _plain_beside_handles(args, named)
                break
        try:
            return function(*args, **named)
        except Exception as error:
            if (converted := with_number_as_array(error, args)) is not None:
                return call(*converted, **named)
            raise explained(error, op.name, [*args, *named.values()]) from error.__cause__

    op.function, call.op = call, op
    return call


class Op:
    """The declaration of an op: its forward, its settings, and `function`, which users call."""

    has_residuals = False  # whether forward returns (y, residuals), see `fused.py`
    writes: tuple[str, ...] = ()  # names of arguments that forward writes to, see `fused.py`

    def __init__(self, forward, prepare=checked, domain=None, views=False, returns_new=False):
        checks.check_forward(forward)
        self.forward, self.prepare, self.domain = forward, prepare, domain
        self.views, self.returns_new = views, returns_new
        self.signature, self.function = Signature(forward), forward
        self.name = self.signature.name
        REGISTRY[forward.__name__] = self

    def pull(self, g, node, wanted, cls, create_graph):
        """The cotangents of the arguments of a call, from g; None where one is not wanted.

        Subclasses compute them in their method `cotangents`; this method checks shape and dtype.
        """
        if node.num_outputs is not None:
            g = tuple(g)  # an OutputCotangents; rules get a plain tuple
        if (observer := trace_observer.get()) is not None:
            observer.pulling(node, g, wanted)
        try:
            found = self.cotangents(g, node, wanted, cls, create_graph)
        except Exception as error:
            checks.explain_rule(error, self, g, node, wanted)
            raise
        # A raw array of the right shape and dtype passes without a call. checked_cotangent returns
        # or raises for everything else, which includes the handles of create_graph.
        for i, (x, gx) in enumerate(zip(node.args, found)):
            if not wanted[i]:
                found[i] = None
            elif type(gx) is not ndarray or gx.shape != x.shape or gx.dtype != x.dtype:
                found[i] = checks.checked_cotangent(self, i, gx, x, g, create_graph)
        if create_graph:  # a rule may return a constant as a raw array, as the rule of sign does
            found = [gx if gx is None or isinstance(gx, Traced) else cls(gx) for gx in found]
        if observer is not None:
            observer.pulled(node, g, found)
        return found

    def __repr__(self) -> str:
        return f"<op {self.signature}>"


class Primitive(Op):
    """An op with a derivative rule for each array argument. (`fused.py` has `Fused` ops.)"""

    def __init__(self, forward, rules, saves, *settings):
        super().__init__(forward, *settings)
        if isinstance(saves, str):
            saves = [saves] * len(rules)
        self.rules = rules
        checks.check_rules(self, rules, saves)
        self.reads = [text.split() for text in saves]  # for each rule, names of the values it reads

    def cotangents(self, g, node, wanted, cls, create_graph):
        """The results of the rules: raw arrays, or handles if create_graph records a graph."""
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

    def must_save(self, tracked: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        """Whether a node must save y, and each argument, for the rules of the tracked arguments.

        Of x * 2 with x tracked that is the 2, which the rule for x reads, and not x.
        """
        if self.signature.variadic:
            (read,) = self.reads
            return "y" in read, ("xs" in read,) * len(tracked)
        read = set().union(*(names for names, t in zip(self.reads, tracked) if t))
        return "y" in read, tuple(name in read for name in self.signature.arrays)

    def rule(self, i, create_graph):
        """The function that computes the cotangent of argument i; None if there is none."""
        return self.rules[0 if self.signature.variadic else i]

    def values_for_rule(self, i, g, node, wanted):
        """The values with which the rule for argument i is called, by name."""
        first = {"g": g, "y": node.y, **({"i": i} if self.signature.variadic else {})}
        return first | {self.signature.argument(k): x for k, x in enumerate(node.args)}


def function_of(op: Op) -> Callable:
    """The function that users call: it runs forward and records the node, which is created here.

    Attributes of op are looked up before: the inner function runs at each call.
    """
    forward, prepare, has_residuals, views = op.forward, op.prepare, op.has_residuals, op.views
    num_arrays, static_defaults = len(op.signature.arrays), op.signature.static_defaults
    has_rules = not isinstance(op, Primitive) or any(op.rules)
    make_node = View if views else Node
    must_save = {}  # a cache of op.must_save, by its argument tracked

    @wraps(forward)
    def function(*args, **static):
        if static or len(args) != num_arrays:
            args, static = op.signature.bind(args, static)
        else:
            static = static_defaults

        # forward takes raw arrays: if an argument is a handle, all arguments are unwrapped.
        cls = observer = residuals = None
        arrays, run = args, forward
        for x in args:
            if isinstance(x, Traced):
                cls = type(x)
                arrays, parents, tracked = _unwrapped(args)
                if (observer := trace_observer.get()) is not None:
                    run = observer.forward_of(op, arrays, parents)
                break
        try:
            arrays = prepare(arrays)
            y = run(*arrays, **static) if static else run(*arrays)
        except Exception as error:
            if (converted := with_number_as_array(error, args)) is not None:
                return function(*converted, **static)
            raise explained(error, op.name, arrays) from error.__cause__
        if has_residuals:
            y, residuals = checks.checked_pair(op, y)
        # Not a NumPy array, or perhaps a view although views is False: check_outputs decides.
        if type(y) is not ndarray or (
            not views and (y.base is not None or y is arrays[0] or y is arrays[-1])
        ):
            checks.check_outputs(op, y, arrays)
        if cls is None:  # no argument is a handle: return raw arrays
            return y
        if not (True in tracked and has_rules and is_grad_enabled()):
            return _constants(y, cls, parents if views else ())

        # The node saves the values that the rules will read, and a Spec of the other arguments.
        try:
            save_y, save_args = must_save[tracked]
        except KeyError:
            save_y, save_args = must_save[tracked] = op.must_save(tracked)
        saved_args = []
        for x, save in zip(arrays, save_args):  # NOT_ARRAYS: Python's numbers and None
            saved_args.append(x if save or type(x) in NOT_ARRAYS else Spec(x))
        num_outputs = len(y) if type(y) is tuple else None
        saved_y = y if save_y else NOT_SAVED
        node = make_node(op, parents, saved_args, saved_y, residuals, static, num_outputs)
        if observer is not None:
            observer.recorded(node)
        if num_outputs is None:
            return cls(y, node)
        return tuple(cls(y[i], Output(node, i)) for i in range(num_outputs))

    op.function, function.op, function.__signature__ = function, op, op.signature.public
    return function


def raw(x):
    """The array of a handle; anything else unchanged."""
    return x.data if isinstance(x, Traced) else x


@primitive(None)
def _copied(x):
    return x.copy()


def fixed(x):
    """As `raw`; if x has a vertex, a copy made by an op, since a leaf's memory is written to."""
    return raw(_copied(x)) if isinstance(x, Traced) and x.node is not None else raw(x)


def _plain_beside_handles(args, named):
    """args and named; if one is a handle, with Python numbers in place of NumPy's."""
    if any(isinstance(x, Traced) for x in (*args, *named.values())):
        args = [plain_number(x) for x in args]
        named = {name: plain_number(x) for name, x in named.items()}
    return args, named


def _unwrapped(args):
    """(arrays, parents, tracked): raw arguments, their vertices, whether each needs a gradient."""
    arrays, parents, tracked = [], [], ()
    for x in args:
        vertex = None
        if isinstance(x, Traced):
            vertex, x = x.node, x.data
        elif isinstance(x, generic):
            x = plain_number(x)
        arrays.append(x)
        if vertex is None:
            tracked += (False,)
        elif vertex.requires_grad:
            tracked += (True,)
        else:
            # A frozen leaf or a buffer: in this graph it stays a constant, whatever is set later.
            vertex = Alias(leaf_of_memory(vertex))
            tracked += (False,)
        parents.append(vertex)
    return arrays, parents, tracked


def _constants(y, cls, parents):
    """Results outside any graph, as handles; a view of a leaf's memory gets an `Alias` of it."""
    leaf = next(filter(None, map(leaf_of_memory, parents)), None)
    node = None if leaf is None else Alias(leaf)
    return tuple(cls(part, node) for part in y) if type(y) is tuple else cls(y, node)
