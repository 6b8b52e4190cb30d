"""Rewriting: a function whose every read of something outside passes a hook.

What Python does by itself stays where it is (control flow, local variables, closures,
generators), and each other operation becomes a call of a method of :class:`Hooks`. The order
of evaluation, the number of times that anything is evaluated, and line numbers stay.

Names that the rewriting adds begin with ``@``, which no name in a source file does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from minidl.compiler.rewrite.comprehensions import Comprehensions
from minidl.compiler.rewrite.expressions import Expressions
from minidl.compiler.rewrite.scopes import Scope
from minidl.compiler.rewrite.source import FunctionNode, Source
from minidl.compiler.rewrite.statements import Statements
from minidl.compiler.rewrite.syntax import located, refuse_coroutine
from minidl.compiler.rewrite.targets import Targets


class _Rewriter(Targets, Expressions, Comprehensions, Statements):
    """Visits the body of one function, and of all that is nested in it."""


def rewritten(source: Source, free: Iterable[str]) -> FunctionNode:
    """A function's syntax tree with calls of hooks; its decorators and defaults are gone.

    Parameters
    ----------
    source : Source
    free : iterable of str
        The variables of enclosing functions that the function uses (``co_freevars``).

    Returns
    -------
    ast.FunctionDef or ast.Lambda
        A new tree, of which some nodes have no location yet.

    Raises
    ------
    SourceError
        For what cannot be rewritten: coroutines, and syntax that is not known here.
    """
    node = _copied(source.node)
    if isinstance(node, ast.AsyncFunctionDef):
        refuse_coroutine(node)
    node.args.defaults = []
    node.args.kw_defaults = [None] * len(node.args.kwonlyargs)
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if isinstance(node, ast.FunctionDef):
        # the line of the first decorator is the first line of the code
        kept = node.decorator_list[:1]
        node.decorator_list = [located(ast.Constant(None), old) for old in kept]
        node.returns, node.type_params = None, []
    scope = Scope.of_function(node, None, source.class_name)
    scope.free = frozenset(free)
    _Rewriter(scope).body_of(node)
    return node


def _copied(tree: Any) -> Any:
    """A copy of a tree: ``copy.deepcopy`` takes several times as long."""
    if isinstance(tree, ast.AST):
        return type(tree)(**{name: _copied(value) for name, value in vars(tree).items()})
    return [_copied(part) for part in tree] if isinstance(tree, list) else tree
