"""A small model's files, requests for it, and a server in a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import time

import numpy as np

import minidl
from minidl.recipes import RECIPES, classifier_of

CLASSES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
PICTURES = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)


def write_model(path, seed=0):
    """The article's network with random weights; returns the classifier."""
    minidl.manual_seed(seed)
    recipe = RECIPES["article"]
    classifier = classifier_of(recipe, recipe.model(), CLASSES)
    classifier.results = {"test_accuracy": 0.5}
    (classifier.export if path.suffix == ".onnx" else classifier.save)(path)
    return classifier


def logits_of(classifier, pictures):
    with minidl.no_grad():
        return classifier.network.eval()(minidl.tensor(pictures)).numpy()


def in_json(pictures, **more):
    """The body of a request with the tensor in JSON."""
    tensor = {
        "name": "input",
        "shape": list(pictures.shape),
        "datatype": "FP32",
        "data": pictures.ravel().tolist(),
    }
    return {"inputs": [tensor], **more}


def in_bytes(pictures, binary=True):
    """The body of a request with the tensor behind the JSON, and its headers."""
    data = pictures.astype("<f4").tobytes()
    tensor = {
        "name": "input",
        "shape": list(pictures.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(data)},
    }
    request = {"inputs": [tensor], "parameters": {"binary_data_output": binary}}
    text = json.dumps(request).encode()
    return text + data, {"Inference-Header-Content-Length": str(len(text))}


def encoded(size=(40, 30), kind="PNG"):
    """A picture as a file's content."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


@contextlib.contextmanager
def running(*words):
    """``minidl serve`` on a free port, in a process; yields it and its address."""
    command = [sys.executable, "-m", "minidl.cli", "serve", *map(str, words), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if found := re.search(r"on http://([\d.]+:\d+)", line):
                yield process, found.group(1)
                break
        else:
            raise AssertionError(f"the server ended with {process.wait()}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stderr.close()


def until(condition, seconds=10):
    """Wait for a condition; AssertionError if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
