"""Reverse-mode automatic differentiation. Read it in this order:

1. `graph`: handles, leaves and nodes, which record a computation.
2. `walk`: the backward walk through the graph, which applies the chain rule.
3. `primitives`: how an op is declared by its derivative rules, and how a call becomes a node.

Then: `cotangents`, where a walk starts; `fast_walk`, the same in less time; `fused`, ops with a
definition and a fast backward; `signatures`, arguments by position or keyword; `checks`, of what
readers' ops return; `explain`, the wording of errors; `trace`, observers of a run.
"""
