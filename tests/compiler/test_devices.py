"""Compiled steps on devices: the emulator's launches, and CUDA graphs by a stand-in for CuPy."""

import contextlib
import importlib
import types

import numpy as np
import pytest
from test_compile import Training, assert_same_training, same_bits

import minidl
from minidl import nn
from minidl.compiler import graphs, plan

NETWORKS = {
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(36, 7),
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.GELU(), nn.Linear(8, 7)),
}  # fmt: skip


class OnEmulator(Training):
    """A training whose network and batches lie on the emulator."""

    def __init__(self, model):
        super().__init__(lambda: model().to("emulator"), lambda p: minidl.optim.SGD(p, 0.1, 0.9))

    def step(self, x, y):
        return super().step(x.to("emulator"), y.to("emulator"))


@pytest.mark.parametrize("network", NETWORKS)
def test_same_bits_in_the_emulator(network):
    pair = [OnEmulator(NETWORKS[network]) for _ in range(2)]
    step = assert_same_training(*pair, steps=5, size=2)
    (plans,) = step._plans.values()
    assert plans[0].plan.launches > plans[0].plan.calls  # kernels of the device, by themselves


@pytest.mark.parametrize("told", [True, False])
def test_what_no_launch_has_made_is_never_stale(monkeypatch, told):
    """Products left to a library, which the kernel says of them, or forgets to say."""
    matmul = importlib.import_module("minidl.kernels.matmul.cuda")
    monkeypatch.setattr(matmul, "_is_left_to_cublas", lambda a, b: len(a) > 4 or len(b) > 100)
    if not told:
        monkeypatch.setattr(matmul, "unplanned", lambda function, *args: function(*args))
    layers = nn.Flatten, lambda: nn.Linear(192, 8), nn.ReLU, lambda: nn.Linear(8, 7)
    pair = [OnEmulator(lambda: nn.Sequential(*(make() for make in layers))) for _ in range(2)]
    assert_same_training(*pair, steps=5, size=2)


class StandIn:
    """What `CudaGraph` asks of CuPy; capturing notes the launches instead of making them."""

    def __init__(self):
        self.log, self.capturing = [], None
        current = types.SimpleNamespace(record=lambda: "event")
        self.cuda = types.SimpleNamespace(
            MemoryPool=lambda: types.SimpleNamespace(malloc="malloc"),
            Stream=lambda non_blocking: self,
            get_current_stream=lambda: current,
            using_allocator=contextlib.nullcontext,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False

    def wait_event(self, event):
        self.log.append(f"wait for {event}")

    def begin_capture(self):
        self.capturing = []

    def end_capture(self):
        captured, self.capturing = self.capturing, None
        return types.SimpleNamespace(launch=lambda stream: self.log.append(captured))

    def launch(self, name):
        (self.log if self.capturing is None else self.capturing).append(name)


def test_launches_are_made_then_captured_then_repeated(monkeypatch):
    cupy = StandIn()
    monkeypatch.setattr(graphs, "load_cupy", lambda: cupy)
    graph = graphs.CudaGraph(lambda: [cupy.launch("a"), cupy.launch("b")])
    for _ in range(3):
        graph()
    assert cupy.log == ["a", "b", "wait for event", ["a", "b"], ["a", "b"]]


def test_what_cannot_be_captured_is_launched_one_by_one(monkeypatch):
    cupy = StandIn()
    monkeypatch.setattr(graphs, "load_cupy", lambda: cupy)

    def launches():
        if cupy.capturing is not None:
            raise NotImplementedError("cuBLAS")
        cupy.launch("a")

    graph = graphs.CudaGraph(launches)
    graph()
    with pytest.warns(RuntimeWarning, match="cannot be captured as a CUDA graph .cuBLAS"):
        graph()
    graph()
    assert cupy.log == ["a", "wait for event", "a", "a"]


def test_a_plan_for_a_gpu_has_graphs_between_its_calls(monkeypatch):
    """With the emulator's arrays in the place of a GPU's, and launches for graphs."""
    place = types.SimpleNamespace(type="cuda")

    def on_device(array):
        return place if type(array).__name__ == "EmulatorArray" else minidl.device("cpu")

    monkeypatch.setattr(plan, "device_of", on_device)
    monkeypatch.setattr(plan, "settle", lambda place, array: place.__setitem__(..., array))
    made = []

    class Counted:
        def __init__(self, launches):
            made.append(launches)
            self.launches = launches

        def __call__(self):
            self.launches()

    monkeypatch.setattr("minidl.compiler.program.CudaGraph", Counted)
    pair = [OnEmulator(NETWORKS["convolutions"]) for _ in range(2)]
    for run in pair:
        run.step = types.MethodType(Training.step, run)
    step = minidl.compile(pair[0].step)
    rng = np.random.default_rng(0)
    for i in range(5):
        x = minidl.tensor(rng.standard_normal((2, 3, 8, 8)).astype(np.float32), device="emulator")
        y = minidl.tensor(rng.integers(0, 7, 2), device="emulator")
        minidl.manual_seed(i)
        found = step(x, y)
        minidl.manual_seed(i)
        expected = pair[1].step(x, y)
        assert same_bits([t.cpu().array for t in found], [t.cpu().array for t in expected])
    assert len(made) >= 2 and "graph0 = CudaGraph(graph0)" in step.code()
