"""The CUDA C kernels: in the emulator, with its checks, and on a GPU if there is one."""

import pytest

from minidl import backend, emulator

needs_compiler = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("emulator", marks=needs_compiler),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ],
)
def place(request):
    """The device that the kernels run on; in the emulator, with all its checks."""
    if request.param == "cuda":
        try:
            backend.load_cupy()
        except backend.CudaUnavailable as reason:
            pytest.skip(str(reason))
        yield backend.device("cuda")
    else:
        with emulator.checked():
            yield backend.EMULATOR
