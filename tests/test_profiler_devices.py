"""The profiler beside a GPU: the emulator's kernels, and a CuPy that only pretends."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minidl
from minidl import backend
from minidl.kernels.launch import launch
from minidl.profiler import profile, record_function
from minidl.profiler import table as tables
from minidl.profiler.machine import Ceilings
from minidl.profiler.watch import KERNEL, OPERATOR, kernel_name


@pytest.fixture(autouse=True)
def ceilings(monkeypatch):
    """A machine of 100 GFLOP/s and 10 GB/s, so that no table measures this one."""
    monkeypatch.setattr(tables, "ceilings", lambda device: Ceilings(f"a {device}", 1e11, 1e10))


def by_name(prof):
    return {average.key: average for average in prof.key_averages()}


def test_the_emulators_kernels_are_seen_by_name():
    x = minidl.ones(4, 4, device="emulator", requires_grad=True)
    with profile() as prof:
        x.relu().sum().backward()
    found = by_name(prof)
    assert found["relu"].kind == OPERATOR and found["activation.cu.relu"].kind == KERNEL
    assert found["activation.cu.relu"].bytes == 2 * 64
    text = prof.key_averages().table()
    assert "emulating a GPU: no times of one" in text and "ceilings" not in text


class DeviceArray(np.ndarray):
    """Stands for `cupy.ndarray`."""

    device = SimpleNamespace(id=0)


DeviceArray.__module__ = "cupy._core"


@pytest.fixture
def gpu(monkeypatch):
    """A stand-in for CuPy; what NVTX and the GPU are told, in its order."""
    told = []
    one = SimpleNamespace(synchronize=lambda: told.append("wait"))
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1, getDevice=lambda: 0, CUDARuntimeError=OSError
    )
    nvtx = SimpleNamespace(RangePush=told.append, RangePop=lambda: told.append("pop"))
    cuda = SimpleNamespace(runtime=runtime, nvtx=nvtx, Device=lambda index: one)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))
    backend.load_cupy.cache_clear()
    yield told
    backend.load_cupy.cache_clear()


def test_nsight_gets_the_same_names_and_every_operator_waits(gpu):
    def double(x):
        x *= 2

    array = np.ones(3, np.float32).view(DeviceArray)
    with profile() as prof, record_function("data"):
        minidl.profiler.record("twice", lambda x: launch(double, x), array)
    kernel = kernel_name(double)
    pushed = ["data", "twice", kernel]
    assert gpu == [*pushed, *["wait", "pop"] * 3]
    assert set(pushed) == by_name(prof).keys()
    assert "a cuda" in prof.key_averages().table()


def test_ranges_of_nsight_end_also_if_a_kernel_fails(gpu):
    def fail(_):
        raise ZeroDivisionError

    array = np.ones(3, np.float32).view(DeviceArray)
    with profile():
        with pytest.raises(ZeroDivisionError):
            minidl.profiler.record("failing", lambda x: launch(fail, x), array)
        assert gpu.count("pop") == 2
        record_function("open").__enter__()
    assert gpu.count("pop") == 3


def test_without_a_gpu_nothing_waits(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with profile() as prof:
        minidl.ones(3).exp()
    assert prof._watcher.gpu is None
