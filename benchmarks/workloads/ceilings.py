"""What the machine can do: a large matrix product, and a copy that no cache holds."""

from benchmarks.workload import Workload

_SIZE = 2048
_COUNT = 1 << 25  # 128 MB there, 128 MB here

PRODUCT = Workload(
    name=f"sgemm, {_SIZE} x {_SIZE}",
    family="ceilings",
    kind="product",
    contenders=("minidl", "PyTorch", "JAX", "NumPy"),
    options={"size": _SIZE},
    flops=2.0 * _SIZE**3,
    compared=True,
)
COPY = Workload(
    name=f"copy of {_COUNT * 4 >> 20} MB",
    family="ceilings",
    kind="copy",
    contenders=("NumPy", "PyTorch"),
    options={"count": _COUNT},
    bytes=8.0 * _COUNT,
)
WORKLOADS = [PRODUCT, COPY]
