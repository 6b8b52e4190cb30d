"""The registry of kernels, and how kernels are compiled and threaded."""

import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from numba.core import event

from minidl import kernels
from minidl.backend import CPU, EMULATOR, to_device
from minidl.kernels import jit, registry
from minidl.kernels.special import cpu, reference

X = np.zeros(1)


@pytest.fixture
def demo():
    """A kernel with a variant for every device, which say who they are."""
    variants = {name: lambda *args, name=name: name for name in ("numpy", "numba", "cuda")}
    yield registry.Kernel("demo", **variants)
    del registry.kernels["demo"]


@pytest.fixture
def plain():
    yield registry.Kernel("plain", numpy=lambda x: "numpy")
    del registry.kernels["plain"]


# --------------------------------------------------------------------------- the registry


def test_the_active_set_serves(demo):
    with kernels.use_kernels("numba"):
        assert demo(X) == "numba"
        with kernels.use_kernels("numpy"):
            assert demo(X) == demo([X, X]) == "numpy"
        assert demo.serving(CPU) == "numba"


def test_the_device_of_the_first_array_decides(demo):
    assert demo(to_device(X, EMULATOR)) == demo([to_device(X, EMULATOR)]) == "cuda"
    with kernels.use_kernels("numpy"):  # a set of the CPU's
        assert demo(X) == "numpy"
        assert demo(to_device(X, EMULATOR)) == "cuda"


def test_arrays_of_the_emulator_do_not_reach_compiled_code_of_the_host(demo):
    with pytest.raises(TypeError, match="demo: an array of the host met one of the emulator"):
        demo(X, None, to_device(X, EMULATOR))


def test_a_set_ends_with_its_block_even_on_an_error(demo):
    before = demo.serving(CPU)
    with pytest.raises(ZeroDivisionError), kernels.use_kernels("numpy"):
        raise ZeroDivisionError
    assert demo.serving(CPU) == before


def test_the_reference_stands_in(plain):
    with kernels.use_kernels("numba"):
        assert plain(X) == plain(to_device(X, EMULATOR)) == "numpy"
        assert plain.serving(CPU) == plain.serving(EMULATOR) == "numpy"


def test_a_set_is_one_threads_own(demo):
    seen = []
    with kernels.use_kernels("numpy"):
        thread = threading.Thread(target=lambda: seen.append(demo.serving(CPU)))
        thread.start()
        thread.join()
    assert seen == [registry._Active.cpu]


def test_a_variant_may_be_imported_when_it_first_runs():
    lazy = registry.Kernel("lazy", numpy=np.sin, numba="numpy:cos")
    del registry.kernels["lazy"]
    with kernels.use_kernels("numba"):
        assert lazy(X) == 1
    assert lazy.variants["numba"] is np.cos


def test_a_kernel_needs_its_reference():
    with pytest.raises(TypeError, match="needs its reference"):
        registry.Kernel("half", numba=abs)


def test_unknown_sets_are_refused():
    with pytest.raises(ValueError, match="no kernel set 'cude'; choose from cuda, numba-cuda"):
        registry.Kernel("other", numpy=abs, cude=abs)
    with pytest.raises(ValueError, match="no kernel set 'cude'"), kernels.use_kernels("cude"):
        pass


def test_table(plain, demo, capsys):
    with kernels.use_kernels("numba"):
        kernels.table()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["kernel", "cpu", "cuda", "emulator", "variants"]
    assert ["demo", "numba", "cuda", "cuda", "numpy,", "numba,", "cuda"] in lines
    assert ["plain", "numpy", "numpy", "numpy", "numpy"] in lines
    assert len(lines) == 1 + len(registry.kernels)


# --------------------------------------------------------------------------- compilation


class Build:
    """Stands for a compiled function and counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(jit, "THREAD_WORK", 200_000)  # as on a machine with several cores
    builds = {"serial": Build(), "parallel": Build()}
    monkeypatch.setattr(jit, "jit", lambda function: builds["serial"])
    monkeypatch.setattr(jit, "parallel_jit", lambda function: builds["parallel"])
    kernel = jit.threaded(lambda: None)
    vars(kernel).update(builds)
    return kernel


def test_much_work_takes_threads(kernel):
    kernel(jit.THREAD_WORK)
    assert (kernel.serial.calls, kernel.parallel.calls) == (0, 1)


def test_little_work_takes_none(kernel):
    kernel(jit.THREAD_WORK - 1)
    assert (kernel.serial.calls, kernel.parallel.calls) == (1, 0)


def test_single_threaded(kernel):
    with kernels.single_threaded():
        kernel(jit.THREAD_WORK)
    kernel(jit.THREAD_WORK)
    assert (kernel.serial.calls, kernel.parallel.calls) == (1, 1)


def test_one_thread_runs_the_same_build(kernel):
    before = kernels.get_num_threads()
    kernels.set_num_threads(1)
    kernel(jit.THREAD_WORK)
    kernels.set_num_threads(before)
    assert (kernel.serial.calls, kernel.parallel.calls) == (0, 1)


def test_number_of_threads():
    before = kernels.get_num_threads()
    kernels.set_num_threads(1)
    assert kernels.get_num_threads() == 1
    kernels.set_num_threads(before)
    with pytest.raises(ValueError, match=r"set_num_threads\(0\): this process can use 1 to"):
        kernels.set_num_threads(0)


@pytest.mark.parametrize("module, said", [("minidl.kernels.demo", True), ("elsewhere", False)])
def test_compiling_is_announced(module, said, capsys):
    def stencil():
        pass

    stencil.__module__ = module
    compiling = {"dispatcher": SimpleNamespace(py_func=stencil)}
    with (
        event.trigger_event("numba:compile", data=compiling),
        event.trigger_event("numba:compile", data=compiling),  # a function that it calls
    ):
        pass
    notice = "minidl: compiling demo.stencil (once, then cached)\n"
    assert capsys.readouterr().err == (notice if said else "")


def test_threads_beside_the_main_one_need_a_pool_that_allows_it(monkeypatch):
    def state_elsewhere():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(jit.is_single_threaded).result()

    monkeypatch.setattr(jit, "_state", jit._State())
    monkeypatch.setattr(jit, "_threads_mix", lambda: False)
    assert state_elsewhere()
    assert not jit.is_single_threaded()
    monkeypatch.setattr(jit, "_threads_mix", lambda: True)
    assert not state_elsewhere()


IMPORT_ONLY = """
import gc, sys
import minidl
from numba.core.dispatcher import Dispatcher

kernels = [d for d in gc.get_objects() if isinstance(d, Dispatcher)]
kernels = [d for d in kernels if d.py_func.__module__.startswith("minidl.")]
assert kernels
assert not [d.py_func.__name__ for d in kernels if d.signatures]
assert not {"cupy", "torch", "hypothesis", "pytest"} & set(sys.modules)
"""


def test_importing_compiles_nothing_and_stays_light():
    subprocess.run([sys.executable, "-c", IMPORT_ONLY], check=True, timeout=120)


# --------------------------------------------------------------------------- special functions


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-15), ("float32", 3e-7)])
def test_erf(dtype, tolerance):
    x = np.linspace(-5, 5, 101).astype(dtype).reshape(1, 101)[:, ::2]
    expected = np.array([[math.erf(value) for value in row] for row in x])
    for variant in (reference.erf, cpu.erf):
        found = variant(x)
        assert found.dtype == x.dtype
        assert found.shape == x.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_erf_of_special_values():
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0])
    for variant in (reference.erf, cpu.erf):
        np.testing.assert_array_equal(variant(x), [1, -1, np.nan, 0, -0.0])
        assert variant(np.zeros((2, 0))).shape == (2, 0)
        assert variant(np.float32(0.5).reshape(())).shape == ()
        assert variant(np.array([0.5], np.float16)).dtype == np.float16


def test_erf_does_not_depend_on_threads():
    x = np.linspace(-3, 3, jit.THREAD_WORK // 10, dtype=np.float32)
    with kernels.single_threaded():
        alone = cpu.erf(x)
    np.testing.assert_array_equal(cpu.erf(x), alone)
