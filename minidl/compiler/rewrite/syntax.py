"""Small pieces of syntax: nodes of syntax trees, with their places in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

from minidl.compiler.rewrite.source import SourceError

HOOKS = "@watch"
"""The variable that holds the hooks."""

BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
}

_Node = TypeVar("_Node", bound=ast.AST)


def located(new: _Node, old: ast.AST) -> _Node:
    """``new``, with the place of ``old`` in the source."""
    return ast.copy_location(new, old)


def load_name(name: str) -> ast.Name:
    """A read of a variable."""
    return ast.Name(name, ast.Load())


def store_name(name: str) -> ast.Name:
    """A variable that is assigned to."""
    return ast.Name(name, ast.Store())


def as_statement(value: ast.expr, at: ast.AST) -> ast.stmt:
    """A statement that is nothing but an expression."""
    return located(ast.Expr(value), at)


def set_name(name: str, value: ast.expr, at: ast.AST) -> ast.stmt:
    """``name = value``."""
    return located(ast.Assign([located(store_name(name), at)], value), at)


def delete_name(name: str, at: ast.AST) -> ast.stmt:
    """``del name``."""
    return located(ast.Delete([ast.Name(name, ast.Del())]), at)


def hook(at: ast.AST, method: str, *args: ast.expr, **keywords: ast.expr) -> ast.Call:
    """A call of a hook that replaces ``at``."""
    function = ast.Attribute(load_name(HOOKS), method, ast.Load())
    named = [located(ast.keyword(name, value), at) for name, value in keywords.items()]
    call = located(ast.Call(function, list(args), named), at)
    dotted = at.func if isinstance(at, ast.Call) else at
    if isinstance(dotted, ast.Attribute) and dotted.lineno != dotted.end_lineno:
        # over several lines, the one that counts is that of the name after the dot
        call.lineno = dotted.end_lineno
        call.col_offset = max(0, dotted.end_col_offset - len(dotted.attr))
    located(function, call)
    function.end_lineno, function.end_col_offset = call.lineno, call.col_offset
    return call


def binds_itself(target: ast.expr) -> bool:
    """Whether Python may bind a target by itself: a name, also a starred one."""
    return isinstance(target.value if isinstance(target, ast.Starred) else target, ast.Name)


def binds_names(target: ast.expr) -> bool:
    """Whether a target is a tuple or list of nothing but names."""
    return isinstance(target, ast.Tuple | ast.List) and all(map(binds_itself, target.elts))


def names_in(target: ast.AST) -> list[ast.Name]:
    """All names in a target."""
    return [node for node in ast.walk(target) if isinstance(node, ast.Name)]


def flattened(targets: Iterable[ast.expr]) -> Iterator[ast.expr]:
    """Targets without the tuples and lists around them."""
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from flattened(target.elts)
        else:
            yield target


def captured_names(pattern: ast.pattern) -> list[str]:
    """The names that a pattern of ``match`` binds."""
    names = [getattr(n, "name", None) or getattr(n, "rest", None) for n in ast.walk(pattern)]
    return [name for name in names if name is not None]


def clause_of(target: ast.expr, values: ast.expr) -> ast.comprehension:
    """``for target in values`` of a comprehension."""
    return ast.comprehension(target, values, [], 0)


def list_of(value: ast.expr) -> ast.expr:
    """``[value]``."""
    return located(ast.List([value], ast.Load()), value)


def no_arguments() -> ast.arguments:
    """The parameters of a function that has none."""
    return ast.arguments([], [], None, [], [], None, [])


def refuse_coroutine(node: ast.AST) -> NoReturn:
    """SourceError for a coroutine."""
    raise SourceError(f"is a coroutine, or contains one (line {node.lineno})")


def refuse_syntax(node: ast.AST) -> NoReturn:
    """SourceError for syntax that is not known here."""
    line = getattr(node, "lineno", None)
    raise SourceError(f"contains syntax that is not supported: {type(node).__name__}, line {line}")
