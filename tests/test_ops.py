"""Every public operator on its samples; tests/samples holds them, minidl.testing the checks."""

import inspect

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
    """The primitive operators in the graphs of all samples and of their gradients."""
    found = set()
    for cases in registered.values():
        for case in filter(lambda case: case.differentiable, cases):

            @settings(
                max_examples=5,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(sample=case.strategy)
            def collect(sample, case=case):
                found.update(operators_of(SampleFunction(case, sample)))

            collect()
    return found


def operators_of(function):
    leaves, results = recorded(function)
    roots = requiring_grad(results)
    if not roots:
        return set()
    weights = [from_numpy(root.array.copy()).requires_grad_() for root in roots]
    gradients = grad(roots, leaves, weights, create_graph=True, allow_unused=True)
    behind = nodes_behind([*roots, *(g for g in gradients if g is not None)])
    return {node.op for node in behind}


@pytest.mark.parametrize("primitive", WITH_RULES)
def test_rules_are_reached(primitive, reached):
    assert primitive in reached, (
        f"no sample's graph has a node of {primitive.name}: nothing checks its gradient rules"
    )
