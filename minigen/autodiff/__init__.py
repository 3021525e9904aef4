"""Reverse-mode automatic differentiation. Read it in this order:

1. `graph`: handles, leaves and nodes, the graph that a program leaves behind.
2. `walk`: the walk back through it, which is the chain rule.
3. `primitives`: how an op is declared by its derivative rules, and how a call becomes a node.

The rest serves these: `fast_walk` is the same walk in less time, `signatures` takes arguments by
position or keyword, `checks` looks at what ops return, `explain` says what went wrong, `trace`
watches a run.
"""
