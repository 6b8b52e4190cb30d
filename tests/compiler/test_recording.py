"""Recordings: what they cost, and what they may not depend on."""

import weakref

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.compiler.match import Signature, difference
from minidl.compiler.memory import Allocations
from minidl.compiler.recorder import Recorder
from minidl.compiler.trace import Trace, Value
from minidl.kernels import Kernel
from minidl.kernels.jit import threaded
from minidl.kernels.launch import Unplanned, computed, launch, noting, unplanned
from minidl.nn import functional as F


def test_a_recorded_run_frees_its_arrays_as_it_goes():
    alive = []

    class Watching(nn.Module):
        def forward(self, x):
            return x.exp()

    model = nn.Sequential(*(Watching() for _ in range(5)))

    def step(x):
        refs = []
        for layer in model:
            x = layer(x)
            refs.append(weakref.ref(x.array))
        alive.append(sum(ref() is not None for ref in refs))
        return x

    with minidl.no_grad():
        minidl.compile(step)(minidl.ones(3))
    assert alive == [1]


def test_an_identity_that_is_given_to_another_array_is_not_mistaken():
    def step(x):
        y = x
        for i in range(50):  # arrays die, and others come to lie in their places
            y = (y + i) * 0.5
        return y

    compiled = minidl.compile(step)
    for i in range(4):
        x = minidl.full((3,), float(i))
        assert compiled(x).tolist() == step(x).tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4)),
        np.zeros((3, 4)).T,
        np.zeros((3, 4))[::-1, ::2],
        np.broadcast_to(np.zeros(4), (3, 4)),
        np.zeros((0, 4)).T,
        np.zeros(()),
    ],
)
def test_what_stands_for_an_array_has_its_layout(array):
    stand_in = Value(array).array
    assert stand_in is not array
    assert (stand_in.shape, stand_in.strides) == (array.shape, array.strides)
    stand_in[...] if not stand_in.flags.writeable else stand_in.fill(1)  # lies in its own memory


def test_gradients_may_be_found_in_another_order():
    leaves = [minidl.ones(size, requires_grad=True) for size in (1, 2)]
    values = [Value(leaf.array) for leaf in leaves]
    pairs = list(zip(leaves, values))
    one, other = (Signature(Trace([], gradients=pairs)) for pairs in (pairs, pairs[::-1]))
    assert difference(one, other) is None
    swapped = Signature(Trace([], gradients=list(zip(leaves, values[::-1]))))
    assert difference(one, swapped) is not None


def test_memory_of_unknown_tensors_is_host_data():
    known, unknown = minidl.ones(1), minidl.ones(1)
    recorder = Recorder([], outside=[known])
    recorder.takes((known, unknown))
    assert recorder.value_of(known.array).tensors == [known]
    with pytest.raises(minidl.CaptureError, match="host data"):
        recorder.value_of(unknown.array)


# --------------------------------------------------------------------------- dry launches


@threaded
def _doubled(x, y):
    for i in range(x.size):
        y[i] = 2 * x[i]


def test_a_dry_launch_is_noted_and_not_made():
    x, y = np.ones(3), np.zeros(3)
    with noting(Allocations().allocate, dry=True) as notes:
        launch(np.copyto, y, x)
        _doubled(3, x, y)
        result = computed(np.add, x, 1.5)
    assert [function for function, _ in notes.launches] == [np.copyto, _doubled, np.add]
    assert not y.any() and result.shape == (3,) and notes.complete
    launch(np.copyto, y, x)
    assert y.all()


def test_an_unplanned_kernel_does_not_run_dry():
    kernel = Kernel("a kernel of this test", numpy=lambda x: pytest.fail("it ran"))
    for run in (lambda: kernel(np.ones(1)), lambda: unplanned(pytest.fail, "it ran")):
        with noting(Allocations().allocate, dry=True) as notes, pytest.raises(Unplanned):
            run()
        assert not notes.complete
    del minidl.kernels.kernels[kernel.name]


@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_shares_of_a_mean_follow_the_labels(device):
    if device == "emulator" and not minidl.emulator.is_available():
        pytest.skip("the emulator needs a C++ compiler")
    weight = minidl.tensor([1.0, 2.0, 4.0], device=device)
    x = minidl.ones(2, 3, requires_grad=True, device=device)

    def step(labels):
        x.grad = None
        loss = F.cross_entropy(x, labels, weight=weight)
        loss.backward()
        return loss

    compiled = minidl.compile(step)
    for label in (0, 1, 2, 0, 1):
        labels = minidl.tensor([label, 1], device=device)
        compiled(labels)
        found = x.grad.tolist()
        step(labels)
        assert found == x.grad.tolist()
