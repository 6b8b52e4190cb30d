"""What each step of compression has cost and gained, measured, as a table."""

from __future__ import annotations

import json
import time
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import minidl
import minidl.onnx
from minidl import nn
from minidl.compress.counting import multiply_adds, parameters
from minidl.tensor import Tensor
from minidl.utils.data import DataLoader

BATCHES = (1, 128)
_SECONDS = 0.5  # of timing, for each size of batch


@dataclass
class Row:
    """One state of the model.

    Attributes
    ----------
    step : str
        What was done last.
    parameters, nonzero : int
        Numbers it has, and those that are not 0.
    bytes, packed_bytes : int
        The size of its ONNX file, and of that file deflated.
    multiply_adds : int
        For one picture.
    accuracy : float
        On the test set.
    latency_ms : dict
        The median time of a compiled pass, by the size of the batch.
    """

    step: str
    parameters: int
    nonzero: int
    bytes: int
    packed_bytes: int
    multiply_adds: int
    accuracy: float
    latency_ms: dict[int, float]


@dataclass
class Report:
    """The rows, in the order of the steps."""

    rows: list[Row] = field(default_factory=list)

    def add(self, step: str, model: nn.Module, example: Tensor, test: DataLoader) -> Row:
        """Measure a model."""
        content = minidl.onnx.to_bytes(model, example)
        row = Row(
            step,
            parameters(model),
            _nonzero(model),
            len(content),
            len(zlib.compress(content, 9)),
            multiply_adds(model, example),
            accuracy(model, test),
            {batch: latency(model, example, batch) for batch in BATCHES},
        )
        self.rows.append(row)
        return row

    def __str__(self) -> str:
        first = self.rows[0]
        table = [("step", "accuracy", "file", "deflated", "weights", "multiply-adds",
                  *(f"batch {batch}" for batch in BATCHES))]  # fmt: skip
        for row in self.rows:
            times = [
                f"{row.latency_ms[b]:.3f} ms {first.latency_ms[b] / row.latency_ms[b]:.2f}x"
                for b in BATCHES
            ]
            table.append((
                row.step,
                f"{row.accuracy:.2%}",
                f"{row.bytes:,} 1:{first.bytes / row.bytes:.2f}",
                f"{row.packed_bytes:,} 1:{first.packed_bytes / row.packed_bytes:.2f}",
                f"{row.nonzero:,} {row.nonzero / first.parameters:.0%}",
                f"{row.multiply_adds:,} {row.multiply_adds / first.multiply_adds:.0%}",
                *times,
            ))  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*table)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip()
            for line in table
        )

    def to_json(self) -> str:
        """The rows as JSON."""
        return json.dumps([asdict(row) for row in self.rows], indent=2)


def accuracy(model: nn.Module, test: DataLoader) -> float:
    """The share of inputs whose largest logit is their label's."""
    forward = minidl.compile(model.eval())
    right = total = 0
    with minidl.no_grad():
        for inputs, labels in test:
            right += int((forward(inputs).argmax(1) == labels).sum())
            total += len(labels)
    return right / total


def latency(model: nn.Module, example: Tensor, batch: int, seconds: float = _SECONDS) -> float:
    """The median time of a compiled pass over a batch, in milliseconds."""
    return 1e3 * float(np.median(latencies(model, tuple(example.shape[1:]), batch, seconds)))


def latencies(model: nn.Module, shape: tuple[int, ...], batch: int, seconds: float) -> list[float]:
    """The seconds of each compiled pass of so many seconds' worth, after some that do not count.

    The inputs are normal numbers, ``batch`` samples of ``shape``.
    """
    forward = minidl.compile(model.eval())
    random = np.random.default_rng(0)
    inputs = minidl.tensor(random.standard_normal((batch, *shape)).astype(np.float32))
    times: list[float] = []
    with minidl.no_grad():
        for _ in range(5):
            forward(inputs)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            forward(inputs)
            times.append(time.perf_counter() - start)
    return times


def _nonzero(model: nn.Module) -> int:
    """How many numbers of a model are not 0."""
    tensors: list[Any] = [*model.parameters()]
    tensors += [t for t in model.buffers() if t.dtype.kind == "i" and t.ndim > 1]
    return sum(int((tensor != 0).sum()) for tensor in tensors)
