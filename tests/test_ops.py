"""Every public operator on its samples; tests/samples holds them, minidl.testing the checks."""

import inspect

import numpy as np
import pytest
import samples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from minidl import ops
from minidl.autograd import grad, operators
from minidl.ops import from_numpy
from minidl.testing.against_torch import counterpart
from minidl.testing.function import SampleFunction, nodes_behind, recorded, requiring_grad
from minidl.testing.samples import registered
from minidl.testing.suite import check_operator

assert samples  # importing it has registered them

PUBLIC = {name: f for name, f in vars(ops).items() if inspect.isfunction(f)}
CASES = [
    pytest.param(case, id=f"{case.name}-{i}")
    for cases in registered.values()
    for i, case in enumerate(cases)
]
WITH_RULES = [
    pytest.param(call.op, id=name)
    for name, call in operators.items()
    if call.__module__.startswith("minidl.") and (call.op.wanted or call.op.each)
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_operator_has_samples(name):
    assert PUBLIC[name] in registered, (
        f"minidl.{name} has no samples: register some in tests/samples with @samples(minidl.{name})"
    )


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
def test_operator(case, data):
    check_operator(case, data.draw(case.strategy, label=case.name))


@pytest.mark.parametrize("case", CASES)
def test_torch_counterpart_exists(case):
    pytest.importorskip("torch", reason="PyTorch, the outside reference, is not installed")
    assert case.torch is None or callable(counterpart(case))


@pytest.fixture(scope="module")
def reached():
    """The primitive operators in the graphs of samples, and what could not be collected."""
    found, broken = set(), []
    for case in (case for cases in registered.values() for case in cases):
        if case.differentiable:
            try:
                collect(case, found)
            except Exception as error:
                broken.append(f"{case.name} ({error!r})")  # test_operator shows it in full
    return found, broken


def collect(case, found):
    """Add the operators behind a few samples of the case to ``found``."""

    @settings(
        max_examples=5,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case.strategy)
    def run_some(sample):
        found.update(operators_of(SampleFunction(case, sample), case.order))

    run_some()


def operators_of(function, order):
    """The operators recorded while the derivatives up to ``order`` are checked."""
    inputs, results = recorded(function)
    seen = [roots := requiring_grad(results)]
    for _ in range(1, order):
        weights = [from_numpy(np.ones_like(root.array)).requires_grad_() for root in roots]
        found = grad(roots, inputs, weights, create_graph=True, allow_unused=True)
        inputs += weights
        seen.append(roots := requiring_grad(found))
    return {node.op for roots in seen for node in nodes_behind(roots)}


@pytest.mark.parametrize("primitive", WITH_RULES)
def test_rules_are_reached(primitive, reached):
    found, broken = reached
    assert primitive in found, (
        f"no sample's graph has a node of {primitive.name}: nothing checks its gradient rules; "
        f"samples that do not run: {', '.join(broken) or 'none'}"
    )
