"""What becomes of a source on its way to a library: macros, files, limits, compilers."""

import pickle
import shutil

import numpy as np
import pytest
from emulated import launch

from minidl import emulator
from minidl.emulator import compiler

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

ADD = """
extern "C" __global__ void add(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + 1.f;
}"""


def test_kernels_made_by_macros_and_kernels_left_out():
    code = """
#define KERNEL(name, value) extern "C" __global__ void name(int* y) { *y = value; }
KERNEL(one, 1) KERNEL(two, 2)
#if 0
KERNEL(three, no_value)
#endif
extern "C" {
__global__ void four(int* y) { *y = 4; }
}
template <class T> __global__ void five(T* y) { *y = 5; }
"""
    for name, value in (("two", 2), ("four", 4)):
        y = np.zeros(1, np.int32)
        launch(code, name, 1, 1, y)
        assert y[0] == value
    for name in ("three", "five"):
        with pytest.raises(emulator.CompileError, match=r"there are: one, two, four$"):
            emulator.RawKernel(code, name)


def test_macros_do_not_reach_the_emulators_own_headers():
    options = "-DT=float", "-DN=4", "-DTWICE(x)=(x)+(x)"
    code = 'extern "C" __global__ void f(T* y) { for (int i = 0; i < N; i++) y[i] = TWICE(i); }'
    y = np.zeros(4, np.float32)
    launch(code, "f", 1, 1, y, options=options)
    assert y.tolist() == [0, 2, 4, 6]


def test_a_change_of_an_included_file_is_seen(tmp_path):
    path = tmp_path / "f.cu"
    path.write_text('#include "value.h"\nextern "C" __global__ void f(int* y) { *y = VALUE; }')
    for value in (1, 2):
        (tmp_path / "value.h").write_text(f"#define VALUE {value}\n")
        y = np.zeros(1, np.int32)
        emulator.RawModule(path=str(path)).get_function("f")((1,), (1,), (y,))
        assert y[0] == value


def test_too_much_static_shared_memory():
    code = """
extern "C" __global__ void f(int* y) {
    __shared__ int s[12289];
    s[y[0]] = 1;
    __syncthreads();
    y[1] = s[y[2]];
}"""
    with pytest.raises(emulator.LaunchError, match="49156 bytes of static shared memory"):
        launch(code, "f", 1, 1, np.zeros(3, np.int32))


def test_shared_variables_of_two_modules_are_apart():
    code = """
template <int N> __device__ int last() {
    __shared__ int s[SIZE];
    for (int i = 0; i < SIZE; i++) s[i] = i;
    return s[SIZE - 1];
}
extern "C" __global__ void f(int* y) { y[0] = last<1>(); }
"""
    y = np.zeros(1, np.int32)
    for size in (4, 4000, 4):
        with emulator.checked():
            launch(code, "f", 1, 1, y, options=(f"-DSIZE={size}",))
        assert y[0] == size - 1


@pytest.mark.parametrize(
    ("order", "expected"), [("forward", "012345"), ("reverse", "543210"), ("random", None)]
)
def test_the_order_of_threads_and_blocks(order, expected, capfd):
    code = 'extern "C" __global__ void f() { printf("%d", blockIdx.x * 3 + threadIdx.x); }'
    printed = []
    for seed in (1, 1, 2, 3):
        with emulator.checked(order=order, seed=seed):
            launch(code, "f", 2, 3)
        printed.append(capfd.readouterr().out)
    assert printed[0] == printed[1]
    assert [sorted(text) for text in printed] == [list("012345")] * 4
    assert set(printed) == {expected} if expected else len(set(printed)) > 1


def test_errors_can_be_pickled():
    x = np.zeros(4, np.float32)
    with emulator.checked(), pytest.raises(emulator.OutOfBounds) as caught:
        launch(ADD, "add", 1, 8, x, x, np.int32(8))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert (copy.line, copy.block, copy.thread) == (4, (0, 0, 0), (4, 0, 0))


def test_where_caches_belong(monkeypatch, tmp_path):
    monkeypatch.delenv("MINIDL_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiler.cache_folder() == tmp_path / "minidl" / "emulator"


def test_copies_that_are_left_to_the_c_library():
    code = """
struct Many { int v[300]; };
extern "C" __global__ void f(int* x, int n, Many many) {
    int mine[256];
    memset(mine, 0, sizeof mine);
    memcpy(mine, x, n);
    x[0] = mine[2] + many.v[299];
}"""
    x, many = np.arange(64, dtype=np.int32), np.zeros((), [("v", "i4", 300)])
    many["v"] = 1000
    with emulator.checked():
        launch(code, "f", 1, 1, x, np.int32(256), many)
        assert x[0] == 1002
        with pytest.raises(emulator.OutOfBounds, match="8 bytes past the end of") as caught:
            launch(code, "f", 1, 1, x, np.int32(264), many)
    assert caught.value.line == 6


@pytest.mark.parametrize("command", ["g++", "clang++"])
def test_either_compiler_checks(command, monkeypatch):
    monkeypatch.setenv("CXX", command)
    if not emulator.is_available():
        pytest.skip(f"{command} is not here")
    x = np.arange(100, dtype=np.float32)
    for size in (100, 101):
        y = np.zeros_like(x)
        arguments = (2,), (64,), (x, y, np.int32(size))
        with emulator.checked():
            kernel = emulator.RawKernel(ADD, "add")
            if size == 100:
                kernel(*arguments)
                np.testing.assert_array_equal(y, x + 1)
            else:
                with pytest.raises(emulator.OutOfBounds, match="4 bytes past") as caught:
                    kernel(*arguments)
                assert (caught.value.file, caught.value.line) == ("kernel.cu", 4)


def test_without_a_symboliser_the_thread_is_still_named(monkeypatch):
    x = np.zeros(4, np.float32)
    which, tools = shutil.which, ("addr2line", "llvm-symbolizer")
    monkeypatch.setattr(shutil, "which", lambda name: None if name in tools else which(name))
    with emulator.checked(), pytest.raises(emulator.OutOfBounds) as caught:
        emulator.RawKernel(ADD, "add")((1,), (8,), (x, x, np.int32(8)))
    assert str(caught.value).startswith("kernel add, block (0, 0, 0), thread (4, 0, 0): reads")
    assert caught.value.line is None
