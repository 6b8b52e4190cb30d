"""Modules and kernels: building, launching, what is refused, and the libraries kept on disk."""

import os
import stat
import threading
import warnings

import numpy as np
import pytest

from minidl import emulator
from minidl.emulator import compiler

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

CODE = r"""
#ifndef FACTOR
#define FACTOR 2
#endif
extern "C" __global__ void scale(float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= FACTOR;
}
extern "C" __global__ void set(float* x, float value, double precise, short small) {
    x[threadIdx.x] = value + precise + small;
}
"""


@pytest.fixture(scope="module")
def module():
    return emulator.RawModule(code=CODE)


def scaled(kernel, n=4):
    x = np.arange(n, dtype=np.float32)
    kernel((-(-n // 32),), (32,), (x, np.int32(n)))
    return x.tolist()


# --------------------------------------------------------------------------- modules


def test_a_module_of_code(module):
    assert scaled(module.get_function("scale")) == [0, 2, 4, 6]


def test_a_module_of_a_file_that_includes_another(tmp_path):
    (tmp_path / "factor.cuh").write_text("#define FACTOR 3\n")
    (tmp_path / "scale.cu").write_text('#include "factor.cuh"\n' + CODE)
    path = str(tmp_path / "scale.cu")
    assert scaled(emulator.RawModule(path=path).get_function("scale")) == [0, 3, 6, 9]
    (tmp_path / "factor.cuh").write_text("#define FACTOR 4\n")  # another library
    assert scaled(emulator.RawModule(path=path).get_function("scale")) == [0, 4, 8, 12]


def test_options(tmp_path):
    (tmp_path / "factor.cuh").write_text("#define FACTOR (MOST - 1)\n")
    code = '#include "factor.cuh"\n' + CODE
    options = ("--std=c++17", "-DMOST=6", "-DUNUSED", f"-I{tmp_path}", "--use_fast_math")
    kernel = emulator.RawModule(code=code, options=options, backend="nvcc").get_function("scale")
    assert scaled(kernel) == [0, 5, 10, 15]


def test_what_a_module_refuses():
    with pytest.raises(TypeError, match="either code= or path="):
        emulator.RawModule()
    with pytest.raises(TypeError, match="either code= or path="):
        emulator.RawModule(code=CODE, path="scale.cu")
    with pytest.raises(ValueError, match="cannot honour the option '--relocatable-device-code'"):
        emulator.RawModule(code=CODE, options=("--relocatable-device-code",))
    with pytest.raises(ValueError, match="choose from nvrtc, nvcc"):
        emulator.RawModule(code=CODE, backend="clang")
    with pytest.raises(NotImplementedError, match="no cooperative groups"):
        emulator.RawModule(code=CODE, enable_cooperative_groups=True)


def test_a_kernel_of_its_own():
    assert scaled(emulator.RawKernel(CODE, "scale", ("-DFACTOR=7",))) == [0, 7, 14, 21]


@pytest.mark.parametrize("name", ["scael", "scale<float>"])
def test_an_unknown_name_lists_those_there_are(module, name):
    with pytest.raises(emulator.CompileError, match="there are: scale, set") as caught:
        module.get_function(name)
    assert repr(name) in str(caught.value)


def test_a_compile_error_is_at_the_users_line(tmp_path):
    broken = CODE.replace("value + precise", "valeu + precise")
    line = next(i for i, text in enumerate(broken.splitlines(), 1) if "valeu" in text)
    with pytest.raises(emulator.CompileError, match=rf"kernel\.cu:{line}:.*'?valeu'?"):
        emulator.RawKernel(broken, "set")
    (tmp_path / "broken.cu").write_text(broken)
    with pytest.raises(emulator.CompileError, match=rf"broken\.cu:{line}:"):
        emulator.RawModule(path=str(tmp_path / "broken.cu")).get_function("set")


# --------------------------------------------------------------------------- launches


@pytest.mark.parametrize(
    "args, message",
    [
        ((), "set takes 4 arguments, not 0"),
        ((None, 1.0, 1.0), "set takes 4 arguments, not 3"),
        ((None, 1.0, 1.0, np.int16(1)), r"parameter 2 is a number of 4 bytes, .* 1.0 \(float\)"),
        ((None, np.float32(1), np.float32(1), np.int16(1)), "parameter 3 is a number of 8 bytes"),
        ((None, np.int32(1), 1.0, np.int16(1)), "parameter 2 .* the argument is an integer"),
        ((None, np.float32(1), 1.0, 1), "parameter 4 is an integer of 2 bytes"),
        ((7, np.float32(1), 1.0, np.int16(1)), "parameter 1 is a pointer"),
        (("x", np.float32(1), 1.0, np.int16(1)), "argument 1 has type str"),
        ((None, np.zeros(2), 1.0, np.int16(1)), r"parameter 2 .* a pointer: float64\[2\]"),
    ],
)
def test_arguments_that_do_not_fit(module, args, message):
    with pytest.raises(TypeError, match=message):
        module.get_function("set")((1,), (1,), args)


@pytest.mark.parametrize(
    "grid, block, shared, message",
    [
        ((0,), (1,), 0, r"a grid of \(0,\)"),
        ((1, 1 << 16), (1,), 0, "a grid of"),
        ((1,), (1025,), 0, "a block of"),
        ((1,), (1, 1, 65), 0, "a block of"),
        ((1,), (32, 64), 0, "2048 threads; 1024 are possible"),
        ((1, 1, 1, 1), (1,), 0, "a grid of"),
        ((1,), (1,), (48 << 10) + 1, "unless max_dynamic_shared_size_bytes is raised"),
        ((1,), (1,), -1, "-1 bytes of dynamic shared memory"),
    ],
)
def test_launches_that_no_gpu_can_do(module, grid, block, shared, message):
    with pytest.raises(emulator.LaunchError, match=message):
        module.get_function("scale")(grid, block, (None, np.int32(0)), shared_mem=shared)


def test_more_dynamic_shared_memory_must_be_asked_for(module):
    kernel = module.get_function("scale")
    kernel.max_dynamic_shared_size_bytes = 100 << 10
    kernel((1,), (1,), (None, np.int32(0)), shared_mem=100 << 10)
    with pytest.raises(emulator.LaunchError, match="no GPU has"):
        kernel.max_dynamic_shared_size_bytes = 228 << 10


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_a_kernel_runs_right_after_an_error(module, order):
    kernel = module.get_function("scale")
    with emulator.checked(order):
        for _ in range(3):
            with pytest.raises(emulator.OutOfBounds):
                kernel((2,), (32,), (np.zeros(40, np.float32), np.int32(64)))
            assert scaled(kernel, 40) == list(range(0, 80, 2))


def test_an_unknown_order():
    with (
        pytest.raises(ValueError, match="choose from forward, reverse, random"),
        emulator.checked("x"),
    ):
        pass


def test_checks_hold_within_the_block_and_in_its_thread():
    others = []
    with emulator.checked():
        with emulator.checked("random"):
            pass
        assert emulator.is_checked()
        thread = threading.Thread(target=lambda: others.append(emulator.is_checked()))
        thread.start()
        thread.join()
    assert others == [False]
    assert not emulator.is_checked()


def test_many_threads_launch_at_once(module):
    kernel, results = module.get_function("scale"), {}

    def work(number):
        with emulator.checked("random", seed=number):
            results[number] = [scaled(kernel, 50 + number) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert results[number] == [list(range(0, 100 + 2 * number, 2))] * 20


def forked(work):
    """The exit status of a forked process that does ``work``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are meant
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_process_launches_even_while_a_thread_does(module):
    kernel, stop = module.get_function("scale"), threading.Event()

    def busy():
        while not stop.is_set():
            scaled(kernel, 2000)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert [forked(lambda: scaled(kernel) == [0, 2, 4, 6]) for _ in range(5)] == [0] * 5
    finally:
        stop.set()
        thread.join()


# --------------------------------------------------------------------------- the libraries on disk


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for libraries."""
    monkeypatch.setenv("MINIDL_CACHE_DIR", str(tmp_path))
    return tmp_path / "emulator"


@pytest.fixture
def builds(monkeypatch):
    """Grows with every call of the compiler that builds something."""
    calls, run = [], compiler.Compiler._run

    def recorded(self, arguments, folder=None):
        if "-c" in arguments or "-shared" in arguments:
            calls.append(arguments)
        return run(self, arguments, folder)

    monkeypatch.setattr(compiler.Compiler, "_run", recorded)
    return calls


def test_what_was_built_is_found_again(cache, builds):
    assert scaled(emulator.RawKernel(CODE, "scale")) == [0, 2, 4, 6]
    assert builds
    del builds[:]
    assert scaled(emulator.RawKernel(CODE, "scale")) == [0, 2, 4, 6]
    assert not builds
    emulator.RawKernel(CODE, "scale", ("-DFACTOR=5",))
    assert builds
    assert {path.suffix for path in cache.iterdir()} == {".so"}  # nothing else is left


def test_processes_that_build_at_once(cache):
    def builds_and_runs():
        return scaled(emulator.RawKernel(CODE, "scale", ("-DFACTOR=9",))) == [0, 9, 18, 27]

    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(forked(builds_and_runs))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0, 0]
    assert {path.suffix for path in cache.iterdir()} == {".so"}


def test_a_failed_build_leaves_nothing(cache):
    with pytest.raises(emulator.CompileError):
        emulator.RawKernel("nonsense", "scale")
    assert all(path.name.startswith("runtime-") for path in cache.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    # the superuser may write anywhere, but not below a file
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIDL_CACHE_DIR", str(tmp_path / "file"))
    folder = compiler.cache_folder()
    assert tmp_path not in folder.parents
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert scaled(emulator.RawKernel(CODE, "scale")) == [0, 2, 4, 6]


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert not emulator.is_available()
    with pytest.raises(emulator.EmulatorError, match="no-such-compiler -O2 is not here"):
        emulator.RawKernel(CODE, "scale")
