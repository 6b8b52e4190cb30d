"""Compiling and launching: arguments, limits, caches, processes and threads."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from emulated import launch

from minidl import emulator
from minidl.emulator import array_module, compiler

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

ADD = """
extern "C" __global__ void __launch_bounds__(128)
add(const float* x, float* y, float value, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + value;
}"""


def added(kernel, x, value=1):
    y = np.zeros_like(x)
    kernel((-(-x.size // 64),), (64,), (x, y, np.float32(value), np.int32(x.size)))
    return y


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a compiler's notice that has not been given."""
    monkeypatch.setenv("MINIDL_CACHE_DIR", str(tmp_path))
    compiler._say_once.cache_clear()
    yield tmp_path / "emulator"
    compiler._say_once.cache_clear()


# --------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("checked", [False, True])
def test_arrays_of_any_layout_begin_at_their_first_element(checked):
    code = 'extern "C" __global__ void f(const double* x, double* y) { y[threadIdx.x] = x[-2]; }'
    base = array_module.asarray(np.arange(8.0))
    y = array_module.zeros(2)
    if checked:
        with emulator.checked():
            launch(code, "f", 1, 1, base[5::-1], y[1:])
    else:
        launch(code, "f", 1, 1, base[5::-1], y[1:])
    assert y.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros(3, np.float32),), "add takes 4 arguments, not 1"),
        ((1.5,), r"parameter 3 is a number of 4 bytes, .* 8 bytes: 1.5 \(float\)"),
        ((np.int32(1),), "parameter 3 is a number of 4 bytes, the argument is an integer of 4"),
        ((None,), "parameter 3 is a number of 4 bytes, the argument is a pointer"),
        (("1",), "argument 3 has type str"),
        ((np.zeros(1, "i4,i8"),), "parameter 3 is a number of 4 bytes, .* structure of 12"),
    ],
)
def test_arguments_that_do_not_fit(given, message):
    x = np.zeros(4, np.float32)
    arguments = (
        given
        if len(given[0:1]) and isinstance(given[0], np.ndarray) and given[0].dtype == np.float32
        else (x, x, *given, np.int32(4))
    )
    with pytest.raises(TypeError, match=message):
        emulator.RawKernel(ADD, "add")((1,), (4,), arguments)


def test_python_numbers_have_64_bits():
    code = (
        'extern "C" __global__ void f(double* y, long long i, double x, bool b) '
        "{ y[0] = b ? i * x : 0; }"
    )
    y = np.zeros(1)
    launch(code, "f", 1, 1, y, 1 << 40, 0.5, True)
    assert y[0] == 2.0**39


# --------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((0,), (4,), "a grid of"),
        ((1,), (4, 0), "a block of"),
        ((1,), (1, 1, 65), "a block of"),
        ((1, 65536), (4,), "a grid of"),
        ((1,), (129,), "129 threads; 128 are possible"),
    ],
)
def test_launches_that_no_gpu_can_do(grid, block, message):
    x = np.zeros(4, np.float32)
    kernel = emulator.RawKernel(ADD, "add")
    with pytest.raises(emulator.LaunchError, match=message):
        kernel(grid, block, (x, x, np.float32(1), np.int32(4)))


def test_more_dynamic_shared_memory_must_be_asked_for():
    code = """
extern "C" __global__ void f(float* y, int n) {
    extern __shared__ float s[];
    s[n - 1] = 3.f;
    y[0] = s[n - 1];
}"""
    y, size = np.zeros(1, np.float32), 100 << 10
    kernel = emulator.RawKernel(code, "f")
    with pytest.raises(emulator.LaunchError, match="max_dynamic_shared_size_bytes is raised"):
        kernel((1,), (1,), (y, np.int32(size // 4)), shared_mem=size)
    kernel.max_dynamic_shared_size_bytes = size
    with emulator.checked():
        kernel((1,), (1,), (y, np.int32(size // 4)), shared_mem=size)
    assert y[0] == 3
    with pytest.raises(emulator.LaunchError, match="no GPU has"):
        kernel.max_dynamic_shared_size_bytes = 228 << 10


def test_too_much_static_shared_memory():
    code = 'extern "C" __global__ void f() { __shared__ float s[12289]; s[threadIdx.x] = 1.f; }'
    with pytest.raises(emulator.LaunchError, match="49156 bytes of static shared memory"):
        launch(code, "f", 1, 1)


# --------------------------------------------------------------------------- compiling


def test_what_does_not_compile_is_shown_with_its_line():
    with pytest.raises(emulator.CompileError, match=r"kernel\.cu:3:.*undeclared_name"):
        emulator.RawKernel('\n\nextern "C" __global__ void f() { undeclared_name; }', "f")
    inlined = '#line 7 "other.cu"\nextern "C" __global__ void f() { undeclared_name; }'
    with pytest.raises(emulator.CompileError, match=r"other\.cu:7:"):
        emulator.RawKernel(inlined, "f")


def test_an_unknown_kernel_lists_those_there_are():
    code = (
        'extern "C" {\n__global__ void f() {}\n__global__ void g() {}\n}\n'
        "template <class T> __global__ void h(T) {}\n__global__ void i() {}"
    )
    with pytest.raises(emulator.CompileError, match="no kernel 'h'.* there are: f, g$"):
        emulator.RawKernel(code, "h")


def test_kernels_made_by_macros_and_kernels_left_out():
    code = """
#define KERNEL(name, value) extern "C" __global__ void name(int* y) { *y = value; }
KERNEL(one, 1) KERNEL(two, 2)
#if 0
KERNEL(three, no_value)
#endif
"""
    y = np.zeros(1, np.int32)
    launch(code, "two", 1, 1, y)
    assert y[0] == 2
    with pytest.raises(emulator.CompileError, match="there are: one, two$"):
        emulator.RawKernel(code, "three")


def test_a_file_and_what_it_includes(cache, tmp_path):
    (tmp_path / "value.h").write_text("#define VALUE 1\n")
    path = tmp_path / "f.cu"
    path.write_text('#include "value.h"\nextern "C" __global__ void f(int* y) { *y = VALUE; }')
    for value in (1, 2):
        (tmp_path / "value.h").write_text(f"#define VALUE {value}\n")
        y = np.zeros(1, np.int32)
        emulator.RawModule(path=str(path)).get_function("f")((1,), (1,), (y,))
        assert y[0] == value


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"code": "", "path": "x.cu"}, TypeError),
        ({"code": "", "backend": "nvcx"}, ValueError),
        ({"code": "", "options": ("--unknown",)}, ValueError),
        ({"code": "", "enable_cooperative_groups": True}, NotImplementedError),
    ],
)
def test_what_cannot_be_honoured_is_an_error(options, error):
    with pytest.raises(error):
        emulator.RawModule(**options)


def test_macros_do_not_reach_the_emulators_own_headers():
    options = "-DT=float", "-DN=4", "--use_fast_math", "-DTWICE(x)=(x)+(x)"
    code = 'extern "C" __global__ void f(T* y) { for (int i = 0; i < N; i++) y[i] = TWICE(i); }'
    y = np.zeros(4, np.float32)
    launch(code, "f", 1, 1, y, options=options)
    assert y.tolist() == [0, 2, 4, 6]


def test_compiled_kernels_are_kept_on_disk(cache, capsys):
    x = np.arange(100, dtype=np.float32)
    np.testing.assert_array_equal(added(emulator.RawKernel(ADD, "add"), x), x + 1)
    assert capsys.readouterr().err.count("minidl: compiling kernels for the emulator") == 1
    files = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(files) == 2  # the kernel's library and the emulator's
    added(emulator.RawKernel(ADD, "add"), x)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == files
    with emulator.checked():
        added(emulator.RawKernel(ADD, "add", ("-DOTHER",)), x)
    assert len(list(cache.iterdir())) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("MINIDL_CACHE_DIR", str(tmp_path / "cache"))
    x = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(added(emulator.RawKernel(ADD, "add"), x), x + 1)


def test_where_caches_belong(monkeypatch, tmp_path):
    monkeypatch.delenv("MINIDL_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiler.cache_folder() == tmp_path / "minidl" / "emulator"


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not emulator.is_available()
    with pytest.raises(emulator.EmulatorError, match="no-such-compiler is not here"):
        emulator.RawKernel(ADD, "add")


def test_clang_compiles_and_checks_too(monkeypatch):
    monkeypatch.setenv("CXX", "clang++")
    if not emulator.is_available():
        pytest.skip("clang++ is not here")
    x = np.arange(100, dtype=np.float32)
    with emulator.checked():
        np.testing.assert_array_equal(added(emulator.RawKernel(ADD, "add"), x), x + 1)
        with pytest.raises(emulator.OutOfBounds, match="4 bytes past .*\n  at kernel.cu:5"):
            emulator.RawKernel(ADD, "add")((2,), (64,), (x, x, np.float32(1), np.int32(101)))


# --------------------------------------------------------------------------- afterwards


def test_the_emulator_can_be_used_after_an_error():
    kernel = emulator.RawKernel(ADD, "add")
    x = np.arange(1000, dtype=np.float32)
    for _ in range(20):
        with emulator.checked(), pytest.raises(emulator.OutOfBounds):
            kernel((20,), (64,), (x, x[:5], np.float32(1), np.int32(1000)))
        with emulator.checked():
            np.testing.assert_array_equal(added(kernel, x), x + 1)


def test_errors_can_be_pickled():
    x = np.zeros(4, np.float32)
    with emulator.checked(), pytest.raises(emulator.OutOfBounds) as caught:
        launch(ADD, "add", 1, 8, x, x, np.float32(1), np.int32(8))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert (copy.line, copy.block, copy.thread) == (5, (0, 0, 0), (4, 0, 0))


def test_threads_may_launch_at_one_time():
    code = """
extern "C" __global__ void f(float* y, float value) {
    __shared__ float s[64];
    s[threadIdx.x] = value;
    __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];
}"""
    kernel = emulator.RawKernel(code, "f")
    results = np.zeros((8, 64), np.float32)

    def work(number):
        for _ in range(50):
            with emulator.checked(order="random", seed=number):
                kernel((1,), (64,), (results[number], np.float32(number)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(results, np.arange(8)[:, None] + np.zeros(64))


def test_checking_belongs_to_a_thread():
    seen = []
    with emulator.checked():
        thread = threading.Thread(target=lambda: seen.append(emulator.is_checked()))
        thread.start()
        thread.join()
        assert emulator.is_checked()
    assert seen == [False]
    with pytest.raises(ValueError, match="no order 'sideways'"), emulator.checked("sideways"):
        pass


FORKED = f'''
import os, threading, time
import numpy as np
from minidl import emulator

kernel = emulator.RawKernel("""{ADD}""", "add")
long = emulator.RawKernel("""
extern "C" __global__ void long_one(float* y) {{
    for (int i = 0; i < 200000000; i++) y[0] += 1.f;
}}""", "long_one")
x = np.arange(64, dtype=np.float32)
thread = threading.Thread(target=lambda: long((1,), (1,), (np.zeros(1, np.float32),)))
thread.start()
time.sleep(0.05)  # the launch has the lock
child = os.fork()
if child == 0:
    y = np.zeros_like(x)
    kernel((1,), (64,), (x, y, np.float32(1), np.int32(64)))
    os._exit(0 if (y == x + 1).all() else 1)
_, status = os.waitpid(child, 0)
thread.join()
raise SystemExit(os.waitstatus_to_exitcode(status))
'''


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_process_forked_during_a_launch_can_launch():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_printf(capfd):
    launch('extern "C" __global__ void f() { printf("%d;", threadIdx.x); }', "f", 1, 3)
    assert capfd.readouterr().out == "0;1;2;"


@pytest.mark.parametrize(
    ("order", "expected"), [("forward", "012345"), ("reverse", "543210"), ("random", None)]
)
def test_orders(order, expected, capfd):
    code = 'extern "C" __global__ void f() { printf("%d", blockIdx.x * 3 + threadIdx.x); }'
    printed = []
    for seed in (1, 1, 2, 3):
        with emulator.checked(order=order, seed=seed):
            launch(code, "f", 2, 3)
        printed.append(capfd.readouterr().out)
    assert printed[0] == printed[1]
    assert [sorted(text) for text in printed] == [list("012345")] * 4
    assert set(printed) == {expected} if expected else len(set(printed)) > 1
