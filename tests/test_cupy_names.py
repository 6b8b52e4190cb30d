"""Code that runs on any array module uses only what CuPy has too, read off the source.

CuPy can be imported without a GPU, so a function that it lacks is found before someone's
GPU finds it.
"""

import ast
from pathlib import Path

import pytest

import minidl

cupy = pytest.importorskip("cupy", reason="needs CuPy, which needs no GPU: .[test-cuda]")

ROOT = Path(minidl.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def _is_module_of(node):
    """Whether the expression is ``xp(...)`` or ``xp_of(...)``: an array module."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("xp", "xp_of")
    )


def names_used(source):
    """The names looked up in an array module: ``xp(x).name``, or through a local alias."""
    tree = ast.parse(source)
    aliases = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_module_of(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            value = node.value
            if _is_module_of(value) or (isinstance(value, ast.Name) and value.id in aliases):
                yield node.attr, node.lineno


@pytest.mark.parametrize("module", MODULES)
def test_cupy_has_every_function_used(module):
    used = names_used((ROOT / module).read_text())
    missing = [f"{module}:{line} {name}" for name, line in used if not hasattr(cupy, name)]
    assert not missing, missing


def test_the_search_finds_names():
    source = "module = xp(a)\nmodule.foo(1)\nxp(a, b).bar(2)\nother.baz(3)"
    assert sorted(names_used(source)) == [("bar", 3), ("foo", 2)]


def test_much_is_searched():
    assert sum(len(list(names_used((ROOT / module).read_text()))) for module in MODULES) > 100
