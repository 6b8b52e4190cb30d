"""Rewriting in a scope: names, blocks and temporary variables."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from minidl.compiler.rewrite.scopes import Scope
from minidl.compiler.rewrite.syntax import as_statement, hook, load_name, located

# a class body or the compiler itself provides these
_IMPLICIT = {"__class__", "__debug__"}


class Scoped(ast.NodeTransformer):
    """Visits the body of one function, and of all that is nested in it.

    Expressions are visited in the scope that evaluates them. Targets of assignments are not
    visited: :meth:`assign` says what to do instead.
    """

    def __init__(self, scope: Scope):
        self.scope = scope
        self.numbers = itertools.count(1)
        self.in_iterable = False  # of a comprehension, where no name can be bound

    @contextmanager
    def inside(self, scope: Scope) -> Iterator[None]:
        outer, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = outer

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        new: list[ast.stmt] = []
        for statement in statements:
            made = self.visit(statement)
            new.extend(made if isinstance(made, list) else [made])
        return new

    def all(self, nodes: list[Any]) -> list[Any]:
        return [self.visit(node) for node in nodes]

    def optional(self, node: ast.expr | None) -> ast.expr:
        return ast.Constant(None) if node is None else self.visit(node)

    def constant(self, name: str) -> ast.Constant:
        return ast.Constant(self.scope.mangled(name))

    # ----------------------------------------------------------------- temporary variables

    def temporary(self) -> str:
        """A new variable of the function; class bodies reach it by ``nonlocal``."""
        name, scope = f"@{next(self.numbers)}", self.scope.binding()
        if scope.kind == "class":
            scope.temporaries.append(name)
            scope.function().shared.append(name)
        return name

    def can_bind(self) -> bool:
        """Whether an expression may assign here."""
        in_class = self.scope.binding().kind == "class" and self.scope.kind == "comprehension"
        return not self.in_iterable and not in_class

    # ----------------------------------------------------------------- names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        origin = self.scope.origin(node.id)
        if origin == "inside" or node.id in _IMPLICIT:
            return node
        return hook(node, f"read_{origin}", self.constant(node.id), node)

    def wrote_call(self, name: str, at: ast.AST) -> ast.expr | None:
        origin = self.scope.origin(name)
        if origin == "inside":
            return None
        return hook(at, f"wrote_{origin}", self.constant(name), load_name(name))

    def wrote(self, names: Iterable[str], at: ast.AST) -> list[ast.stmt]:
        """Statements that report which of some names outside were bound."""
        calls = [self.wrote_call(name, at) for name in names]
        return [as_statement(call, at) for call in calls if call is not None]

    def deleted(self, name: str, at: ast.AST) -> list[ast.stmt]:
        origin = self.scope.origin(name)
        if origin == "inside":
            return []
        return [as_statement(hook(at, f"deleted_{origin}", self.constant(name)), at)]

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        node.value = self.visit(node.value)
        wrote = self.wrote_call(node.target.id, node)
        if wrote is None:
            return node
        both = ast.Tuple([node, wrote], ast.Load())
        return located(ast.Subscript(both, ast.Constant(0), ast.Load()), node)
