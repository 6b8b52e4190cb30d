"""The compiled module: a module whose calls are replayed, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from minidl.autograd.mode import is_grad_enabled, mode
from minidl.compiler.calls import Calls
from minidl.nn import Module
from minidl.nn.state import IncompatibleKeys


class CompiledModule(Module):
    """What `minidl.compile` makes of a module: a module that computes the same, by plans.

    It stands in for the original. That is its only submodule, ``_orig_mod``; all other
    attributes are the original's, for reading and for writing. So names of parameters and keys
    of `state_dict` begin with ``_orig_mod.``, as PyTorch has it; `load_state_dict` takes them
    with and without.

    Where operations are recorded, results have a graph of one node, whose backward pass is
    replayed as well. Gradients cannot be differentiated again: ``create_graph=True`` is a
    RuntimeError. What cannot be captured runs as the original does, with a warning.

    Where the original has no such attributes, ``captures`` is how many plans were made,
    ``report()`` why and what they cost, ``code()`` their programs as Python, and ``reset()``
    forgets them.

    Parameters
    ----------
    module : Module
        The original.
    fullgraph : bool
        Whether it is an error if a call cannot be captured.
    audit : int, optional
        After how many replays a plan is audited, see `minidl.compile`.
    """

    def __init__(self, module: Module, fullgraph: bool = False, audit: int | None = None):
        own = self.__dict__
        own.update(_roles={"_orig_mod": Module}, _transient=set(), _pre_hooks=[], _hooks=[])
        own.update(_orig_mod=module, _calls=Calls(module, fullgraph, audit))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._pre_hooks or self._hooks:
            return self._call_with_hooks(args, kwargs)
        if is_grad_enabled() or mode.observer is not None:
            return self.forward(*args, **kwargs)
        return self._calls.inference(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the original module's result."""
        if mode.observer is not None and mode.observer.recording:  # as a part of another step
            return self._orig_mod(*args, **kwargs)
        return self._calls(args, kwargs)

    @property
    def __compiled_function__(self) -> Module:
        """What runs when it is called inside another captured step."""
        return self._orig_mod

    # ----------------------------------------------------------------- in place of the original

    def train(self, mode: bool = True) -> CompiledModule:
        """Put the original in training mode, or with False in evaluation mode, in its own way."""
        self._orig_mod.train(mode)
        return self

    def apply(self, fn: Callable[[Module], Any]) -> CompiledModule:
        """Call ``fn(module)`` for the original and all modules below it."""
        self._orig_mod.apply(fn)
        return self

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a buffer to the original; see `minidl.nn.Module.register_buffer`."""
        self._orig_mod.register_buffer(name, tensor, persistent)

    def _register(self, name: str, value: Any, role: type) -> None:
        self._orig_mod._register(name, value, role)

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into parameters and buffers; see `minidl.nn.Module.load_state_dict`.

        Keys may have the prefix ``_orig_mod.`` or not.
        """
        if isinstance(state_dict, Mapping):
            names = {_plain(name): name for name, _ in self._state()}
            state_dict = {names.get(_plain(key), key): state_dict[key] for key in state_dict}
        return super().load_state_dict(state_dict, strict)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_orig_mod" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name in _EXTRAS and not hasattr(self._orig_mod, name):
            return getattr(self._calls, name)
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_orig_mod":
            calls = Calls(value, self._calls.fullgraph, self._calls.audit)
            self.__dict__.update(_orig_mod=value, _calls=calls)
        elif name in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __getitem__(self, index: Any) -> Any:
        return self._orig_mod[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._orig_mod)

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __bool__(self) -> bool:
        return True

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod), *_EXTRAS})

    def __reduce__(self) -> tuple:
        hooks = {"_pre_hooks": self._pre_hooks, "_hooks": self._hooks}
        calls = self._calls
        return type(self), (calls.module, calls.fullgraph, calls.audit), hooks


_EXTRAS = ("captures", "code", "report", "reset")


def _plain(name: str) -> str:
    """A parameter's path without the steps into compiled modules."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
