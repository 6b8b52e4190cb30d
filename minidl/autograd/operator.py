"""Operators: a function of arrays and one differentiable gradient rule per argument.

::

    @op
    def exp(x):
        return xp(x).exp(x)

    exp.vjp(lambda g, y, _x: g * y)

A rule gets ``g`` (the gradient of the result), ``y`` (the result) and the arguments, all
as tensors, and is made of operators itself: that is why a gradient can be differentiated
again. A parameter whose name starts with an underscore is one whose *values* the rule
does not need: it is not saved, and the rule sees only its shape and dtype (a `Spec`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from minidl.autograd.engine import grad
from minidl.autograd.graph import Edge, Node, Output, Saving, Spec, TensorBase, describe, wrap
from minidl.autograd.mode import mode, run
from minidl.autograd.silence import restore, silence
from minidl.backend import CPU, device_of, out_of_memory


class Rule:
    """A gradient rule and, read off its parameter names, the values it needs."""

    def __init__(self, function: Callable):
        self.function = function
        parameters = inspect.signature(function).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        needs = [not name.startswith("_") for name in names[1:]]
        self.needs_result = needs[0]
        self.needs_argument = needs[1:]

    def needs(self, position: int) -> bool:
        """Whether the argument at ``position`` is needed; the last name covers the rest."""
        return self.needs_argument[min(position, len(self.needs_argument) - 1)]


class Op:
    """An operator: a pure function of arrays, and a differentiable rule per argument."""

    multiple = False  # whether it returns a tuple: known after the first call

    def __init__(self, forward: Callable, view: bool = False):
        self.forward = forward
        forward.is_view = view
        self.name = forward.__name__.strip("_")
        self.view = view
        self.rules: list[Rule | None] = []
        self.wanted: list[int] = []
        self.each: Rule | None = None
        self.array_rules: Sequence[Callable | None] = ()
        self.arithmetic = False  # whether these are of + - * / alone
        self.quiet = getattr(forward, "quiet", False)
        self.kernel: Callable | None = None  # for all gradients at once
        self.savings: dict[int, Saving] = {}  # by the kinds of arguments
        parameters = inspect.signature(forward).parameters.values()
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.names = tuple(p.name for p in parameters)
        self.arity = None if variadic else len(self.names)
        self.defaults = tuple(p.default for p in parameters)

    def vjp(
        self,
        *rules: Callable | None,
        arithmetic: bool = False,
        arrays: Sequence[Callable | None] = (),
    ) -> None:
        """Declare the rule of each leading argument; None where there is no gradient.

        ``rule(g, y, *arguments)`` is the product of ``g`` with the Jacobian in that argument.
        ``arrays`` are the rules again, to the same bits, for arrays of one dtype: they are used
        when the gradient is not recorded. ``arithmetic`` says that the rules use Python's
        ``+ - * /`` alone, and so are these themselves.
        """
        self.arithmetic = arithmetic
        self.array_rules = rules if arithmetic else arrays
        self.rules = [Rule(rule) if rule else None for rule in rules]
        self.wanted = [i for i, rule in enumerate(rules) if rule]
        self.savings.clear()

    def vjp_each(self, rule: Callable) -> Callable:
        """Declare one rule for all tensors of ``op(*tensors, option=...)``.

        ``rule(g, y, *tensors, i=..., option=...)`` is the rule of tensor ``i``.
        """
        self.each = Rule(rule)
        self.savings.clear()
        return rule

    def vjp_kernel(self, kernel: Callable) -> Callable:
        """Declare a function that has all gradients at once, for when the rules would be slower.

        ``kernel(g, y, *arguments, wanted)`` gets arrays, or a `Spec` where the rules do without
        the values, and whether each rule's gradient is wanted; it returns an array for each that
        is, and anything for the others. The rules define what it computes, and are still what is
        differentiated for derivatives of higher order.
        """
        self.kernel = kernel
        return kernel

    def apply(self, args: tuple, static: dict) -> Any:
        """Run on the arguments' arrays and, if a gradient may be asked for, record it."""
        if self.arity is not None and (static or len(args) != self.arity):
            args, static = self.bind(args, static), {}
        arrays, kinds = _unpacked(args)
        loud = silence() if self.quiet else None
        try:
            if mode.observer is None:  # an empty dict of options costs as much as an argument
                result = self.forward(*arrays, **static) if static else self.forward(*arrays)
            else:
                mode.observer.takes(args)
                result = mode.observer.call(self.name, self.forward, tuple(arrays), static)
        except Exception as error:
            return self.rescued(error, args, static)
        finally:
            if loud is not None:
                restore(loud)
        if isinstance(result, tuple):
            self.multiple = True
            output = tuple(map(wrap, result))
        else:
            output = wrap(result)
        if self.view:
            self.share_version(args[0], output)
        if mode.enabled:
            saving = self.savings.get(kinds) or self.saving(kinds)
            if saving.recorded:
                self.record(args, static, saving, output)
        return output

    def bind(self, args: tuple, named: dict) -> tuple:
        """All arguments in the order of the signature, defaults filled in."""
        bound = list(args)
        for name, default in zip(self.names[len(args) :], self.defaults[len(args) :]):
            value = named.pop(name, default)
            if value is inspect.Parameter.empty:
                raise TypeError(f"{self.name}() misses its argument {name!r}")
            bound.append(value)
        if named or len(bound) > len(self.names):
            extra = ", ".join(named) or f"{len(bound)} arguments"
            raise TypeError(f"{self.name}({', '.join(self.names)}) does not take {extra}")
        return tuple(bound)

    def rescued(self, error: Exception, args: tuple, static: dict) -> Any:
        """The result for arguments on one device, if that is all that was wrong, or the error.

        As PyTorch has it, a number in a 0-d tensor of the CPU goes with tensors of any device.
        """
        places = {device_of(a.array) for a in args if isinstance(a, TensorBase)}
        if len(places) == 2 and CPU in places:
            (place,) = places - {CPU}
            moved = tuple(a.to(device=place) if _is_number(a) else a for a in args)
            if all(device_of(a.array) == place for a in moved if isinstance(a, TensorBase)):
                return self.apply(moved, static)
        explained = self.explain(error, args, places)
        if explained is error:
            raise error
        raise explained from None

    def explain(self, error: Exception, args: tuple, places: set) -> Exception:
        """The error, of the same kind, with the name of the operator and what it was given."""
        call = f"{self.name}({describe(args)})"
        if isinstance(error, MemoryError):
            return out_of_memory(error, call)
        if len(places) > 1:
            return TypeError(f"{call}: tensors on different devices {sorted(map(str, places))}")
        kinds = (kind for kind in (IndexError, ValueError, TypeError) if isinstance(error, kind))
        kind = next(kinds, None)
        return error if kind is None else kind(f"{call}: {error}")

    def saving(self, kinds: int) -> Saving:
        """What to keep of calls with arguments of these kinds."""
        rules = {i: self.each or self.rules[i] for i in self.inside(kinds)}
        needed = [any(rule.needs(i) for rule in rules.values()) for i in range(len(_digits(kinds)))]
        return self.note_saving(kinds, rules, needed, any(r.needs_result for r in rules.values()))

    def inside(self, kinds: int) -> list[int]:
        """The positions of arguments that are in the graph and have a rule."""
        digits = _digits(kinds)
        positions = range(len(digits)) if self.each else self.wanted
        return [i for i in positions if digits[i] == _RECORDED]

    def note_saving(
        self, kinds: int, wanted: Collection[int], needed: Sequence[bool], result: bool
    ) -> Saving:
        """What to keep for arguments of these kinds, noted for the next time."""
        tensors = [i for i, kind in enumerate(_digits(kinds)) if kind]
        kept = tuple((i, i in wanted, needed[i]) for i in tensors)
        saving = self.savings[kinds] = Saving(bool(wanted), kept, result)
        return saving

    def record(self, args: tuple, kept: Any, saving: Saving, output: Any) -> None:
        """Put a node behind the output, or behind those that can have a gradient."""
        if type(output) is tuple:
            self.record_several(args, kept, saving, output)
        elif output.array.dtype.kind == "f":
            output.place = node = Node(self, args, kept, saving, output.array)
            if saving.result:
                node.results = output.array
                node.watch(output)

    def record_several(self, args: tuple, kept: Any, saving: Saving, outputs: tuple) -> None:
        """Put a node behind several outputs."""
        node = Node(self, args, kept, saving, outputs[0].array)
        node.results = [out.array if saving.result else Spec(out.array) for out in outputs]
        for i, out in enumerate(outputs):
            if saving.result:
                node.watch(out)
            if out.array.dtype.kind == "f":
                out.place = Output(node, i, out.array)

    def share_version(self, source: TensorBase, output: Any) -> None:
        """Outputs that look into the source's memory count its in-place changes."""
        known = source.version[1] if source.view_version is None else source.view_version
        for out in output if type(output) is tuple else (output,):
            if np.may_share_memory(out.array, source.array):
                out.version = source.version
                out.view_version = known

    def differentiate(self, node: Node, g: Any, edges: list[Edge]) -> list:
        """The gradients of the arguments behind ``edges``: see `Differentiable`."""
        if mode.enabled:
            return self.apply_rules(node, g, edges)
        if self.kernel is not None:
            return self.run_kernel(node, g, edges)
        if self.array_rules and mode.observer is None:
            found = self.apply_rules_to_arrays(node, g, edges)
            if found is not None:
                return found
        return _unwrapped(self.apply_rules(node, _wrapped(g), edges))

    def apply_rules(self, node: Node, g: Any, edges: list[Edge]) -> list:
        """What the rules of the arguments behind ``edges`` make of tensors."""
        y = node.restored()
        if self.each:
            rules = [functools.partial(self.each.function, i=i, **node.kept) for i, _ in edges]
        else:
            rules = [self.rules[i].function for i, _ in edges]
        if mode.observer is None:
            return [rule(g, y, *node.args) for rule in rules]
        return [mode.observer.invoke(rule, (g, y, *node.args)) for rule in rules]

    def apply_rules_to_arrays(self, node: Node, g: Any, edges: list[Edge]) -> list | None:
        """What the rules make of arrays; None if their dtypes differ, for tensors promote."""
        arrays, dtype, found = [], _dtype_of(g), []
        scalar = self.arithmetic and not node.shape  # several times as fast as an array of one
        if scalar and type(g) is np.ndarray:
            g = g[()]
        scalar = scalar and isinstance(g, np.generic)
        for arg in node.args:
            if isinstance(arg, TensorBase):
                arg = arg.array
                if arg.dtype is not dtype:
                    return None
                if scalar:
                    arg = arg[()]
            arrays.append(arg)
        y = node if node.results is None else node.results
        if scalar and y is not node:
            y = y[()]
        loud = silence()
        try:
            for i, _ in edges:
                found.append(self.array_rules[i](g, y, *arrays))
            return found
        except MemoryError as error:
            raise self.without_memory(node, error) from None
        finally:
            restore(loud)

    def run_kernel(self, node: Node, g: Any, edges: list[Edge]) -> list:
        """What the kernel of all gradients makes of arrays."""
        wanted = [False] * len(self.rules)
        for i, _ in edges:
            wanted[i] = True
        y = node if node.results is None else node.results
        found = self.run_backward(node, _as_array(g), y, *_arrays(node.args), tuple(wanted))
        return [found[i] for i, _ in edges]

    def run_backward(self, node: Node, *args: Any) -> Any:
        """What the kernel of the gradients returns for ``args``."""
        try:
            return run(f"{self.name} backward", self.kernel, *args)
        except MemoryError as error:
            raise self.without_memory(node, error) from None

    def without_memory(self, node: Node, error: MemoryError) -> Exception:
        """The error of a gradient for which there was no memory."""
        return out_of_memory(error, f"the gradient of {self.name}({describe(node.args)})")


class FusedOp(Op):
    """An operator with a kernel for its gradient, and a plain composition beside it.

    Of several results only the first is differentiable; the others are by-products, like
    the statistics of a batch norm.
    """

    def __init__(self, forward: Callable, reference: Callable):
        super().__init__(forward)
        self.reference = reference

    def backward(self, *arguments: str) -> Callable:
        """Declare the backward kernel; it returns one array (or None) per named argument.

        ``kernel(g, residuals, *args)`` gets arrays: the gradient of the first result, what
        the forward function returned beside its results, and the arguments.
        """
        self.wanted = [self.names.index(name) for name in arguments]
        self.savings.clear()

        def declare(kernel: Callable) -> Callable:
            self.kernel = kernel
            return kernel

        return declare

    def apply(self, args: tuple, static: dict) -> Any:
        """Run the forward kernel, which returns ``(result, residuals)``."""
        if static or len(args) != self.arity:
            args = self.bind(args, static)
        arrays, kinds = _unpacked(args)
        try:
            if mode.observer is None:
                result, residuals = self.forward(*arrays)
            else:
                mode.observer.takes(args)
                result, residuals = mode.observer.call(self.name, self.forward, tuple(arrays), {})
        except Exception as error:
            return self.rescued(error, args, {})
        output = tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)
        if mode.enabled:
            saving = self.savings.get(kinds) or self.saving(kinds)
            if saving.recorded:
                first = output[0] if type(output) is tuple else output
                self.record(args, residuals, saving, first)
        return output

    def saving(self, kinds: int) -> Saving:
        """All arguments' values are kept, for the kernel or for the composition; no result's."""
        return self.note_saving(kinds, self.inside(kinds), [True] * len(_digits(kinds)), False)

    def differentiate(self, node: Node, g: Any, edges: list[Edge]) -> list:
        """The kernel's gradients; those of the composition when they will be differentiated."""
        if mode.enabled:
            return self.differentiate_reference(node, g, edges)
        found = self.run_backward(node, _as_array(g), node.kept, *_arrays(node.args))
        gradients = dict(zip(self.wanted, found))
        return [gradients[i] for i, _ in edges]

    def differentiate_reference(self, node: Node, g: TensorBase, edges: list[Edge]) -> list:
        args = list(node.args)
        for i, _ in edges:  # one handle per argument, even if a tensor was passed twice
            args[i] = args[i].view_as(args[i])
        result = self.reference(*args)
        result = result[0] if isinstance(result, tuple) else result
        inputs = [args[i] for i, _ in edges]
        return list(grad(result, inputs, g, create_graph=True, allow_unused=True))


_RECORDED = 2  # the kind of a tensor in the graph; 1 is another tensor, 0 anything else


def _unpacked(args: tuple) -> tuple[list, int]:
    """The arguments with arrays for tensors, and their kinds.

    These are one number: a 1, then a digit to the base 4 for each argument.
    """
    arrays, kinds = [], 1
    for arg in args:
        if isinstance(arg, TensorBase):
            arrays.append(arg.array)
            kinds = 4 * kinds + (1 if arg.place is None else _RECORDED)
        else:
            arrays.append(arg)
            kinds *= 4
    return arrays, kinds


def _arrays(args: list) -> list:
    """The arguments with arrays for tensors."""
    return [arg.array if isinstance(arg, TensorBase) else arg for arg in args]


def _as_array(g: Any) -> Any:
    """The gradient of a number, which may be a scalar of NumPy's, as kernels take it."""
    return np.asarray(g) if isinstance(g, np.generic) else g


def _dtype_of(g: Any) -> np.dtype:
    """The dtype of the gradient of a result, or of those of several (None for 0)."""
    if type(g) is tuple:
        return next(each.dtype for each in g if each is not None)
    return g.dtype


def _wrapped(g: Any) -> Any:
    """Tensors around the gradient of a result, or around those of several (None for 0)."""
    if isinstance(g, tuple):
        return tuple(None if each is None else wrap(each) for each in g)
    return wrap(g)


def _unwrapped(found: list) -> list:
    """The arrays of what rules returned (None for 0)."""
    return [None if each is None else each.array for each in found]


def _digits(kinds: int) -> list[int]:
    """The kind of each argument."""
    digits = []
    while kinds > 1:
        kinds, digit = divmod(kinds, 4)
        digits.append(digit)
    return digits[::-1]


def _is_number(arg: Any) -> bool:
    """Whether ``arg`` is a tensor of the CPU without dimensions."""
    return isinstance(arg, TensorBase) and arg.array.ndim == 0 and device_of(arg.array) == CPU


operators: dict[str, Callable] = {}


def _expose(primitive: Op) -> Callable:
    """The operator as a plain function, so that help(), signatures and methods just work."""

    apply = primitive.apply

    @functools.wraps(primitive.forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        return apply(args, kwargs)

    call.op = primitive
    operators[primitive.name] = call
    return call


def op(forward: Callable | None = None, *, view: bool = False, changes: bool = False) -> Callable:
    """Make an operator of a pure function of arrays; give it rules with ``.vjp(...)``.

    Parameters
    ----------
    forward : function
        Takes arrays (in the place of tensors) and options, returns an array or a tuple
        of arrays. With ``*arrays`` it takes any number, options by keyword only.
    view : bool
        The result may look into the memory of the first argument.
    changes : bool
        It changes the first argument in place, and returns it: it has no rules.
    """
    if forward is None:
        return functools.partial(op, view=view, changes=changes)
    forward.changes = changes
    primitive = Op(forward, view)
    call = _expose(primitive)
    call.vjp = primitive.vjp
    call.vjp_each = primitive.vjp_each
    call.vjp_kernel = primitive.vjp_kernel
    return call


def fused(*, reference: Callable) -> Callable:
    """Make an operator that has kernels both ways, and a composition as its definition.

    The decorated function takes arrays and returns ``(result, residuals)``;
    ``.backward("x", ...)`` declares the kernel of the gradient. ``reference`` takes the same
    arguments as tensors. It is what the kernels are tested against and what is
    differentiated for derivatives of second and higher order.
    """

    def make(forward: Callable) -> Callable:
        primitive = FusedOp(forward, reference)
        call = _expose(primitive)
        call.backward = primitive.backward
        call.reference = reference
        return call

    return make
