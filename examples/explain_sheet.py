"""Test pictures of CIFAR-10, and beside each what speaks for the class that a model sees.

    minidl train --recipe fast --out fast.safetensors
    python examples/explain_sheet.py fast.safetensors --out explain.png

Needs matplotlib (``pip install .[plot]``). The maps of Grad-CAM are those of --layer, by default
of the third block of ``--recipe fast``, 4x4 pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import explain
from minidl.recipes import Classifier, find_cifar10, load_model
from minidl.vision import datasets


def maps(network: minidl.nn.Module, inputs: minidl.Tensor, layer: str) -> dict[str, minidl.Tensor]:
    """Every explanation of the network's own choice, (N, H, W) each, by its name."""
    return {
        "saliency": explain.saliency(network, inputs),
        "SmoothGrad": explain.smooth_grad(network, inputs),
        "integrated gradients": explain.integrated_gradients(network, inputs).sum(1),
        "Grad-CAM": explain.grad_cam(network, inputs, layer),
        "Grad-CAM++": explain.grad_cam_plus_plus(network, inputs, layer),
        "occlusion": explain.occlusion(network, inputs),
    }


def sheet(model: Classifier, pictures: list, labels: list[str], layer: str) -> Figure:
    """A row for each picture, a column for each explanation."""
    inputs = minidl.stack([model.prepare(picture) for picture in pictures])
    shares = model.probabilities(inputs)
    found = maps(model.network, inputs, layer)
    size = 1.25 * (len(found) + 1), 1.4 * len(pictures) + 0.2
    figure, grid = plt.subplots(
        len(pictures), len(found) + 1, figsize=size, squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.axis("off")
    for row, picture, share, label, i in zip(grid, pictures, shares, labels, range(len(grid))):
        row[0].imshow(picture)
        seen = model.classes[share.argmax()]
        colour = "black" if seen == label else "tab:red"
        row[0].set_title(f"{seen} {share.max():.0%}", fontsize=9, color=colour)
        for axes, heatmaps in zip(row[1:], found.values()):
            axes.imshow(explain.overlay(picture, heatmaps[i], alpha=0.7))
    for axes, name in zip(grid[0, 1:], found):
        axes.set_title(name, fontsize=9)
    return figure


def main() -> None:
    """Draw the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="a file of `minidl train`")
    parser.add_argument("--data", type=Path, help="the folder with CIFAR-10, else $MINIDL_DATA")
    parser.add_argument("--layer", default="11", help="of Grad-CAM; default: %(default)s")
    parser.add_argument("--pictures", type=int, nargs="+", default=range(6), metavar="I")
    parser.add_argument("--out", type=Path, default=Path("explain.png"))
    args = parser.parse_args()
    testset = datasets.CIFAR10(find_cifar10(args.data), train=False)
    pictures, labels = zip(*(testset[i] for i in args.pictures))
    names = [testset.classes[i] for i in np.array(labels)]
    sheet(load_model(args.model), list(pictures), names, args.layer).savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
