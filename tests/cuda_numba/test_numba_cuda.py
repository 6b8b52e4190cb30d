"""The Numba CUDA kernels: in Numba's simulator, compiled without a GPU, and on one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numba_checks
import numba_ptx
import pytest
from numba import cuda
from on_device import moved

from minidl.backend import CudaUnavailable, device, load_cupy, to_device, to_host
from minidl.kernels import use_kernels

CHECKS = numba_checks.all_checks()
HERE = Path(__file__).parent


def output_of(script, **environment):
    """What a script of this folder prints, as JSON; its warnings are errors."""
    run = subprocess.run(
        [sys.executable, "-W", "error", HERE / script],
        env=os.environ | environment | {"PYTHONPATH": str(HERE.with_name("cuda"))},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# --------------------------------------------------------------------------- in the simulator


@pytest.fixture(scope="module")
def simulated():
    """What is wrong, by check."""
    return output_of("numba_simulator.py", NUMBA_ENABLE_CUDASIM="1")


@pytest.mark.parametrize("name", CHECKS)
def test_in_the_simulator(simulated, name):
    wrong = simulated[name]
    assert wrong is None, wrong


# --------------------------------------------------------------------------- compiled


@pytest.fixture(scope="module")
def nvcc():
    """The folder of the wheel that has NVVM, which Numba compiles with, and an assembler."""
    wheel = pytest.importorskip("nvidia.cuda_nvcc", reason="needs NVVM and ptxas: .[test-cuda]")
    return Path(wheel.__path__[0])


@pytest.fixture(scope="module")
def compiled(nvcc, tmp_path_factory):
    """All kernels, compiled with a CUDA toolkit that is put together from wheels."""
    if getattr(cuda, "implementation", "Built-in") != "Built-in":
        pytest.skip("the package numba-cuda replaces Numba's CUDA and looks for another toolkit")
    wheel = pytest.importorskip("nvidia.cuda_runtime", reason="needs libcudart: .[test-cuda]")
    home = tmp_path_factory.mktemp("cuda")
    for folder in ("nvvm/lib64", "lib64"):
        (home / folder).mkdir(parents=True)
    # Numba looks for libraries with a version in their names
    (home / "nvvm/lib64/libnvvm.so.4").symlink_to(nvcc / "nvvm/lib64/libnvvm.so")
    (home / "nvvm/libdevice").symlink_to(nvcc / "nvvm/libdevice")
    runtime = next(Path(wheel.__path__[0], "lib").glob("libcudart.so.*"))
    (home / "lib64" / runtime.name).symlink_to(runtime)
    return output_of("numba_ptx.py", CUDA_HOME=str(home), NUMBA_ENABLE_CUDASIM="0")


@pytest.mark.parametrize("kernel", numba_ptx.kernels())
def test_compiles_without_spills(nvcc, compiled, kernel, tmp_path):
    rows = [row for row in compiled if row["kernel"] == kernel]
    assert len(rows) == len(numba_ptx.ARCHITECTURES) * len(numba_ptx.DTYPES)
    for row in rows:
        ptx, architecture = row["ptx"], row["architecture"]
        assert re.search(rf"^\.target {architecture}$", ptx, re.MULTILINE)
        (entry,) = re.findall(r"\.entry (\w+)", ptx)
        assert kernel in entry
        assert row["dtype"] == "float64" or ".f64" not in ptx, "float32 became float64"
        file = tmp_path / "kernel.ptx"
        file.write_text(ptx)
        command = [nvcc / "bin/ptxas", "-v", "-arch", architecture, file, "-o", tmp_path / "cubin"]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        assert "0 bytes spill stores, 0 bytes spill loads" in report, report


# --------------------------------------------------------------------------- on a GPU


@pytest.fixture
def gpu():
    """Computes with copies of arrays on a GPU, by these kernels."""
    try:
        load_cupy()
    except CudaUnavailable as reason:
        pytest.skip(str(reason))

    def run(kernel, args, host):
        copies = moved(args, lambda array: to_device(array, device("cuda")))
        with use_kernels("numba-cuda"):
            return moved((kernel(*copies, *host), copies), to_host)

    return run


@pytest.mark.gpu
@pytest.mark.parametrize("name", CHECKS)
def test_on_a_gpu(gpu, name):
    CHECKS[name](gpu)
