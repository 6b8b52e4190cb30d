"""Say what is in a model file.

examples:
  minidl info fast.safetensors
  minidl info fast.safetensors --json
"""

from __future__ import annotations

import argparse

from minidl.cli import options
from minidl.recipes import load_model


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    options.add_model(command)
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Print the model's card and its tensors."""
    model = load_model(args.model)
    state = model.network.state_dict()
    facts = {
        "file": str(args.model),
        "bytes": args.model.stat().st_size,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "recipe": model.recipe,
        "classes": model.classes,
        "input_shape": list(model.input_shape),
        "mean": list(model.mean),
        "std": list(model.std),
        "results": model.results,
        "tensors": {name: [str(t.dtype), list(t.shape)] for name, t in state.items()},
    }
    tensors = facts.pop("tensors")
    width = max(map(len, facts))
    lines = [f"{name.replace('_', ' '):{width}}  {_text(value)}" for name, value in facts.items()]
    facts["tensors"] = tensors
    width = max(map(len, tensors), default=0)
    lines += ["", *(f"{name:{width}}  {dtype}{shape}" for name, (dtype, shape) in tensors.items())]
    options.answer(args, facts, "\n".join(lines))
    return 0


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
