"""Rewriting of statements, and of functions and classes defined in a function."""

from __future__ import annotations

import ast
from typing import NoReturn

from minidl.compiler.rewrite.scoped import Scoped
from minidl.compiler.rewrite.scopes import Scope
from minidl.compiler.rewrite.source import FunctionNode
from minidl.compiler.rewrite.syntax import (
    as_statement,
    captured_names,
    delete_name,
    hook,
    load_name,
    located,
    refuse_coroutine,
    refuse_syntax,
    set_name,
)


class Statements(Scoped):
    """Rewrites statements and nested definitions."""

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
            item.context_expr = hook(item.context_expr, "context", manager)
            before: list[ast.stmt] = []
            if item.optional_vars is not None:
                item.optional_vars, before = self.bound(item.optional_vars)
            layers.append((item, before))
        body = self.block(node.body)
        for item, before in reversed(layers):
            body = [located(ast.With([item], before + body), node)]
        return body[0]

    def visit_Try(self, node: ast.Try | ast.TryStar) -> ast.stmt:
        node.body = [as_statement(hook(node, "handling"), node), *self.block(node.body)]
        node.handlers = self.all(node.handlers)
        node.orelse, node.finalbody = self.block(node.orelse), self.block(node.finalbody)
        return node

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.type = None if node.type is None else self.visit(node.type)
        node.body = self.block(node.body)
        if node.name is not None and self.scope.origin(node.name) != "inside":
            self.handle_outside(node, node.name)
        return node

    def handle_outside(self, node: ast.ExceptHandler, name: str) -> None:
        """Bind a caught exception to a name outside, and unbind it in the end."""
        node.name = self.temporary()
        bind = [set_name(name, load_name(node.name), node), *self.wrote([name], node)]
        unbind = [set_name(name, ast.Constant(None), node), delete_name(name, node)]
        unbind += self.deleted(name, node)
        node.body = [*bind, located(ast.Try(node.body, [], [], unbind), node)]

    def visit_Match(self, node: ast.Match) -> ast.stmt:
        node.subject = hook(node.subject, "read_all", self.visit(node.subject))
        for case in node.cases:
            self.case(case)
        return node

    def case(self, case: ast.match_case) -> None:
        """A case; its patterns stay, and say what they have captured outside."""
        calls = [self.wrote_call(name, case.pattern) for name in captured_names(case.pattern)]
        wrote = [call for call in calls if call is not None]
        case.body = self.block(case.body)
        if case.guard is None:
            case.body = [as_statement(call, case.pattern) for call in wrote] + case.body
            return
        case.guard = guard = self.test(case.guard)
        if wrote:
            both = located(ast.Tuple([*wrote, guard], ast.Load()), guard)
            case.guard = located(ast.Subscript(both, ast.Constant(len(wrote)), ast.Load()), guard)

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            alone = located(ast.Import([alias]), node)
            statements += [alone, *self.imported(node, alias.name, None, bound)]
        return statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        module = "." * node.level + (node.module or "")
        statements: list[ast.stmt] = [node]
        for alias in node.names:
            statements += self.imported(node, module, alias.name, alias.asname or alias.name)
        return statements

    def imported(self, at: ast.stmt, module: str, name: str | None, bound: str) -> list[ast.stmt]:
        call = hook(at, "imported", ast.Constant(module), ast.Constant(name), load_name(bound))
        return [as_statement(call, at), *self.wrote([bound], at)]

    # ----------------------------------------------------------------- nested definitions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> list[ast.stmt]:
        if getattr(node, "type_params", None):
            refuse_syntax(node)
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
        return [hook(node, "decorator", self.visit(node)) for node in nodes]

    def visit_ClassDef(self, node: ast.ClassDef) -> list[ast.stmt]:
        if getattr(node, "type_params", None):
            refuse_syntax(node)
        node.decorator_list = self.decorators(node.decorator_list)
        node.bases, node.keywords = self.all(node.bases), self.all(node.keywords)
        scope = Scope.of_class(node, self.scope)
        with self.inside(scope):
            node.body = self.block(node.body)
        if scope.temporaries:
            start = 0 if ast.get_docstring(node, clean=False) is None else 1
            node.body.insert(start, located(ast.Nonlocal(scope.temporaries), node))
        made = as_statement(hook(node, "made", load_name(node.name)), node)
        return [*self.variables(node), node, made, *self.wrote([node.name], node)]

    def variables(self, at: ast.ClassDef) -> list[ast.stmt]:
        """Make the temporary variables of a class body variables of the function."""
        if self.scope.kind == "class":
            return []
        names, self.scope.shared = self.scope.shared, []
        return [set_name(name, ast.Constant(None), at) for name in names]

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
        return [as_statement(hook(first, "made", load_name(node.args.kwarg.arg)), first)]

    # ----------------------------------------------------------------- what is not rewritten

    def visit_async(self, node: ast.AST) -> NoReturn:
        refuse_coroutine(node)

    visit_AsyncFunctionDef = visit_AsyncFor = visit_AsyncWith = visit_Await = visit_async

    def visit_unknown(self, node: ast.AST) -> NoReturn:
        refuse_syntax(node)

    visit_TypeAlias = visit_TemplateStr = visit_unknown
