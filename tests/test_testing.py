"""minidl.testing finds what is wrong: operators broken on purpose, one fault each."""

import itertools
import re
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

import minidl
from minidl.autograd import Leaf, fused, op, operators
from minidl.kernels import Kernel
from minidl.testing import check_grads, plugin, strategies
from minidl.testing.against_torch import counterpart
from minidl.testing.samples import Case, Sample, registered, samples
from minidl.testing.suite import check_operator

VALUES = np.linspace(-1.45, 2.05, 6).reshape(2, 3)


# --------------------------------------------------------------------------- check_grads


def test_check_grads_accepts_what_is_right():
    w = np.arange(12.0).reshape(3, 4) / 7
    check_grads(minidl.tanh, VALUES)
    check_grads(lambda x, w: (minidl.exp(x) @ w, x.sum()), [VALUES, minidl.tensor(w)], order=3)
    check_grads(lambda x, i: x[i] ** 3, [VALUES, np.array([1, 1, 0])])
    check_grads(minidl.exp, np.zeros((0, 3)))
    check_grads(minidl.floor, VALUES)
    check_grads(lambda x: x**3, np.full(5, 1e6))
    check_grads(lambda x: x**3, np.full(5, 1e-6), atol=0)


def faulty(rule):
    """x * x with a gradient rule of one's own."""

    @op
    def product(x):
        return x * x

    product.vjp(rule)
    return product


@pytest.mark.parametrize("size", [100, 5000])
def test_check_grads_names_the_argument_the_index_and_both_numbers(size):
    wrong = np.ones(size)
    wrong[77] = 2.0
    square = faulty(lambda g, _y, x: g * x * 2 * minidl.tensor(wrong))
    values = np.linspace(1.0, 2.0, size)
    calls = []

    def f(a, b):
        calls.append(1)
        return (a + square(b)).sum()

    message = (
        r"input 1 \(b\), derivative of order 1, disagrees most at index \(77,\): "
        f"computed {4 * values[77]:.10g}, numerical {str(2 * values[77])[:6]}"
    )
    with pytest.raises(AssertionError, match=message):
        check_grads(f, [values, values])
    assert len(calls) < 600  # not two for each of the 5000 elements


def test_check_grads_looks_at_the_second_derivative():
    square = faulty(lambda g, _y, x: g * 2 * x.detach())
    check_grads(square, VALUES, order=1)
    with pytest.raises(AssertionError, match=r"input 0 \(x\), derivative of order 2"):
        check_grads(square, VALUES)
    scaled = faulty(lambda g, _y, x: g.detach() * 2 * x)
    with pytest.raises(AssertionError, match="the gradient of result 0, derivative of order 2"):
        check_grads(scaled, VALUES)


def test_check_grads_finds_a_missing_gradient_and_nan():
    with pytest.raises(AssertionError, match=r"input 1.*computed 0, numerical"):
        check_grads(lambda *xs: xs[0] * xs[1].detach(), [VALUES, VALUES])
    with pytest.raises(AssertionError, match="computed nan"):
        check_grads(faulty(lambda g, _y, x: g * x * np.nan), VALUES)


def test_check_grads_refuses_what_it_cannot_check():
    with pytest.raises(AssertionError, match="no result requires a gradient"):
        check_grads(lambda x: x.detach(), VALUES)
    with pytest.raises(AssertionError, match="so a rule loses it"):
        check_grads(faulty(lambda g, _y, x: (g * 2 * x).detach()), VALUES)
    with pytest.raises(AssertionError, match="different values for the same inputs"):
        check_grads(lambda x: x * np.random.default_rng().normal(), VALUES)
    with pytest.raises(TypeError, match=r"input 0 \(input\) is float32"):
        check_grads(minidl.exp, VALUES.astype(np.float32))
    with pytest.raises(TypeError, match="no input is floating-point"):
        check_grads(minidl.exp, np.arange(3))
    with pytest.raises(ValueError, match="order"):
        check_grads(minidl.exp, VALUES, order=0)


def test_sums_in_another_order_may_be_allowed():
    """As on a GPU, which adds up in no fixed order."""
    calls = itertools.count()

    def unsteady(x):
        return x * (1 + 1e-15 * next(calls))

    with pytest.raises(AssertionError, match="different values for the same inputs"):
        check_grads(unsteady, [np.ones(3)], order=1)
    check_grads(unsteady, [np.ones(3)], order=1, nondet_tol=1e-12)


# --------------------------------------------------------------------------- the suite


def changes_its_input():
    @op
    def f(x):
        x *= 2
        return x + 0

    f.vjp(lambda g, _y, _x: g * 2)
    return f


def hides_an_alias():
    @op
    def f(x):
        return x.reshape(-1)

    f.vjp(lambda g, _y, _x: g.reshape(_x.shape))
    return f


def changes_the_incoming_gradient():
    @op
    def f(x):
        return x * 2

    def rule(g, _y, _x):
        g.array *= 2
        return g.clone()

    f.vjp(rule)
    return f


def spoils_what_it_saved():
    @op
    def half(g, x):
        x += 1  # an array of the saved tensor, behind the version counter's back
        return g * x

    @op
    def f(x):
        return 0.5 * x * x + x

    f.vjp(lambda g, _y, x: half(g, x))
    half.vjp(lambda g, _y, _g, x: g * (x + 1), lambda g, _y, g0, _x: g * g0)
    return f


def widens():
    @op
    def f(x):
        return x * np.float64(2)

    f.vjp(lambda g, _y, _x: g * 2)
    return f


def reads_memory_in_its_order():
    @op
    def f(x):
        return np.array(x.ravel(order="K"))

    f.vjp(lambda g, _y, _x: g.reshape(_x.shape))
    return f


def differs_between_kernel_sets():
    kernel = Kernel("broken", numpy=lambda x: x * 2, numba=lambda x: x * 2.001)

    @op
    def f(x):
        return kernel(x)

    f.vjp(lambda g, _y, _x: f(g))
    return f


def disagrees_with_its_reference(forward=2.0, backward=2.0):
    @fused(reference=lambda x: x * 2)
    def f(x):
        return x * forward, None

    @f.backward("x")
    def _(g, residuals, x):
        return (g * backward,)

    return f


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (changes_its_input, "input 0 was changed"),
        (hides_an_alias, "but not its version counter"),
        (changes_the_incoming_gradient, "incoming gradient of result 0 was changed"),
        (spoils_what_it_saved, "input 0 was changed"),
        (widens, "result 0 is float64, not float32"),
        (reads_memory_in_its_order, "layout transposed"),
        (differs_between_kernel_sets, "kernels numpy"),
        (lambda: disagrees_with_its_reference(3.0, 3.0), "derivative of order 2|create_graph"),
        (lambda: disagrees_with_its_reference(2.0 + 1e-7, 2.0), "its reference: result 0"),
        (lambda: disagrees_with_its_reference(2.0, 2.0 + 1e-7), "create_graph"),
    ],
)
def test_suite_finds(make, message):
    with pytest.raises(AssertionError, match=message):
        check_operator(Case(make(), st.nothing(), torch=None), Sample(VALUES))


def test_suite_finds_gradients_that_share_memory(monkeypatch):
    def accumulate(self, gradient, owned):
        self.tensor().grad = gradient

    monkeypatch.setattr(Leaf, "accumulate", accumulate)
    with pytest.raises(AssertionError, match="gradient of input 0 shares memory"):
        check_operator(Case(minidl.add, st.nothing()), Sample(VALUES, VALUES + 1))


def test_suite_accepts_operators_of_every_kind():
    f = disagrees_with_its_reference()  # only if told to
    check_operator(Case(f, st.nothing(), torch=None), Sample(VALUES))
    join = Sample([VALUES, VALUES + 1], dim=-1)
    check_operator(Case(minidl.cat, st.nothing()), join)
    check_operator(Case(minidl.max, st.nothing()), Sample(VALUES, 0, keepdim=True))
    check_operator(Case(minidl.sum, st.nothing()), Sample(VALUES, dtype=minidl.float64))
    check_operator(Case(minidl.argmax, st.nothing(), differentiable=False), Sample(VALUES, 1))
    check_operator(Case(minidl.eye, st.nothing()), Sample(3))


def test_suite_compares_with_torch():
    pytest.importorskip("torch", reason="PyTorch, the outside reference, is not installed")
    with pytest.raises(AssertionError, match="against torch: result 0"):
        check_operator(Case(minidl.sin, st.nothing(), torch="cos"), Sample(VALUES))
    with pytest.raises(AssertionError, match="against torch: gradient of input 0"):
        check_operator(
            Case(minidl.sin, st.nothing(), torch=lambda x: x.sin() + x.sin().detach() - x.sin()),
            Sample(VALUES * 0),
        )
    with pytest.raises(AssertionError, match="result 0 is float64, torch has float32"):
        check_operator(Case(minidl.sin, st.nothing(), torch=lambda x: x.sin().float()), ZEROS)
    with pytest.raises(AssertionError, match="1 results require a gradient, 0 in torch"):
        check_operator(Case(minidl.sin, st.nothing(), torch=lambda x: x.sin().detach()), ZEROS)
    with pytest.raises(AttributeError, match="no '<lambda>'"):
        counterpart(Case(lambda x: x, st.nothing()))


ZEROS = Sample(np.zeros(3))


def test_samples_are_registered():
    def double(x):
        return x * 2

    @samples(double, order=1, torch="Tensor.double")
    def _(draw):
        return Sample(draw(strategies.arrays((2,))))

    (case,) = registered.pop(double)
    assert (case.name, case.order, case.torch) == ("double", 1, "Tensor.double")
    assert case.differentiable


# --------------------------------------------------------------------------- documentation


def run_blocks(file):
    """Run the Python blocks of a page, in order; returns their number and their names."""
    text = (Path(__file__).parents[1] / file).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    names = {}
    for block in blocks:
        exec(block, names)
    return len(blocks), names


def test_the_documentation_runs():
    count, names = run_blocks("docs/testing.md")
    del registered[names["cube"]], operators["cube"]
    assert count == 4


@pytest.mark.parametrize("file", ["README.md", "README.zh-CN.md"])
def test_the_readme_runs(file, capsys):
    count, _ = run_blocks(file)
    del operators["softsign"]
    assert count == 4
    printed = capsys.readouterr().out
    first = "tensor([ 3., 12., 27.], grad_fn=<mul>) tensor([ 6., 12., 18.])\n1\n"
    assert printed.startswith(first)
    assert "largest class over smallest: 1.00" in printed


def test_the_page_on_compiled_steps_runs(capsys):
    count, names = run_blocks("docs/compile.md")
    assert count == 1 and names["step"].captures == 1
    assert "captures: 1, plans kept: 1" in capsys.readouterr().out


def test_the_page_on_explanations_runs(capsys):
    pytest.importorskip("PIL")
    count, names = run_blocks("docs/explain.md")
    assert count == 1 and names["heatmaps"].shape == (1, 32, 32)
    assert capsys.readouterr().out == "(32, 32)\n"


# --------------------------------------------------------------------------- the plugin


class FakeSettings:
    """Stands in for hypothesis.settings, so that this run keeps its own profile."""

    def __init__(self):
        self.profiles, self.loaded = {}, None

    def register_profile(self, name, **options):
        self.profiles[name] = options

    def load_profile(self, name):
        self.loaded = name


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [(None, None, "dev"), (None, "ci", "ci"), ("thorough", "ci", "thorough")],
)
def test_plugin_loads_a_profile(monkeypatch, option, variable, expected):
    settings = FakeSettings()
    monkeypatch.setattr(plugin, "hypothesis", types.SimpleNamespace(settings=settings))
    monkeypatch.delenv("MINIDL_PROFILE", raising=False)
    if variable:
        monkeypatch.setenv("MINIDL_PROFILE", variable)
    plugin.pytest_configure(types.SimpleNamespace(getoption=lambda name: option))
    assert settings.loaded == f"minidl-{expected}"
    assert all(options["deadline"] is None for options in settings.profiles.values())
    assert settings.profiles["minidl-ci"]["derandomize"]


def test_plugin_without_hypothesis(monkeypatch):
    monkeypatch.setattr(plugin, "hypothesis", None)
    plugin.pytest_configure(types.SimpleNamespace(getoption=lambda name: "ci"))


def test_plugin_names_an_unknown_profile(monkeypatch):
    monkeypatch.setenv("MINIDL_PROFILE", "fast")
    with pytest.raises(pytest.UsageError, match=re.escape("known: ci, dev, thorough")):
        plugin.pytest_configure(types.SimpleNamespace(getoption=lambda name: None))


def test_this_run_uses_a_profile(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("minidl.testing.plugin")
