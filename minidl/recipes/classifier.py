"""A trained network with all that its users need: classes, preprocessing, how good it is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minidl
import minidl.onnx
from minidl import nn
from minidl.recipes.recipe import RECIPES, Recipe
from minidl.serialization import CheckpointError
from minidl.vision import pillow
from minidl.vision.transforms import Compose, Normalize, ToTensor

_KIND = "minidl classifier"
_KEYS = {"kind", "recipe", "classes", "mean", "std", "input_shape", "results", "network"}


@dataclass
class Classifier:
    """A network that tells classes of pictures apart.

    Attributes
    ----------
    network : Module
        Takes (N, C, H, W) normalised pictures, returns (N, classes) logits.
    classes : list of str
        Their names, in the order of the logits.
    mean, std : tuple of float
        What is taken off each channel, and then divided by, of values from 0 to 1.
    input_shape : (int, int, int)
        Channels, height and width.
    recipe : str
        The name of the recipe that made the network; empty if none did.
    results : dict
        What is known of it, such as ``{"test_accuracy": 0.62}``.
    """

    network: nn.Module
    classes: list[str]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    input_shape: tuple[int, int, int] = (3, 32, 32)
    recipe: str = ""
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def transform(self) -> Compose:
        """What makes a picture of the right size an input."""
        return Compose([ToTensor(), Normalize(self.mean, self.std)])

    def prepare(self, picture: Any) -> minidl.Tensor:
        """A Pillow image of any size and mode as one input, (C, H, W)."""
        channels, height, width = self.input_shape
        picture = picture.convert("RGB" if channels == 3 else "L")
        if picture.size != (width, height):
            picture = picture.resize((width, height), pillow.Image.Resampling.BILINEAR)
        return self.transform(picture)

    def probabilities(self, inputs: minidl.Tensor) -> np.ndarray:
        """The softmax of the logits of (N, C, H, W) inputs, float32 (N, classes)."""
        self.network.eval()
        with minidl.no_grad():
            return self.network(inputs).softmax(1).cpu().numpy()

    def export(self, path: str | os.PathLike) -> None:
        """Write an ONNX file that `load_model` reads, atomically; see `minidl.onnx.export`."""
        metadata = minidl.onnx.Metadata(
            self.classes, list(self.mean), list(self.std), results=self.results
        )
        example = minidl.zeros(1, *self.input_shape)
        minidl.onnx.export(self.network, example, path, output_names=["logits"], metadata=metadata)

    def save(self, path: str | os.PathLike) -> None:
        """Write a file that `load_model` reads, atomically.

        ValueError if the network is none of a recipe's: such a one can be exported to ONNX.
        """
        if self.recipe not in RECIPES:
            raise ValueError(
                "only the networks of recipes are saved with their weights alone; export this "
                "one to ONNX"
            )
        content = {
            "kind": _KIND,
            "recipe": self.recipe,
            "classes": self.classes,
            "mean": self.mean,
            "std": self.std,
            "input_shape": self.input_shape,
            "results": self.results,
            "network": self.network.state_dict(),
        }
        minidl.save(content, path)


def load_model(path: str | os.PathLike) -> Classifier:
    """The classifier in a file; CheckpointError if there is none in it, OSError if no file.

    The file is one that `Classifier.save` or, if its name ends with ".onnx", `Classifier.export`
    or another program has written.
    """
    if os.fspath(path).endswith(".onnx"):
        return _from_onnx(path)
    content = minidl.load(path)
    if not isinstance(content, dict) or content.get("kind") != _KIND or set(content) != _KEYS:
        raise CheckpointError(f"{os.fspath(path)} holds no model that `minidl train` has saved")
    if content["recipe"] not in RECIPES:
        raise CheckpointError(f"{os.fspath(path)}: there is no recipe {content['recipe']!r}")
    network = RECIPES[content["recipe"]].model()
    try:
        network.load_state_dict(content["network"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error
    facts = {key: content[key] for key in _KEYS - {"kind", "network"}}
    return Classifier(network.eval(), **facts)


def _from_onnx(path: str | os.PathLike) -> Classifier:
    """A network with one input of pictures and one row of logits for each."""
    try:
        network = minidl.onnx.load(path)
        (shape,) = network.input_shapes
        channels, height, width = shape[1:]
        with minidl.no_grad():
            logits = network(minidl.zeros(1, channels, height, width))
        rows, count = logits.shape
    except minidl.onnx.OnnxError as error:
        raise CheckpointError(str(error)) from error
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        raise CheckpointError(
            f"{os.fspath(path)}: no network from pictures of one size, (N, C, H, W), to logits "
            f"(N, classes): {error}"
        ) from error
    known = network.metadata
    classes = known.classes or [f"class {i}" for i in range(count)]
    mean, std = known.mean or [0.0] * channels, known.std or [1.0] * channels
    if rows != 1 or len(classes) != count or not len(mean) == len(std) == channels:
        raise CheckpointError(f"{os.fspath(path)}: its metadata do not fit its inputs and outputs")
    return Classifier(
        network, classes, tuple(mean), tuple(std), (channels, height, width), "", known.results
    )


def classifier_of(recipe: Recipe, network: nn.Module, classes: list[str]) -> Classifier:
    """A recipe's network with the recipe's preprocessing."""
    facts: dict[str, Any] = {}
    for step in recipe.normalisation:
        facts = {"mean": tuple(step.mean), "std": tuple(step.std)}
    return Classifier(network, list(classes), recipe=recipe.name, **facts)
