"""What the page says of a step: its texts, and what its arguments and results are called."""

from typing import Any

from minigen.study.rule_texts import residual_names, text_of
from minigen.study.steps import Ref, Step


def texts_of(step: Step) -> dict[str, str]:
    """The texts that belong to a step, many of which are also those of others."""
    return {
        "rule": step.rule,
        "definition": definition_of(step),
        "about": sentence_about(step),
        "static": settings_of(step),
        "names": names_in(step),
        "residuals": names_kept(step),
    }


def sentence_about(step: Step) -> str:
    """The first paragraph of the docstring of an op's forward."""
    doc = getattr(getattr(step.declaration, "forward", None), "__doc__", None)
    return " ".join((doc or "").split("\n\n")[0].split()) if step.kind == "forward" else ""


def definition_of(step: Step) -> str:
    """The text of a fused op's definition, a composition of other ops."""
    definition = getattr(step.declaration, "definition", None)
    return text_of(definition) if step.kind == "forward" else ""


def settings_of(step: Step) -> str:
    """The arguments of a call that are no arrays, as text, without those that are None."""
    pairs = [*zip(argument_names(step), step.args), *step.static.items()]
    parts = [f"{name}={_short(x)}" for name, x in pairs if not (x is None or type(x) is Ref)]
    return ", ".join(parts)


def _short(x: Any) -> str:
    text = f"v{x.number}" if type(x) is Ref else repr(x)
    return text if len(text) <= 80 else f"{text[:77]}..."


def argument_names(step: Step) -> list[str]:
    """The name of each argument of a call, as its rules call it."""
    signature = getattr(step.declaration, "signature", None)
    if signature is None:
        return [""] * len(step.args)
    return [signature.argument(i) for i in range(len(step.args))]


def names_in(step: Step) -> str:
    """The names of the arguments of a forward step that are arrays, in their order."""
    pairs = zip(argument_names(step), step.args)
    return " ".join(name for name, x in pairs if isinstance(x, Ref))


def names_kept(step: Step) -> str:
    """The names of the residuals that a forward step of a fused op made."""
    return " ".join(residual_names(step.declaration)) if step.kind == "forward" else ""


def untracked(step: Step) -> list[int]:
    """The positions in `inputs` of the arguments to which no gradient flows back from a call."""
    pairs = [t for x, t in zip(step.args, step.tracked) if isinstance(x, Ref)]
    return [i for i, is_tracked in enumerate(pairs) if not is_tracked]


def has_derivative(step: Step) -> bool:
    """Whether the op of a step has a rule for any argument."""
    return any(getattr(step.declaration, "rules", (True,)))
