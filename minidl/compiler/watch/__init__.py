"""Watching a step's Python code while it is captured: each read of outside state is guarded.

``watch`` runs a step once. ``reads`` makes guards of what it reads, ``writes`` notes what it
writes, ``calls`` decides which functions run as instrumented copies, as they are (``trust``), or
not at all (``native`` has the functions of C's that are known). ``guards`` checks before a replay.

``source`` finds the text of a function and verifies that it is what runs. ``scopes`` tells
names from outside from the function's own. ``rewrite`` puts calls of the methods of ``hooks``
into the syntax tree, and ``instrument`` makes functions of the result.
"""
