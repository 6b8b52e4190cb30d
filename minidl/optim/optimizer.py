"""Optimizer: parameters in groups with options, and a state per parameter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from minidl.autograd import change, enable_grad
from minidl.tensor import Tensor

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class Optimizer:
    """Base of all optimizers; a subclass says in `update` how parameters change.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimize; or groups ``{"params": [...], "lr": 0.1, ...}`` with options of
        their own.
    defaults : dict
        The options of groups that do not say otherwise.

    Attributes
    ----------
    param_groups : list of dict
        The groups with all their options, which may be changed between steps.
    state : dict
        For each parameter that was updated, a dict of tensors by name.

    Raises
    ------
    TypeError
        If ``params`` holds something other than tensors.
    ValueError
        If there are none, one is not a leaf, one appears twice, or an option is out of range.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]):
        if isinstance(params, Tensor | str | Mapping):
            raise TypeError(
                "an optimizer wants an iterable of tensors or of dicts, "
                f"got a single {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("the optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # ----------------------------------------------------------------- parameters

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters: ``{"params": [...], "lr": 0.1, ...}``."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f'a parameter group is a dict with the key "params", got {param_group!r}'
            )
        params = param_group["params"]
        if isinstance(params, set | frozenset):
            raise TypeError("parameters come in an order that is always the same: a list, no set")
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for p in chain(*(group["params"] for group in self.param_groups))}
        for i, param in enumerate(params):
            _check_param(i, param, known)
            known.add(id(param))
        group = {**self.defaults, **param_group, "params": params}
        self.check_options(group)
        self.param_groups.append(group)

    def check_options(self, group: dict[str, Any]) -> None:
        """ValueError if an option of a group is out of range; a subclass may add checks."""
        for name in ("lr", "momentum", "weight_decay", "eps"):
            if not group.get(name, 0) >= 0:  # NaN is out of range as well
                raise ValueError(f"{name} must not be negative, got {group[name]}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to 0."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none or param.grad is None:
                    param.grad = None
                else:
                    param.grad = param.grad.detach().zero_()

    # ----------------------------------------------------------------- steps

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Called first, with gradients enabled, to compute the loss and its gradients.

        Returns
        -------
        What ``closure`` returned, else None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for params in _alike(param for param in group["params"] if param.grad is not None):
                gradients = [param.grad.array for param in params]
                change(f"{type(self).__name__}.step", self._update, params, gradients, group)
                for param in params:
                    param.version[0] += 1
        return loss

    def _update(self, params: list[Tensor], gradients: list[Any], group: dict[str, Any]) -> None:
        if group["maximize"]:
            gradients = [-gradient for gradient in gradients]
        self.update(params, gradients, group)

    def update(self, params: list[Tensor], gradients: list[Any], group: dict[str, Any]) -> None:
        """Change parameters and their states in place.

        ``params`` are some of a group, of one dtype and on one device; ``gradients`` are arrays.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to update parameters")

    # ----------------------------------------------------------------- its state

    def state_dict(self) -> dict[str, Any]:
        """The state and the options, in the layout of PyTorch's.

        ``{"state": {0: {"exp_avg": ...}, ...}, "param_groups": [{"lr": ..., "params": [0]}]}``,
        with the position of each parameter in its place. Tensors are shared, not copied.
        """
        params = [p for group in self.param_groups for p in group["params"]]
        position = {id(p): i for i, p in enumerate(params)}
        state = {position[id(p)]: dict(values) for p, values in self.state.items()}
        groups = [
            {**group, "params": [position[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, of an optimizer with the same groups.

        Tensors are copied, those of a parameter's shape to its dtype and its device.

        Raises
        ------
        ValueError
            If groups or shapes differ; the optimizer is then as it was before.
        """
        saved = _checked_layout(state_dict)
        _check_groups(self.param_groups, saved["param_groups"])
        param_at = {}
        for group, saved_group in zip(self.param_groups, saved["param_groups"]):
            param_at.update(zip(saved_group["params"], group["params"]))
        state = defaultdict(dict)
        for i, values in saved["state"].items():
            if i not in param_at:
                raise ValueError(
                    f"load_state_dict: there is state of parameter {i}, but no such one"
                )
            state[param_at[i]] = {
                name: _fitted(value, param_at[i], f"state[{i}][{name!r}]")
                for name, value in values.items()
            }
        groups = [
            {**group, **saved_group, "params": group["params"]}
            for group, saved_group in zip(self.param_groups, saved["param_groups"])
        ]
        for group in groups:
            self.check_options(group)
        self.state, self.param_groups = state, groups

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            options = sorted(group.keys() - {"params"})
            lines += [f"Parameter Group {i}", *(f"    {k}: {group[k]}" for k in options)]
        return "\n".join([f"{type(self).__name__} (", *lines, ")"])


def _check_param(i: int, param: Any, known: set[int]) -> None:
    if not isinstance(param, Tensor):
        raise TypeError(f"an optimizer changes tensors; parameter {i} is a {type(param).__name__}")
    if not param.is_leaf:
        raise ValueError(
            f"parameter {i}, of shape {param.shape}, is not a leaf but the result of an operator, "
            "and would be computed anew: pass the tensors that it was computed from"
        )
    if id(param) in known:
        raise ValueError(
            f"parameter {i}, of shape {param.shape}, appears twice in the parameter groups"
        )


def _alike(params: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """The parameters by dtype and device."""
    kinds = defaultdict(list)
    for param in params:
        array = param.array
        place = None if type(array) is np.ndarray else param.device  # asking takes its time
        kinds[array.dtype, place].append(param)
    return kinds.values()


def _checked_layout(state_dict: Any) -> dict[str, Any]:
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        raise ValueError('load_state_dict: wants a dict with the keys "state" and "param_groups"')
    return dict(state_dict)


def _check_groups(groups: list[dict], saved: list[dict]) -> None:
    sizes = [len(group["params"]) for group in groups]
    saved_sizes = [len(group["params"]) for group in saved]
    if sizes != saved_sizes:
        raise ValueError(
            f"load_state_dict: the groups of this optimizer have {sizes} parameters, "
            f"those of the state {saved_sizes}"
        )


def _fitted(value: Any, param: Tensor, name: str) -> Any:
    """A copy of a saved value, of the parameter's dtype and device if it has its shape."""
    if not isinstance(value, Tensor):
        return value
    if value.ndim and value.shape != param.shape:
        raise ValueError(
            f"load_state_dict: {name} has shape {value.shape}, the parameter {param.shape}"
        )
    copy = value.detach().clone()
    return copy.to(param) if value.shape == param.shape else copy
