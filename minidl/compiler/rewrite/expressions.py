"""Rewriting of expressions: each operation becomes a call of a hook."""

from __future__ import annotations

import ast

from minidl.compiler.rewrite.scoped import Scoped
from minidl.compiler.rewrite.syntax import (
    BINARY,
    hook,
    load_name,
    located,
    no_arguments,
    store_name,
)

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


class Expressions(Scoped):
    """Rewrites expressions."""

    # ----------------------------------------------------------------- attributes and items

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return hook(node, "attribute", self.visit(node.value), self.constant(node.attr))

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return hook(node, "item", self.visit(node.value), self.key(node.slice))

    def key(self, node: ast.expr) -> ast.expr:
        """A key; slices in it are made by hand."""
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            return hook(node, "slice", *map(self.optional, parts))
        if isinstance(node, ast.Tuple):
            return located(ast.Tuple([self.key(part) for part in node.elts], ast.Load()), node)
        return self.visit(node)

    # ----------------------------------------------------------------- operators

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        sign = ast.Constant(BINARY[type(node.op)])
        return hook(node, "binary", sign, self.visit(node.left), self.visit(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if isinstance(node.op, ast.Not):
            node.operand = self.test(node.operand)
            return node
        if isinstance(node.operand, ast.Constant):
            return node  # a negative number
        sign = ast.Constant(_UNARY[type(node.op)])
        return hook(node, "unary", sign, self.visit(node.operand))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        *tested, last = self.all(node.values)
        node.values = [*(hook(value, "operand", value) for value in tested), last]
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
        return hook(node, "truth", self.visit(node))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        return self.comparison(node, None)

    def comparison(self, node: ast.Compare, last: str | None) -> ast.expr:
        """Comparisons, of which all but the last are tested; that one if ``last`` says so."""
        signs = [_COMPARE[type(op)] for op in node.ops]
        operands = self.all([node.left, *node.comparators])
        if len(signs) > 1 and not self.can_bind():
            made = self.chain(node, signs, operands)
            return made if last is None else hook(node, last, made)
        pairs = []
        for i, sign in enumerate(signs):
            left, right = operands[i], operands[i + 1]
            if i + 1 < len(signs) and not isinstance(right, ast.Constant):
                name = self.temporary()
                operands[i + 1] = located(load_name(name), right)
                right = located(ast.NamedExpr(located(store_name(name), right), right), right)
            pairs.append(self.compared(node, sign, left, right))
        tests = [last or "operand"] * (len(pairs) - 1) + [last]
        values = [v if test is None else hook(node, test, v) for v, test in zip(pairs, tests)]
        return values[0] if len(values) == 1 else located(ast.BoolOp(ast.And(), values), node)

    def compared(self, at: ast.AST, sign: str, left: ast.expr, right: ast.expr) -> ast.expr:
        if sign not in ("is", "is not"):
            return hook(at, "compare", ast.Constant(sign), left, right)
        same = hook(at, "identical", left, right)
        return same if sign == "is" else located(ast.UnaryOp(ast.Not(), same), at)

    def chain(self, at: ast.AST, signs: list[str], operands: list[ast.expr]) -> ast.expr:
        """A chained comparison in a place where no variable can hold the middle operand."""
        texts = located(ast.Tuple([ast.Constant(sign) for sign in signs], ast.Load()), at)
        later = [located(ast.Lambda(no_arguments(), operand), operand) for operand in operands[1:]]
        return hook(at, "chain", texts, operands[0], *later)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        conversion = None if node.conversion == -1 else chr(node.conversion)
        spec = ast.Constant("") if node.format_spec is None else self.visit(node.format_spec)
        text = hook(node, "format", self.visit(node.value), ast.Constant(conversion), spec)
        return located(ast.FormattedValue(text, -1, None), node)

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
        call = hook(node, "call", function, *node.args)
        call.keywords = node.keywords
        return call

    def super_call(self, node: ast.Call) -> ast.expr:
        first = self.scope.first
        function = self.visit(node.func)
        if first is None or not self.scope.in_class():  # also in comprehensions
            node.func = function  # looks at the frame, and says what is wrong
            return node
        return hook(node, "super_call", function, load_name("__class__"), load_name(first))

    def frame_call(self, node: ast.Call, bare: bool) -> ast.expr:
        name = node.func.id
        node.func = self.visit(node.func)
        node.args, node.keywords = self.all(node.args), self.all(node.keywords)
        if bare and name in _OF_NAMES and self.scope.kind != "class":
            return hook(node, "visible", node)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        node.value = self.visit(node.value)
        if node.arg is None:
            node.value = hook(node.value, "iterate_mapping", node.value)
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.expr:
        node.value = self.iterated(node.value)
        return node

    def iterated(self, node: ast.expr) -> ast.expr:
        return hook(node, "iterate", self.visit(node))

    def visit_display(self, node: ast.List | ast.Set) -> ast.expr:
        node.elts = self.all(node.elts)
        return hook(node, "made", node)

    visit_List = visit_Set = visit_display

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        keys: list[ast.expr | None] = []
        values: list[ast.expr] = []
        for key, value in zip(node.keys, node.values):
            keys.append(None if key is None else self.visit(key))
            new = self.visit(value)
            values.append(hook(value, "iterate_mapping", new) if key is None else new)
        node.keys, node.values = keys, values
        return hook(node, "made", node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.expr:
        node.value = self.iterated(node.value)
        return node
