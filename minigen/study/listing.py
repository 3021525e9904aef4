"""A recording as text: a line for each step."""

from collections.abc import Sequence

from minigen.study.steps import Step, Value

LONGEST = 40  # steps that are shown; of a longer run the first and the last


def listing(steps: Sequence[Step], values: Sequence[Value]) -> str:
    """A table of the steps: number, direction, op, shapes of the outputs, module, line, code."""
    head, tail = steps, ()
    if len(steps) > LONGEST:
        head, tail = steps[: LONGEST // 2], steps[len(steps) - LONGEST // 2 :]
    rows = [_row(step, values) for step in (*head, *tail)]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(6)]
    lines = [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths)), row[-1]]).rstrip()
        for row in rows
    ]
    if tail:
        lines.insert(len(head), f"... {len(steps) - LONGEST:,} more steps in run.steps ...")
    return "\n".join(lines)


def _row(step: Step, values: Sequence[Value]) -> list[str]:
    inside = "  " if step.inside is not None else ""  # a call by the rules of the step before
    shapes = " ".join(str(values[number].shape).replace(" ", "") for number in step.outputs)
    module = step.module or step.module_class
    op = inside + step.op
    return [str(step.number), step.kind, op, shapes, module, step.site, step.code[:60]]
