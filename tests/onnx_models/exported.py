"""Modules made of functions, written as ONNX, and computed by onnxruntime and by minidl again."""

from __future__ import annotations

import numpy as np
import onnxruntime

import minidl
from minidl import nn, onnx


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function, **tensors):
        super().__init__()
        self.function = function
        for name, tensor in tensors.items():
            setattr(self, name, nn.Parameter(tensor))

    def forward(self, *inputs):
        return self.function(*inputs, *self.parameters())


def floats(*shape, seed=0):
    """A float32 tensor of normal numbers."""
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return minidl.tensor(drawn.astype(np.float32))


def by_onnxruntime(content, *inputs):
    """The outputs of a model (bytes) as onnxruntime computes them, without its own changes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return session.run(None, {name: x.numpy() for name, x in zip(names, inputs)})


def check(model, *inputs, more=None, tolerance=1e-5):
    """Export with ``inputs`` as the example; on ``more``, of another batch size, all agree.

    Returns the content of the file.
    """
    result = model.eval()(*inputs)
    count = len(result) if isinstance(result, tuple) else 1
    content = onnx.to_bytes(
        model,
        inputs,
        [f"in{i}" for i in range(len(inputs))],
        [f"out{i}" for i in range(count)],
    )
    loaded = onnx.from_bytes(content)
    for given in (inputs, more or inputs):
        with minidl.no_grad():
            wanted, again = (
                result if isinstance(result, tuple) else (result,)
                for result in (model(*given), loaded(*given))
            )
        found = by_onnxruntime(content, *given)
        assert len(found) == len(again) == len(wanted)
        for w, a, f in zip(wanted, again, found):
            w, a = w.numpy(), a.numpy()
            assert w.dtype == a.dtype == f.dtype and w.shape == a.shape == f.shape
            scale = tolerance * max(1.0, float(np.abs(w).max(initial=0)))
            np.testing.assert_allclose(f, w, rtol=tolerance, atol=scale)
            np.testing.assert_allclose(a, w, rtol=tolerance, atol=scale)
    return content
