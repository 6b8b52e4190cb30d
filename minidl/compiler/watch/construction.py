"""Calls of classes and instances: what is constructed is inside."""

from __future__ import annotations

import functools
import operator
from types import (
    FunctionType,
)
from typing import Any

from minidl.autograd import TensorBase, wrap
from minidl.compiler.errors import CaptureError
from minidl.compiler.watch import native
from minidl.compiler.watch.attributes import HEAP_TYPE
from minidl.compiler.watch.guards import MISSING, static_attribute
from minidl.compiler.watch.live import LiveTransform
from minidl.compiler.watch.trust import is_engine, is_own
from minidl.vision.transforms.base import Transform


class Construction:
    """The part of a `Watch` that calls classes and instances."""

    def construct(self, kind: type, args: tuple, kwargs: dict) -> Any:
        """Call a class."""
        handler = self.special.get(id(kind))
        if handler is not None:
            return handler(*args, **kwargs)
        meta = type(kind)
        method = static_attribute(meta, "__call__")
        if type(method) is FunctionType:
            self.guard_class(meta, "__call__", method)
            return self.call(method, (kind, *args), kwargs)
        if native.is_numpy(kind):
            return self.call_numpy(kind, args, kwargs)
        make = static_attribute(kind, "__new__")
        begin = static_attribute(kind, "__init__")
        make = make.__func__ if isinstance(make, staticmethod) else make
        is_python = [type(f) is FunctionType for f in (make, begin)]
        if not any(is_python):
            return self.make_fresh(self._construct_native(kind, args, kwargs))
        if type(begin) is FunctionType and is_engine(begin.__code__):
            return self.vouched(self.make_inside(self.call_engine_class(kind, args, kwargs)))
        if is_python[0]:
            self.guard_class(kind, "__new__", static_attribute(kind, "__new__"))
            made = self.call(make, (kind, *args), kwargs)  # not always a new object
        elif make is object.__new__:
            made = self.make_inside(object.__new__(kind))
        else:
            made = self.make_fresh(self.native(make, (kind, *args), kwargs))
        if isinstance(made, kind) and type(begin) is FunctionType:
            self.guard_class(kind, "__init__", begin)
            self.call(begin, (made, *args), kwargs)
        elif isinstance(made, kind) and begin is not object.__init__:
            self.native(begin, (made, *args), kwargs)
        return made

    def _construct_native(self, kind: type, args: tuple, kwargs: dict) -> Any:
        """Make an instance of a class of C's, or of a subclass that adds no constructor."""
        base = next(base for base in kind.__mro__ if not base.__flags__ & HEAP_TYPE)
        if issubclass(base, BaseException):  # its text reads what it was given
            args = tuple(map(self.deep, args))
            return self.native(kind, args, {key: self.deep(arg) for key, arg in kwargs.items()})
        if base is kind or kind in native.PURE_BUILTINS:
            return self.call_native(kind, args, kwargs)
        if base not in native.PURE_BUILTINS:
            raise self.refused(kind)
        return self._pure(kind, args, kwargs)

    def call_engine_class(self, kind: type, args: tuple, kwargs: dict) -> Any:
        """Call a class of minidl's engine."""
        args = tuple(map(self.deep, args))
        return self.trusted(kind, args, {key: self.deep(arg) for key, arg in kwargs.items()})

    def call_instance(self, instance: Any, args: tuple, kwargs: dict) -> Any:
        """Call an instance of a class that has ``__call__``."""
        step = self.step_of(instance)
        if step is not None:
            return self.call(step, args, kwargs)
        kind = type(instance)
        method = static_attribute(kind, "__call__")
        if isinstance(instance, Transform) and instance.draws and is_own(method.__code__):
            return self._random_transform(instance, args, kwargs)
        if type(method) is FunctionType:
            self.guard_type(instance)
            self.guard_class(kind, "__call__", method)
            return self.call(method, (instance, *args), kwargs)
        if native.is_numpy(instance) and callable(instance):
            return self.call_numpy(instance, args, kwargs)
        if method is MISSING:
            return instance(*args, **kwargs)  # raises
        raise self.refused(instance)

    def _random_transform(self, transform: Transform, args: tuple, kwargs: dict) -> Any:
        """Apply a transform whose random numbers the host looks at, again in each replay."""
        tensor = args[0] if args else None
        if not isinstance(tensor, TensorBase) or len(args) != 1 or kwargs:
            raise self.refused(transform)
        if tensor.requires_grad or getattr(transform, "inplace", False):
            raise CaptureError(
                f"{self.line()}: {type(transform).__name__} in a captured step neither changes its "
                "argument in place nor leads gradients through: pass detach() of the tensor"
            )
        self.recorder.takes((tensor,))
        name = type(transform).__name__
        return wrap(self.recorder.call(name, LiveTransform(transform), (tensor.array,), {}))

    def _getter(self, function: Any, args: tuple) -> Any:
        """What an ``operator.attrgetter``, ``itemgetter`` or ``methodcaller`` gives."""
        kind, given = function.__reduce__()[:2]
        (owner,) = args
        if type(function) is operator.methodcaller:
            method = self.attribute(owner, given[0])
            return self.call(method, tuple(given[1:]), getattr(kind, "keywords", {}))
        if type(function) is operator.itemgetter:
            found = [self.item(owner, key) for key in given]
        else:
            found = [functools.reduce(self.attribute, name.split("."), owner) for name in given]
        return found[0] if len(found) == 1 else tuple(found)
