"""Module: a function with parameters, and with modules inside.

Parameters, buffers and submodules are ordinary attributes. A module only remembers, in
order, the names of those that are one of the three, and the rest follows from walking the
tree of modules: what there is to learn, to save, to convert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minidl.autograd import RemovableHandle, replace_array
from minidl.backend import float16, float32, float64, to_device
from minidl.nn.parameter import Parameter
from minidl.nn.state import IncompatibleKeys, load_state
from minidl.tensor import Destination, Tensor, destination


class Module:
    """Base of all layers and networks.

    A subclass calls ``super().__init__()``, then assigns its parameters and submodules to
    attributes, and defines ``forward``::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(10, 16)
                self.output = nn.Linear(16, 1)

            def forward(self, x):
                return self.output(self.hidden(x).relu())

    Attributes
    ----------
    training : bool
        Whether the module is in training mode, which matters to dropout and batch norm.
    """

    training: bool

    def __init__(self):
        # name -> Parameter, Tensor (a buffer) or Module; an attribute may be one and None
        self.__dict__["_roles"] = {}
        self._transient: set[str] = set()  # buffers that are not saved
        self._pre_hooks: list[Callable] = []
        self._hooks: list[Callable] = []
        self.training = True

    # ----------------------------------------------------------------- calling it

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result; every subclass defines it."""
        raise NotImplementedError(f'{type(self).__name__} misses its "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._pre_hooks or self._hooks:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        for hook in list(self._pre_hooks):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in list(self._hooks):
            changed = hook(self, args, result)
            result = result if changed is None else changed
        return result

    def register_forward_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; what it returns replaces ``args``."""
        self._pre_hooks.append(hook)
        return RemovableHandle(self._pre_hooks, hook)

    def register_forward_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, args, result)`` after ``forward``; it may return a new result."""
        self._hooks.append(hook)
        return RemovableHandle(self._hooks, hook)

    # ----------------------------------------------------------------- what belongs to it

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or with None the name of one that this module goes without."""
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state but is not learnt.

        Only a ``persistent`` one is part of `state_dict`.
        """
        self._register(name, tensor, Tensor)
        self._transient.discard(name)
        if not persistent:
            self._transient.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule."""
        self._register(name, module, Module)

    register_module = add_module

    def _register(self, name: str, value: Any, role: type) -> None:
        kind = f"{type(self).__name__}: a {_noun(role)}"
        if not isinstance(name, str):
            raise TypeError(f"{kind}'s name is a string, got {name!r}")
        if "." in name or not name:
            raise KeyError(f"{kind}'s name has no dots and is not empty, got {name!r}")
        if value is not None and not isinstance(value, role):
            raise TypeError(f"{kind} is a {role.__name__} or None, got {type(value).__name__}")
        if hasattr(self, name) and self._roles.get(name) is not role:
            raise KeyError(f"{kind} cannot be called {name!r}: there is such an attribute already")
        self._roles[name] = role
        self.__dict__[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._take_role(name, Parameter)
        elif isinstance(value, Module):
            self._take_role(name, Module)
        elif value is not None:
            role = self._roles.get(name)
            if role is not None and not isinstance(value, role):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a {_noun(role)}: it can become "
                    f"a {role.__name__} or None, not {type(value).__name__}"
                )
        object.__setattr__(self, name, value)

    def _take_role(self, name: str, role: type) -> None:
        if "_roles" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning "
                f"the {_noun(role)} {name!r}"
            )
        if self._roles.get(name) is not role:
            self._forget(name)
            self._roles[name] = role

    def _forget(self, name: str) -> None:
        self._roles.pop(name, None)
        self._transient.discard(name)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget(name)

    # ----------------------------------------------------------------- walking the tree

    def _members(self, role: type) -> Iterator[tuple[str, Any]]:
        """This module's own parameters, buffers or submodules, Nones included."""
        return ((name, getattr(self, name)) for name, r in self._roles.items() if r is role)

    def _walk(self, path: str) -> Iterator[tuple[str, Module]]:
        """This module and all below it, by path, one that appears twice twice."""
        yield path, self
        for name, child in self._members(Module):
            if child is not None:
                yield from child._walk(_join(path, name))

    def _walk_members(
        self, role: type, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        modules = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        found = (
            (_join(path, name), value)
            for path, module in modules
            for name, value in module._members(role)
            if value is not None
        )
        return _unique(found) if remove_duplicate else found

    def named_modules(
        self, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (named ``prefix``) and all below it, with their paths."""
        walk = self._walk(prefix)
        return _unique(walk) if remove_duplicate else walk

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one, each once, with their names."""
        return _unique((name, child) for name, child in self._members(Module) if child is not None)

    def children(self) -> Iterator[Module]:
        """The modules right below this one, each once."""
        return (child for _, child in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters of this module and, with ``recurse``, all below, with their paths."""
        return self._walk_members(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, with ``recurse``, all below, each once."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers of this module and, with ``recurse``, all below, with their paths."""
        return self._walk_members(Tensor, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, with ``recurse``, all below, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"features.0"``; AttributeError if there is none."""
        module = self
        for name in target.split(".") if target else ():
            if module._roles.get(name) is not Module:
                raise AttributeError(
                    f"{type(self).__name__} has no submodule {target!r}: "
                    f"{type(module).__name__} has none called {name!r}"
                )
            module = getattr(module, name)
        return module

    # ----------------------------------------------------------------- all of it at once

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call ``fn(module)`` for every module below this one, then for this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Module:
        """Put this module and all below it in training mode, or with False in evaluation mode."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: the mode is True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Put this module and all below it in evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Have backward fill in the gradients of all parameters, or not."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to 0."""
        for param in self.parameters():
            if set_to_none or param.grad is None:
                param.grad = None
            else:
                param.grad = param.grad.detach().zero_()

    def to(self, *args: Any, **options: Any) -> Module:
        """Move parameters and buffers to a device, convert floating-point ones, in place.

        Parameters
        ----------
        *args, dtype, device, non_blocking
            A dtype, a device (or its name), or a tensor that has the wanted ones; see
            `Tensor.to`.

        Raises
        ------
        TypeError
            If the dtype is not a floating-point one.
        ValueError
            If there is no such device.
        """
        wanted = destination(*args, **options)
        if wanted.dtype is not None and wanted.dtype.kind != "f":
            raise TypeError(
                f"a module can be converted to a floating-point dtype, not to {wanted.dtype}"
            )
        for tensor in [*self.parameters(), *self.buffers()]:
            _put(tensor, wanted)
            if tensor.grad is not None:
                _put(tensor.grad, wanted)
        return self

    def half(self) -> Module:
        """Convert to float16."""
        return self.to(float16)

    def float(self) -> Module:
        """Convert to float32."""
        return self.to(float32)

    def double(self) -> Module:
        """Convert to float64."""
        return self.to(float64)

    def cpu(self) -> Module:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Module:
        """Move to a GPU, the current one unless ``device`` says which."""
        return self.to(device="cuda" if device is None else device)

    # ----------------------------------------------------------------- its state

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and persistent buffers by path; they share memory with the module."""
        return {name: tensor.detach() for name, tensor in self._state()}

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self._walk(""):
            for name, param in module._members(Parameter):
                if param is not None:
                    yield _join(path, name), param
            for name, buffer in module._members(Tensor):
                if buffer is not None and name not in module._transient:
                    yield _join(path, name), buffer

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into parameters and buffers, converted to their dtypes.

        Parameters
        ----------
        state_dict : dict
            Tensors (or arrays) by path, as `state_dict` returns them.
        strict : bool
            Whether a missing or an unexpected key is an error.

        Returns
        -------
        IncompatibleKeys
            The named tuple ``(missing_keys, unexpected_keys)``.

        Raises
        ------
        RuntimeError
            Naming every key that does not fit; the module is then as it was before.
        TypeError
            If ``state_dict`` is not a dictionary.
        """
        return load_state(dict(self._state()), state_dict, strict, type(self).__name__)

    # ----------------------------------------------------------------- as text

    def extra_repr(self) -> str:
        """What stands in the parentheses of the module's repr; a subclass may define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): {child!r}" for name, child in self._members(Module)]
        return tree_repr(type(self).__name__, extra, children)


def tree_repr(name: str, extra: str, children: list[str]) -> str:
    """``name(extra)`` on one line, or with ``children`` on indented lines of their own."""
    if not children and "\n" not in extra:
        return f"{name}({extra})"
    lines = [*([extra] if extra else []), *children]
    body = "\n".join(lines).replace("\n", "\n  ")
    return f"{name}(\n  {body}\n)"


def _noun(role: type) -> str:
    return {Parameter: "parameter", Tensor: "buffer", Module: "module"}[role]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unique(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each object once, under the first of its names."""
    seen: set[int] = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _put(tensor: Tensor, wanted: Destination) -> None:
    """The tensor itself moved and, if it is floating point, converted."""
    array = tensor.array
    if wanted.dtype is not None and array.dtype.kind == "f":
        array = array.astype(wanted.dtype, copy=False)
    if wanted.device is not None:
        array = to_device(array, wanted.device, wanted.non_blocking)
    if array is not tensor.array:
        replace_array(tensor, array)
