"""Layers forward and backward."""

from typing import Any

from benchmarks.workload import Workload


def _layer(name: str, kind: str, flops: float = 0.0, **options: Any) -> Workload:
    return Workload(
        name=name,
        family="layers, forward + backward",
        kind=kind,
        contenders=("minidl", "PyTorch", "JAX"),
        options=options,
        flops=flops,
        compared=True,
    )


def _pool(shape: tuple, kernel: int, stride: int, padding: int = 0) -> Workload:
    name = f"max pool {kernel}x{kernel}/{stride}, {_by(shape)}"
    return _layer(name, "max_pool", shape=shape, kernel=kernel, stride=stride, padding=padding)


def _norm(shape: tuple) -> Workload:
    return _layer(f"batch norm, {_by(shape)}", "batch_norm", shape=shape)


def _linear(batch: int, inputs: int, outputs: int) -> Workload:
    return _layer(
        f"linear {inputs} to {outputs}, batch {batch}",
        "linear",
        flops=6.0 * batch * inputs * outputs,
        batch=batch,
        inputs=inputs,
        outputs=outputs,
    )


def _loss(batch: int, classes: int) -> Workload:
    name = f"softmax + cross-entropy, {batch} x {classes}"
    return _layer(name, "cross_entropy", batch=batch, classes=classes)


def _by(shape: tuple) -> str:
    return " x ".join(map(str, shape))


WORKLOADS = [
    _pool((128, 6, 28, 28), 2, 2),
    _pool((32, 64, 32, 32), 2, 2),
    _pool((32, 64, 16, 16), 3, 2, 1),
    _norm((32, 64, 32, 32)),
    _norm((32, 512, 4, 4)),
    _loss(128, 10),
    _loss(512, 1000),
    _linear(4, 400, 120),
    _linear(128, 400, 120),
    _linear(32, 4096, 4096),
]
