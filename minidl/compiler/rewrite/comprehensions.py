"""Rewriting of comprehensions."""

from __future__ import annotations

import ast

from minidl.compiler.rewrite.scoped import Scoped
from minidl.compiler.rewrite.scopes import Comprehension, Scope
from minidl.compiler.rewrite.syntax import (
    clause_of,
    hook,
    list_of,
    load_name,
    located,
    refuse_coroutine,
    store_name,
)


class Comprehensions(Scoped):
    """Rewrites comprehensions and generator expressions."""

    def visit_comprehension_of(self, node: Comprehension) -> ast.expr:
        if any(generator.is_async for generator in node.generators):
            refuse_coroutine(node)
        first = self.iterated(node.generators[0].iter)  # the scope around evaluates it
        before = None
        if self.can_bind() and any(isinstance(part, ast.NamedExpr) for part in ast.walk(first)):
            name = self.temporary()
            before = located(ast.NamedExpr(located(store_name(name), first), first), first)
            first = located(load_name(name), first)
        with self.inside(Scope.of_comprehension(node, self.scope)):
            node.generators = self.clauses(node.generators, first)
            for field in ("elt", "key", "value"):
                if hasattr(node, field):
                    setattr(node, field, self.visit(getattr(node, field)))
        made = hook(node, "made", node)
        if before is None:
            return made
        both = located(ast.Tuple([before, made], ast.Load()), node)
        return located(ast.Subscript(both, ast.Constant(1), ast.Load()), node)

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
            return [clause_of(target, values)]
        name = f"@{next(self.numbers)}"  # of the comprehension itself
        return [clause_of(located(store_name(name), target), values), *self.once(target, name)]

    def once(self, target: ast.expr, name: str) -> list[ast.comprehension]:
        """``for`` clauses of one round that take a variable apart."""
        value = located(load_name(name), target)
        if isinstance(target, ast.Attribute | ast.Subscript):
            unused = located(store_name(f"@{next(self.numbers)}"), target)
            return [clause_of(unused, list_of(self.stored(target, value)))]
        names, parts = self.parts(target)
        new = [clause_of(names, list_of(hook(target, "unpack", value)))]
        for part, held in parts:
            if isinstance(part, ast.Name):
                new.append(clause_of(part, list_of(located(load_name(held), part))))
            else:
                new += self.once(part, held)
        return new
