"""Scopes: which names of a function come from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Literal

from minidl.compiler.rewrite.source import FunctionNode

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Kind = Literal["function", "class", "comprehension"]
Origin = Literal["inside", "free", "global"]


def mangled(name: str, class_name: str | None) -> str:
    """A name as the compiler spells it inside a class.

    Parameters
    ----------
    name : str
        As written.
    class_name : str or None
        The innermost class around it.

    Returns
    -------
    str
    """
    bare = (class_name or "").lstrip("_")
    if not bare or not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    return f"_{bare}{name}"


class Scope:
    """The names of a function, class body or comprehension.

    Attributes
    ----------
    kind : str
        ``"function"`` (also a lambda), ``"class"`` or ``"comprehension"``.
    outer : Scope or None
        What it is nested in; None for the function that is rewritten.
    class_name : str or None
        The innermost class, for mangling.
    bound, globals, nonlocals : set of str
        Names that it binds, and those that it declares, mangled.
    first : str or None
        The first positional argument, as written.
    free : frozenset of str
        The variables of enclosing functions that the rewritten function uses.
    temporaries : list of str
        Of a class body: temporary variables, which must not go into its namespace.
    shared : list of str
        Of a function: temporary variables that class bodies in it use.
    """

    def __init__(self, kind: Kind, outer: Scope | None, class_name: str | None):
        self.kind, self.outer, self.class_name = kind, outer, class_name
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self.first: str | None = None
        self.free: frozenset[str] = outer.free if outer is not None else frozenset()
        self.temporaries: list[str] = []
        self.shared: list[str] = []

    @classmethod
    def of_function(cls, node: FunctionNode, outer: Scope | None, class_name: str | None) -> Scope:
        """The scope of a function's body."""
        scope, arguments = cls("function", outer, class_name), node.args
        positional = arguments.posonlyargs + arguments.args
        extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for argument in positional + arguments.kwonlyargs + extra:
            scope.bound.add(scope.mangled(argument.arg))
        scope.first = positional[0].arg if positional else None
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        return scope._binding(body)

    @classmethod
    def of_class(cls, node: ast.ClassDef, outer: Scope) -> Scope:
        """The scope of a class body."""
        return cls("class", outer, node.name)._binding(node.body)

    @classmethod
    def of_comprehension(cls, node: Comprehension, outer: Scope) -> Scope:
        """The scope of a comprehension or generator expression."""
        scope = cls("comprehension", outer, outer.class_name)
        return scope._binding(generator.target for generator in node.generators)

    def _binding(self, nodes: Iterable[ast.AST]) -> Scope:
        binder = _Binder(self)
        for node in nodes:
            binder.visit(node)
        return self

    def mangled(self, name: str) -> str:
        """A name as the compiler spells it here."""
        return mangled(name, self.class_name)

    def origin(self, name: str) -> Origin:
        """Where a name comes from: inside the rewritten function, or which outside."""
        name = self.mangled(name)
        scope: Scope | None = self
        while scope is not None:
            if scope.kind != "class" or scope is self:  # methods do not see a class's names
                if name in scope.globals:
                    return "global"
                if name in scope.bound and name not in scope.nonlocals:
                    return "inside"
            scope = scope.outer
        return "free" if name in self.free else "global"

    def binding(self) -> Scope:
        """The scope that assignment expressions bind in: no comprehension."""
        scope = self
        while scope.kind == "comprehension":
            assert scope.outer is not None
            scope = scope.outer
        return scope

    def function(self) -> Scope:
        """The innermost function."""
        scope = self
        while scope.kind != "function":
            assert scope.outer is not None
            scope = scope.outer
        return scope

    def in_class(self) -> bool:
        """Whether ``__class__`` is to be had."""
        scope: Scope | None = self
        while scope is not None:
            if scope.kind == "class":
                return True
            scope = scope.outer
        return "__class__" in self.free


class _Binder(ast.NodeVisitor):
    """Collects what one scope binds; what is nested in it has separate scopes."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.comprehensions = 0

    def bind(self, name: str | None) -> None:
        if name is not None:
            self.scope.bound.add(self.scope.mangled(name))

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) and not self.comprehensions:
            self.bind(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.bind(node.target.id)  # also in comprehensions, which it leaves
        self.visit(node.value)

    def visit_comprehension_of(self, node: Comprehension) -> None:
        self.comprehensions += 1
        self.generic_visit(node)
        self.comprehensions -= 1

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comprehension_of

    def visit_def(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.bind(node.name)
        self.visit(node.args)
        for outside in [*node.decorator_list, node.returns]:
            if outside is not None:
                self.visit(outside)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_def

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)  # its default values

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bind(node.name)
        for outside in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(outside)

    def visit_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.partition(".")[0])

    visit_Import = visit_ImportFrom = visit_import

    def visit_with_name(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> None:
        self.bind(node.name)
        self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = visit_with_name

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.bind(node.rest)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.globals.update(map(self.scope.mangled, node.names))

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.scope.nonlocals.update(map(self.scope.mangled, node.names))
