"""Instrumented copies of Python functions: each read of outside state passes a hook.

``source`` finds the text of a function and verifies that it is what runs. ``scopes`` tells
names from outside from the function's own. ``rewrite`` puts calls of the methods of ``hooks``
into the syntax tree, and ``instrument`` makes functions of the result.
"""
