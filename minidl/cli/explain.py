"""Show what in a picture speaks for a class.

examples:
  minidl explain fast.safetensors cat.jpg --out overlay.png
  minidl explain fast.safetensors cat.jpg --out overlay.png --method occlusion --target dog --json
  minidl explain fast.safetensors cat.jpg --out overlay.png --layer 11
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import minidl
from minidl import explain
from minidl.cli import options
from minidl.cli.pictures import picture_name, read_picture, write_picture
from minidl.recipes import Classifier, DataError, load_model

_OF_A_LAYER = {"grad-cam": explain.grad_cam, "grad-cam++": explain.grad_cam_plus_plus}


def _attributions(network: minidl.nn.Module, input: minidl.Tensor, target: int) -> minidl.Tensor:
    return explain.integrated_gradients(network, input, target).sum(1)


def _occlusion(network: minidl.nn.Module, input: minidl.Tensor, target: int) -> minidl.Tensor:
    window = max(1, min(input.shape[2:]) // 4)
    stride = max(1, window // 2)
    return explain.occlusion(network, input, target, window, stride)


_METHODS: dict[str, Callable] = {
    "saliency": explain.saliency,
    "smooth-grad": explain.smooth_grad,
    "integrated-gradients": _attributions,
    "occlusion": _occlusion,
    **_OF_A_LAYER,
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    options.add_model(command)
    add = command.add_argument
    add("picture", type=Path, help="a file that Pillow reads")
    add("--out", type=picture_name, required=True, metavar="FILE", help="where the result goes")
    add("--method", choices=_METHODS, default="grad-cam", help="default: %(default)s")
    add("--target", metavar="CLASS", help="the class in question; default: the likeliest")
    add("--layer", metavar="NAME", help="of Grad-CAM; default: the last one that knows places")
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Write the picture with the map over it."""
    if args.layer is not None and args.method not in _OF_A_LAYER:
        print(f"minidl explain: --layer goes with {' or '.join(_OF_A_LAYER)}", file=sys.stderr)
        return 2
    model, picture = load_model(args.model), read_picture(args.picture)
    inputs = model.prepare(picture).unsqueeze(0)
    (probabilities,) = model.probabilities(inputs)
    target = int(probabilities.argmax()) if args.target is None else _class(model, args.target)
    try:
        layer = {} if args.layer is None else {"layer": args.layer}
        (heatmap,) = _METHODS[args.method](model.network, inputs, target=target, **layer)
    except ValueError as error:  # no such layer, or none with maps
        raise DataError(f"{args.method} cannot explain {args.model}: {error}") from error
    write_picture(explain.overlay(picture, heatmap), args.out)
    facts = {
        "picture": str(args.picture),
        "method": args.method,
        "target": model.classes[target],
        "probability": float(probabilities[target]),
        "overlay": str(args.out),
    }
    text = f"{args.picture}: {facts['target']} {facts['probability']:.1%}; wrote {args.out}"
    options.answer(args, facts, text)
    return 0


def _class(model: Classifier, name: str) -> int:
    if name not in model.classes:
        raise DataError(f"the model tells {model.classes} apart, {name!r} is none of them")
    return model.classes.index(name)
