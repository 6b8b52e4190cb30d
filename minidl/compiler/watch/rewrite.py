"""Rewriting: a function whose every read of something outside passes a hook.

What Python does by itself stays where it is (control flow, local variables, closures,
generators), and each other operation becomes a call of a method of :class:`Hooks`. The order
of evaluation, the number of times that anything is evaluated, and line numbers stay.

Names that the rewriting adds begin with ``@``, which no name in a source file does.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from minidl.compiler.watch.scopes import Comprehension, Scope
from minidl.compiler.watch.source import FunctionNode, Source, SourceError

HOOKS = "@watch"
"""The variable that holds the hooks."""

_BINARY = {
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
_UNARY = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}
_COMPARE = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}
# these look at the frame that calls them, which must be the user's
_OF_NAMES = {"locals", "vars", "dir"}
_OF_FRAME = {*_OF_NAMES, "globals", "eval", "exec"}
# a class body or the compiler itself provides these
_IMPLICIT = {"__class__", "__debug__"}

_Node = TypeVar("_Node", bound=ast.AST)


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
        _refuse_coroutine(node)
    node.args.defaults = []
    node.args.kw_defaults = [None] * len(node.args.kwonlyargs)
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if isinstance(node, ast.FunctionDef):
        # the line of the first decorator is the first line of the code
        kept = node.decorator_list[:1]
        node.decorator_list = [_at(ast.Constant(None), old) for old in kept]
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


def _refuse_coroutine(node: ast.AST) -> NoReturn:
    raise SourceError(f"is a coroutine, or contains one (line {node.lineno})")


def _refuse_syntax(node: ast.AST) -> NoReturn:
    line = getattr(node, "lineno", None)
    raise SourceError(f"contains syntax that is not supported: {type(node).__name__}, line {line}")


# --------------------------------------------------------------------- small pieces of syntax


def _at(new: _Node, old: ast.AST) -> _Node:
    return ast.copy_location(new, old)


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _statement(value: ast.expr, at: ast.AST) -> ast.stmt:
    return _at(ast.Expr(value), at)


def _set(name: str, value: ast.expr, at: ast.AST) -> ast.stmt:
    return _at(ast.Assign([_at(_store(name), at)], value), at)


def _clear(name: str, at: ast.AST) -> ast.stmt:
    return _at(ast.Delete([ast.Name(name, ast.Del())]), at)


def _hook(at: ast.AST, method: str, *args: ast.expr, **keywords: ast.expr) -> ast.Call:
    """A call of a hook in the place of ``at``."""
    function = ast.Attribute(_load(HOOKS), method, ast.Load())
    named = [_at(ast.keyword(name, value), at) for name, value in keywords.items()]
    call = _at(ast.Call(function, list(args), named), at)
    dotted = at.func if isinstance(at, ast.Call) else at
    if isinstance(dotted, ast.Attribute) and dotted.lineno != dotted.end_lineno:
        # over several lines, the one that counts is that of the name after the dot
        call.lineno = dotted.end_lineno
        call.col_offset = max(0, dotted.end_col_offset - len(dotted.attr))
    _at(function, call)
    function.end_lineno, function.end_col_offset = call.lineno, call.col_offset
    return call


def _is_plain(target: ast.expr) -> bool:
    """Whether Python may bind a target by itself: a name, also a starred one."""
    return isinstance(target.value if isinstance(target, ast.Starred) else target, ast.Name)


def _is_names(target: ast.expr) -> bool:
    """Whether a target is a tuple or list of nothing but names."""
    return isinstance(target, ast.Tuple | ast.List) and all(map(_is_plain, target.elts))


def _names(target: ast.AST) -> list[ast.Name]:
    return [node for node in ast.walk(target) if isinstance(node, ast.Name)]


def _flat(targets: Iterable[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _flat(target.elts)
        else:
            yield target


def _captured(pattern: ast.pattern) -> list[str]:
    names = [getattr(n, "name", None) or getattr(n, "rest", None) for n in ast.walk(pattern)]
    return [name for name in names if name is not None]


# --------------------------------------------------------------------- the transformer


class _Rewriter(ast.NodeTransformer):
    """Visits the body of one function, and of all that is nested in it.

    Expressions are visited in the scope that evaluates them. Targets of assignments are not
    visited: :meth:`assign` says what to do instead.
    """

    def __init__(self, scope: Scope):
        self.scope = scope
        self.numbers = itertools.count(1)
        self.in_iterable = False  # of a comprehension, where no name can be bound

    def body_of(self, node: FunctionNode) -> None:
        """Rewrite a function's body, in the scope that is current."""
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            node.body = [*self.own_keywords(node), *self.block(node.body)]

    def own_keywords(self, node: ast.FunctionDef) -> list[ast.stmt]:
        """Tell the hooks of the dict of ``**keywords``, which each call makes."""
        if node.args.kwarg is None:
            return []
        first = node.body[0]
        return [_statement(_hook(first, "made", _load(node.args.kwarg.arg)), first)]

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
        return _hook(node, f"read_{origin}", self.constant(node.id), node)

    def wrote_call(self, name: str, at: ast.AST) -> ast.expr | None:
        origin = self.scope.origin(name)
        if origin == "inside":
            return None
        return _hook(at, f"wrote_{origin}", self.constant(name), _load(name))

    def wrote(self, names: Iterable[str], at: ast.AST) -> list[ast.stmt]:
        """Statements that tell which of some names outside were bound."""
        calls = [self.wrote_call(name, at) for name in names]
        return [_statement(call, at) for call in calls if call is not None]

    def deleted(self, name: str, at: ast.AST) -> list[ast.stmt]:
        origin = self.scope.origin(name)
        if origin == "inside":
            return []
        return [_statement(_hook(at, f"deleted_{origin}", self.constant(name)), at)]

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        node.value = self.visit(node.value)
        wrote = self.wrote_call(node.target.id, node)
        if wrote is None:
            return node
        both = ast.Tuple([node, wrote], ast.Load())
        return _at(ast.Subscript(both, ast.Constant(0), ast.Load()), node)

    # ----------------------------------------------------------------- targets

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """Statements that store a rewritten value."""
        if isinstance(target, ast.Name):
            return [_at(ast.Assign([target], value), target), *self.wrote([target.id], target)]
        if isinstance(target, ast.Attribute | ast.Subscript):
            return [_statement(self.stored(target, value), target)]
        names, parts = self.parts(target)
        unpacked = _at(ast.Assign([names], _hook(target, "unpack", value)), target)
        statements: list[ast.stmt] = [unpacked]
        if not parts:
            statements += self.wrote([name.id for name in _names(target)], target)
        for part, name in parts:
            statements += [*self.assign(part, _at(_load(name), part)), _clear(name, part)]
        return statements

    def stored(self, target: ast.Attribute | ast.Subscript, value: ast.expr) -> ast.expr:
        """A call that stores in an object; by keyword, for the value comes first."""
        owner = self.visit(target.value)
        if isinstance(target, ast.Attribute):
            name = self.constant(target.attr)
            return _hook(target, "set_attribute", value=value, owner=owner, name=name)
        key = self.key(target.slice)
        return _hook(target, "set_item", value=value, owner=owner, key=key)

    def parts(self, target: ast.expr) -> tuple[ast.expr, list[tuple[ast.expr, str]]]:
        """What to unpack into, and what goes on from which temporary variable."""
        if _is_names(target):
            return target, []
        parts: list[tuple[ast.expr, str]] = []
        stores: list[ast.expr] = []
        for element in target.elts:
            starred = isinstance(element, ast.Starred)
            parts.append((element.value if starred else element, self.temporary()))
            store = _at(_store(parts[-1][1]), element)
            stores.append(_at(ast.Starred(store, ast.Store()), element) if starred else store)
        return _at(ast.Tuple(stores, ast.Store()), target), parts

    def bound(self, target: ast.expr) -> tuple[ast.expr, list[ast.stmt]]:
        """What a statement binds by itself, and the statements that bind the target then."""
        if isinstance(target, ast.Name):
            return target, self.wrote([target.id], target)
        name = self.temporary()
        rest = self.assign(target, _at(_load(name), target))
        return _at(_store(name), target), [*rest, _clear(name, target)]

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        value = self.visit(node.value)
        if all(isinstance(target, ast.Name) for target in node.targets):
            node.value = value
            return [node, *self.wrote([target.id for target in node.targets], node)]
        if len(node.targets) == 1:
            return self.assign(node.targets[0], value)
        name = self.temporary()
        statements = [_set(name, value, node)]
        for target in node.targets:
            statements += self.assign(target, _at(_load(name), target))
        return [*statements, _clear(name, node)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | list[ast.stmt]:
        simple = isinstance(node.target, ast.Name)
        if simple and self.scope.kind == "class":  # a class keeps its annotations
            node.value = None if node.value is None else self.visit(node.value)
            return [node, *self.wrote([node.target.id], node)] if node.value else node
        if node.value is not None:
            return self.assign(node.target, self.visit(node.value))
        if simple:
            return node  # makes the name a local one, and does nothing
        return self.evaluated(node.target)

    def evaluated(self, target: ast.Attribute | ast.Subscript) -> list[ast.stmt]:
        """What Python computes of a target that is annotated and gets no value."""
        values = [self.visit(target.value)]
        if isinstance(target, ast.Subscript):
            values.append(self.key(target.slice))
        return [_statement(value, target) for value in values]

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        target = node.target
        if isinstance(target, ast.Name):
            now = self.visit(_at(_load(target.id), target))
            return self.assign(target, self.inplace(node, now))
        owner = self.temporary()
        before, after = [_set(owner, self.visit(target.value), target)], [_clear(owner, node)]
        if isinstance(target, ast.Attribute):
            where = {"owner": _load(owner), "name": self.constant(target.attr)}
            get, put = "attribute", "set_attribute"
        else:
            key = self.temporary()
            before.append(_set(key, self.key(target.slice), target))
            after.append(_clear(key, node))
            where = {"owner": _load(owner), "key": _load(key)}
            get, put = "item", "set_item"
        value = self.inplace(node, _hook(target, get, *where.values()))
        return [*before, _statement(_hook(target, put, value=value, **where), node), *after]

    def inplace(self, node: ast.AugAssign, now: ast.expr) -> ast.expr:
        sign = ast.Constant(_BINARY[type(node.op)])
        return _hook(node, "inplace", sign, now, self.visit(node.value))

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        return [part for target in _flat(node.targets) for part in self.delete(target)]

    def delete(self, target: ast.expr) -> list[ast.stmt]:
        if isinstance(target, ast.Name):
            return [_at(ast.Delete([target]), target), *self.deleted(target.id, target)]
        owner = self.visit(target.value)
        if isinstance(target, ast.Attribute):
            call = _hook(target, "delete_attribute", owner, self.constant(target.attr))
        else:
            call = _hook(target, "delete_item", owner, self.key(target.slice))
        return [_statement(call, target)]

    # ----------------------------------------------------------------- attributes and items

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return _hook(node, "attribute", self.visit(node.value), self.constant(node.attr))

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return _hook(node, "item", self.visit(node.value), self.key(node.slice))

    def key(self, node: ast.expr) -> ast.expr:
        """A key; slices in it are made by hand."""
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            return _hook(node, "slice", *map(self.optional, parts))
        if isinstance(node, ast.Tuple):
            return _at(ast.Tuple([self.key(part) for part in node.elts], ast.Load()), node)
        return self.visit(node)

    # ----------------------------------------------------------------- operators

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        sign = ast.Constant(_BINARY[type(node.op)])
        return _hook(node, "binary", sign, self.visit(node.left), self.visit(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if isinstance(node.op, ast.Not):
            node.operand = self.test(node.operand)
            return node
        if isinstance(node.operand, ast.Constant):
            return node  # a negative number
        sign = ast.Constant(_UNARY[type(node.op)])
        return _hook(node, "unary", sign, self.visit(node.operand))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        *tested, last = self.all(node.values)
        node.values = [*(_hook(value, "operand", value) for value in tested), last]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        node.test = self.test(node.test)
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def test(self, node: ast.expr) -> ast.expr:
        """A condition: each part of it whose truth is looked at, once."""
        if isinstance(node, ast.Constant):
            return node
        if isinstance(node, ast.BoolOp):
            node.values = [self.test(value) for value in node.values]
            return node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.visit(node)
        if isinstance(node, ast.Compare):
            return self.comparison(node, "truth")
        return _hook(node, "truth", self.visit(node))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        return self.comparison(node, None)

    def comparison(self, node: ast.Compare, last: str | None) -> ast.expr:
        """Comparisons, of which all but the last are tested; that one if ``last`` says so."""
        signs = [_COMPARE[type(op)] for op in node.ops]
        operands = self.all([node.left, *node.comparators])
        if len(signs) > 1 and not self.can_bind():
            made = self.chain(node, signs, operands)
            return made if last is None else _hook(node, last, made)
        pairs = []
        for i, sign in enumerate(signs):
            left, right = operands[i], operands[i + 1]
            if i + 1 < len(signs) and not isinstance(right, ast.Constant):
                name = self.temporary()
                operands[i + 1] = _at(_load(name), right)
                right = _at(ast.NamedExpr(_at(_store(name), right), right), right)
            pairs.append(self.compared(node, sign, left, right))
        tests = [last or "operand"] * (len(pairs) - 1) + [last]
        values = [v if test is None else _hook(node, test, v) for v, test in zip(pairs, tests)]
        return values[0] if len(values) == 1 else _at(ast.BoolOp(ast.And(), values), node)

    def compared(self, at: ast.AST, sign: str, left: ast.expr, right: ast.expr) -> ast.expr:
        if sign not in ("is", "is not"):
            return _hook(at, "compare", ast.Constant(sign), left, right)
        same = _hook(at, "identical", left, right)
        return same if sign == "is" else _at(ast.UnaryOp(ast.Not(), same), at)

    def chain(self, at: ast.AST, signs: list[str], operands: list[ast.expr]) -> ast.expr:
        """A chained comparison in a place where no variable can hold the middle operand."""
        texts = _at(ast.Tuple([ast.Constant(sign) for sign in signs], ast.Load()), at)
        later = [_at(ast.Lambda(_no_arguments(), operand), operand) for operand in operands[1:]]
        return _hook(at, "chain", texts, operands[0], *later)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        conversion = None if node.conversion == -1 else chr(node.conversion)
        spec = ast.Constant("") if node.format_spec is None else self.visit(node.format_spec)
        text = _hook(node, "format", self.visit(node.value), ast.Constant(conversion), spec)
        return _at(ast.FormattedValue(text, -1, None), node)

    # ----------------------------------------------------------------- calls and contents

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and self.scope.origin(node.func.id) == "global":
            bare = not node.args and not node.keywords
            if node.func.id == "super" and bare:
                return self.super_call(node)
            if node.func.id in _OF_FRAME:
                return self.frame_call(node, bare)
        function = self.visit(node.func)
        node.args, node.keywords = self.all(node.args), self.all(node.keywords)
        call = _hook(node, "call", function, *node.args)
        call.keywords = node.keywords
        return call

    def super_call(self, node: ast.Call) -> ast.expr:
        first = self.scope.first
        function = self.visit(node.func)
        if first is None or not self.scope.in_class():  # also in comprehensions
            node.func = function  # looks at the frame, and says what is wrong
            return node
        return _hook(node, "super_call", function, _load("__class__"), _load(first))

    def frame_call(self, node: ast.Call, bare: bool) -> ast.expr:
        name = node.func.id
        node.func = self.visit(node.func)
        node.args, node.keywords = self.all(node.args), self.all(node.keywords)
        if bare and name in _OF_NAMES and self.scope.kind != "class":
            return _hook(node, "visible", node)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        node.value = self.visit(node.value)
        if node.arg is None:
            node.value = _hook(node.value, "iterate_mapping", node.value)
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.expr:
        node.value = self.iterated(node.value)
        return node

    def iterated(self, node: ast.expr) -> ast.expr:
        return _hook(node, "iterate", self.visit(node))

    def visit_display(self, node: ast.List | ast.Set) -> ast.expr:
        node.elts = self.all(node.elts)
        return _hook(node, "made", node)

    visit_List = visit_Set = visit_display

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        keys: list[ast.expr | None] = []
        values: list[ast.expr] = []
        for key, value in zip(node.keys, node.values):
            keys.append(None if key is None else self.visit(key))
            new = self.visit(value)
            values.append(_hook(value, "iterate_mapping", new) if key is None else new)
        node.keys, node.values = keys, values
        return _hook(node, "made", node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.expr:
        node.value = self.iterated(node.value)
        return node

    # ----------------------------------------------------------------- comprehensions

    def visit_comprehension_of(self, node: Comprehension) -> ast.expr:
        if any(generator.is_async for generator in node.generators):
            _refuse_coroutine(node)
        first = self.iterated(node.generators[0].iter)  # the scope around evaluates it
        before = None
        if self.can_bind() and any(isinstance(part, ast.NamedExpr) for part in ast.walk(first)):
            name = self.temporary()
            before = _at(ast.NamedExpr(_at(_store(name), first), first), first)
            first = _at(_load(name), first)
        with self.inside(Scope.of_comprehension(node, self.scope)):
            node.generators = self.clauses(node.generators, first)
            for field in ("elt", "key", "value"):
                if hasattr(node, field):
                    setattr(node, field, self.visit(getattr(node, field)))
        made = _hook(node, "made", node)
        if before is None:
            return made
        both = _at(ast.Tuple([before, made], ast.Load()), node)
        return _at(ast.Subscript(both, ast.Constant(1), ast.Load()), node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comprehension_of

    def clauses(
        self, generators: list[ast.comprehension], first: ast.expr
    ) -> list[ast.comprehension]:
        new: list[ast.comprehension] = []
        for i, generator in enumerate(generators):
            values = self.inner_iterable(generator.iter) if i else first
            new += self.clause(generator.target, values)
            new[-1].ifs = [self.test(condition) for condition in generator.ifs]
        return new

    def inner_iterable(self, node: ast.expr) -> ast.expr:
        outer, self.in_iterable = self.in_iterable, True
        try:
            return self.iterated(node)
        finally:
            self.in_iterable = outer

    def clause(self, target: ast.expr, values: ast.expr) -> list[ast.comprehension]:
        """``for`` clauses that bind a target to the elements of ``values``."""
        if isinstance(target, ast.Name):
            return [_clause(target, values)]
        name = f"@{next(self.numbers)}"  # of the comprehension itself
        return [_clause(_at(_store(name), target), values), *self.once(target, name)]

    def once(self, target: ast.expr, name: str) -> list[ast.comprehension]:
        """``for`` clauses of one round that take a variable apart."""
        value = _at(_load(name), target)
        if isinstance(target, ast.Attribute | ast.Subscript):
            unused = _at(_store(f"@{next(self.numbers)}"), target)
            return [_clause(unused, _single(self.stored(target, value)))]
        names, parts = self.parts(target)
        new = [_clause(names, _single(_hook(target, "unpack", value)))]
        for part, held in parts:
            if isinstance(part, ast.Name):
                new.append(_clause(part, _single(_at(_load(held), part))))
            else:
                new += self.once(part, held)
        return new

    # ----------------------------------------------------------------- statements

    def visit_If(self, node: ast.If) -> ast.stmt:
        node.test = self.test(node.test)
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        return node

    visit_While = visit_If

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        node.test = self.test(node.test)
        node.msg = None if node.msg is None else self.visit(node.msg)
        return node

    def visit_For(self, node: ast.For) -> ast.stmt:
        node.iter = self.iterated(node.iter)
        node.target, before = self.bound(node.target)
        node.body = before + self.block(node.body)
        node.orelse = self.block(node.orelse)
        return node

    def visit_With(self, node: ast.With) -> ast.stmt:
        """One statement per context manager, for what comes between two of them."""
        layers = []
        for item in node.items:
            manager = self.visit(item.context_expr)
            item.context_expr = _hook(item.context_expr, "context", manager)
            before: list[ast.stmt] = []
            if item.optional_vars is not None:
                item.optional_vars, before = self.bound(item.optional_vars)
            layers.append((item, before))
        body = self.block(node.body)
        for item, before in reversed(layers):
            body = [_at(ast.With([item], before + body), node)]
        return body[0]

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.type = None if node.type is None else self.visit(node.type)
        node.body = self.block(node.body)
        if node.name is not None and self.scope.origin(node.name) != "inside":
            self.handle_outside(node, node.name)
        return node

    def handle_outside(self, node: ast.ExceptHandler, name: str) -> None:
        """Bind a caught exception to a name outside, and unbind it in the end."""
        node.name = self.temporary()
        bind = [_set(name, _load(node.name), node), *self.wrote([name], node)]
        unbind = [_set(name, ast.Constant(None), node), _clear(name, node)]
        unbind += self.deleted(name, node)
        node.body = [*bind, _at(ast.Try(node.body, [], [], unbind), node)]

    def visit_Match(self, node: ast.Match) -> ast.stmt:
        node.subject = _hook(node.subject, "read_all", self.visit(node.subject))
        for case in node.cases:
            self.case(case)
        return node

    def case(self, case: ast.match_case) -> None:
        """A case; its patterns stay, and say what they have captured outside."""
        calls = [self.wrote_call(name, case.pattern) for name in _captured(case.pattern)]
        wrote = [call for call in calls if call is not None]
        case.body = self.block(case.body)
        if case.guard is None:
            case.body = [_statement(call, case.pattern) for call in wrote] + case.body
            return
        case.guard = guard = self.test(case.guard)
        if wrote:
            both = _at(ast.Tuple([*wrote, guard], ast.Load()), guard)
            case.guard = _at(ast.Subscript(both, ast.Constant(len(wrote)), ast.Load()), guard)

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            alone = _at(ast.Import([alias]), node)
            statements += [alone, *self.imported(node, alias.name, None, bound)]
        return statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        module = "." * node.level + (node.module or "")
        statements: list[ast.stmt] = [node]
        for alias in node.names:
            statements += self.imported(node, module, alias.name, alias.asname or alias.name)
        return statements

    def imported(self, at: ast.stmt, module: str, name: str | None, bound: str) -> list[ast.stmt]:
        call = _hook(at, "imported", ast.Constant(module), ast.Constant(name), _load(bound))
        return [_statement(call, at), *self.wrote([bound], at)]

    # ----------------------------------------------------------------- nested definitions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> list[ast.stmt]:
        if getattr(node, "type_params", None):
            _refuse_syntax(node)
        node.decorator_list = self.decorators(node.decorator_list)
        self.defaults(node.args)
        self.nested(node)
        return [node, *self.wrote([node.name], node)]

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self.defaults(node.args)
        self.nested(node)
        return node

    def nested(self, node: FunctionNode) -> None:
        with self.inside(Scope.of_function(node, self.scope, self.scope.class_name)):
            self.body_of(node)

    def defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = self.all(arguments.defaults)
        later = arguments.kw_defaults
        arguments.kw_defaults = [None if value is None else self.visit(value) for value in later]

    def decorators(self, nodes: list[ast.expr]) -> list[ast.expr]:
        return [_hook(node, "decorator", self.visit(node)) for node in nodes]

    def visit_ClassDef(self, node: ast.ClassDef) -> list[ast.stmt]:
        if getattr(node, "type_params", None):
            _refuse_syntax(node)
        node.decorator_list = self.decorators(node.decorator_list)
        node.bases, node.keywords = self.all(node.bases), self.all(node.keywords)
        scope = Scope.of_class(node, self.scope)
        with self.inside(scope):
            node.body = self.block(node.body)
        if scope.temporaries:
            start = 0 if ast.get_docstring(node, clean=False) is None else 1
            node.body.insert(start, _at(ast.Nonlocal(scope.temporaries), node))
        return [*self.variables(node), node, *self.wrote([node.name], node)]

    def variables(self, at: ast.ClassDef) -> list[ast.stmt]:
        """Make the temporary variables of a class body variables of the function."""
        if self.scope.kind == "class":
            return []
        names, self.scope.shared = self.scope.shared, []
        return [_set(name, ast.Constant(None), at) for name in names]

    # ----------------------------------------------------------------- what is not rewritten

    def visit_async(self, node: ast.AST) -> NoReturn:
        _refuse_coroutine(node)

    visit_AsyncFunctionDef = visit_AsyncFor = visit_AsyncWith = visit_Await = visit_async

    def visit_unknown(self, node: ast.AST) -> NoReturn:
        _refuse_syntax(node)

    visit_TypeAlias = visit_TemplateStr = visit_unknown


def _clause(target: ast.expr, values: ast.expr) -> ast.comprehension:
    return ast.comprehension(target, values, [], 0)


def _single(value: ast.expr) -> ast.expr:
    return _at(ast.List([value], ast.Load()), value)


def _no_arguments() -> ast.arguments:
    return ast.arguments([], [], None, [], [], None, [])
