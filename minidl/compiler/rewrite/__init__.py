"""Rewriting of Python functions: each operation on something from outside calls a hook.

``source`` finds the text of a function and verifies that it is what runs; ``executed`` keeps texts
that are in no file. ``scopes`` tells names from outside from the function's own. ``rewrite`` puts
calls of the methods of ``hooks`` into the syntax tree (``targets``, ``expressions``,
``comprehensions``, ``statements``), and ``instrument`` makes functions of the result.
"""
