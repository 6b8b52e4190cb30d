"""Modules that hold other modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from minidl.nn.module import Module, tree_repr


class _Indexed(Module):
    """Modules in a row, by default called "0", "1" and so on."""

    def _names(self) -> list[str]:
        return [name for name, _ in self._members(Module)]

    def _name_at(self, index: int) -> str:
        size = len(self)
        if not -size <= operator.index(index) < size:
            raise IndexError(f"index {index} is out of range for {size} modules")
        return self._names()[index]

    def _put_all(self, modules: list[Module]) -> None:
        """Hold just ``modules``, named by their positions."""
        for name in self._names():
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self._members(Module))

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        del kept[index]
        self._put_all(kept)

    def append(self, module: Module) -> _Indexed:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> _Indexed:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> _Indexed:
        """Put a module before position ``index``; those behind it move up."""
        modules = list(self)
        modules.insert(index, module)
        self._put_all(modules)
        return self


class Sequential(_Indexed):
    """Modules that are applied one after the other.

    Parameters
    ----------
    *modules : Module, or one dict of them by name
        In the order in which they are applied.
    """

    def __init__(self, *modules: Module | dict[str, Module]):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            named = modules[0].items()
        else:
            named = ((str(i), module) for i, module in enumerate(modules))
        for name, module in named:
            self.add_module(name, module)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._members(Module))[index]))
        return getattr(self, self._name_at(index))

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input


class ModuleList(_Indexed):
    """A list of modules that belong to the module that holds it."""

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__()
        self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name_at(index))

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __repr__(self) -> str:
        """Like any module's, with equal neighbours on one line: ``(0-2): 3 x ReLU()``."""
        lines = []
        for text, run in groupby(zip(self._names(), map(repr, self)), key=lambda pair: pair[1]):
            names = [name for name, _ in run]
            if len(names) == 1:
                lines.append(f"({names[0]}): {text}")
            else:
                lines.append(f"({names[0]}-{names[-1]}): {len(names)} x {text}")
        return tree_repr(type(self).__name__, self.extra_repr(), lines)


class ModuleDict(Module):
    """A dictionary of modules that belong to the module that holds it."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        super().__init__()
        self.update(modules)

    def _name(self, key: str) -> str:
        if key not in self:
            raise KeyError(f"there is no module {key!r}; there are {', '.join(self.keys())}")
        return key

    def __getitem__(self, key: str) -> Module:
        return getattr(self, self._name(key))

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        delattr(self, self._name(key))

    def __contains__(self, key: str) -> bool:
        return self._roles.get(key) is Module

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names, in the order in which they were added."""
        return [name for name, _ in self._members(Module)]

    def values(self) -> list[Module]:
        """The modules, in the order in which they were added."""
        return [module for _, module in self._members(Module)]

    def items(self) -> list[tuple[str, Module]]:
        """The pairs of name and module, in the order in which they were added."""
        return list(self._members(Module))

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or put them in the place of those of the same name."""
        for key, module in dict(modules).items():
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in self.keys():
            del self[key]
