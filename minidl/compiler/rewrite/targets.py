"""Rewriting of assignments: what a statement binds, stores or deletes."""

from __future__ import annotations

import ast

from minidl.compiler.rewrite.scoped import Scoped
from minidl.compiler.rewrite.syntax import (
    BINARY,
    as_statement,
    binds_names,
    delete_name,
    flattened,
    hook,
    load_name,
    located,
    names_in,
    set_name,
    store_name,
)


class Targets(Scoped):
    """Rewrites assignments and deletions."""

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """Statements that store a rewritten value."""
        if isinstance(target, ast.Name):
            return [located(ast.Assign([target], value), target), *self.wrote([target.id], target)]
        if isinstance(target, ast.Attribute | ast.Subscript):
            return [as_statement(self.stored(target, value), target)]
        names, parts = self.parts(target)
        unpacked = located(ast.Assign([names], hook(target, "unpack", value)), target)
        statements: list[ast.stmt] = [unpacked]
        if not parts:
            statements += self.wrote([name.id for name in names_in(target)], target)
        for part, name in parts:
            statements += [
                *self.assign(part, located(load_name(name), part)),
                delete_name(name, part),
            ]
        return statements

    def stored(self, target: ast.Attribute | ast.Subscript, value: ast.expr) -> ast.expr:
        """A call that stores in an object; by keyword, for the value comes first."""
        owner = self.visit(target.value)
        if isinstance(target, ast.Attribute):
            name = self.constant(target.attr)
            return hook(target, "set_attribute", value=value, owner=owner, name=name)
        key = self.key(target.slice)
        return hook(target, "set_item", value=value, owner=owner, key=key)

    def parts(self, target: ast.expr) -> tuple[ast.expr, list[tuple[ast.expr, str]]]:
        """What to unpack into, and what goes on from which temporary variable."""
        if binds_names(target):
            return target, []
        parts: list[tuple[ast.expr, str]] = []
        stores: list[ast.expr] = []
        for element in target.elts:
            starred = isinstance(element, ast.Starred)
            parts.append((element.value if starred else element, self.temporary()))
            store = located(store_name(parts[-1][1]), element)
            stores.append(located(ast.Starred(store, ast.Store()), element) if starred else store)
        return located(ast.Tuple(stores, ast.Store()), target), parts

    def bound(self, target: ast.expr) -> tuple[ast.expr, list[ast.stmt]]:
        """What a statement binds by itself, and the statements that bind the target then."""
        if isinstance(target, ast.Name):
            return target, self.wrote([target.id], target)
        name = self.temporary()
        rest = self.assign(target, located(load_name(name), target))
        return located(store_name(name), target), [*rest, delete_name(name, target)]

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        value = self.visit(node.value)
        if all(isinstance(target, ast.Name) for target in node.targets):
            node.value = value
            return [node, *self.wrote([target.id for target in node.targets], node)]
        if len(node.targets) == 1:
            return self.assign(node.targets[0], value)
        name = self.temporary()
        statements = [set_name(name, value, node)]
        for target in node.targets:
            statements += self.assign(target, located(load_name(name), target))
        return [*statements, delete_name(name, node)]

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
        return [as_statement(value, target) for value in values]

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        target = node.target
        if isinstance(target, ast.Name):
            now = self.visit(located(load_name(target.id), target))
            return self.assign(target, self.inplace(node, now))
        owner = self.temporary()
        before, after = (
            [set_name(owner, self.visit(target.value), target)],
            [delete_name(owner, node)],
        )
        if isinstance(target, ast.Attribute):
            where = {"owner": load_name(owner), "name": self.constant(target.attr)}
            get, put = "attribute", "set_attribute"
        else:
            key = self.temporary()
            before.append(set_name(key, self.key(target.slice), target))
            after.append(delete_name(key, node))
            where = {"owner": load_name(owner), "key": load_name(key)}
            get, put = "item", "set_item"
        value = self.inplace(node, hook(target, get, *where.values()))
        return [*before, as_statement(hook(target, put, value=value, **where), node), *after]

    def inplace(self, node: ast.AugAssign, now: ast.expr) -> ast.expr:
        sign = ast.Constant(BINARY[type(node.op)])
        return hook(node, "inplace", sign, now, self.visit(node.value))

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        return [part for target in flattened(node.targets) for part in self.delete(target)]

    def delete(self, target: ast.expr) -> list[ast.stmt]:
        if isinstance(target, ast.Name):
            return [located(ast.Delete([target]), target), *self.deleted(target.id, target)]
        owner = self.visit(target.value)
        if isinstance(target, ast.Attribute):
            call = hook(target, "delete_attribute", owner, self.constant(target.attr))
        else:
            call = hook(target, "delete_item", owner, self.key(target.slice))
        return [as_statement(call, target)]
