"""Occlusion: how much less sure the model is when a part of the picture is covered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl import ops
from minidl.autograd import no_grad
from minidl.explain.checks import batch_of, count_of
from minidl.explain.scores import Target, classes_of, explaining, logits_of, scores_of
from minidl.nn import Module
from minidl.tensor import Tensor

_BATCH = 128  # covered pictures that the model sees at once
_Window = tuple[slice, slice]


def occlusion(
    model: Module,
    input: Tensor,
    target: Target = None,
    window: int = 8,
    stride: int = 4,
    value: float = 0.0,
) -> Tensor:
    """How far the class's probability falls when a square is covered.

    ``mean over the windows v that cover the pixel of p(x) - p(x with v covered)``, with ``p`` the
    target's softmax. Windows lie ``stride`` pixels apart, and one more at the far edge where
    those leave a rest.

    Parameters
    ----------
    model, input, target
        As of `saliency`; the model's own choice is that for the whole picture.
    window, stride : int
        The square's side and its step, in pixels: the stride at most the side, that at most the
        picture's.
    value : float
        What covers: 0 is the mean colour for models that want normalised pictures.

    Returns
    -------
    Tensor (N, H, W)
        From -1 to 1: what is negative speaks against the class.

    Raises
    ------
    ValueError
        If shapes do not fit, there is no such class, or windows would leave pixels out.

    Source: M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
    https://arxiv.org/abs/1311.2901
    """
    input = batch_of(input)
    windows = _windows(*input.shape[2:], count_of("window", window), count_of("stride", stride))
    total = np.zeros((len(input), *input.shape[2:]))
    covering = np.zeros(input.shape[2:])
    with explaining(model), no_grad():
        logits = logits_of(model, input)
        classes = classes_of(logits, target)
        before = scores_of(logits.softmax(1), classes).cpu().numpy()
        for part in _parts(windows, max(1, _BATCH // len(input))):
            after = _probabilities(model, input, classes, part, value)
            for (rows, columns), fall in zip(part, before - after):
                total[:, rows, columns] += fall[:, None, None]
                covering[rows, columns] += 1
    return ops.tensor(total / covering, dtype=input.dtype, device=input.device)


def _probabilities(
    model: Module, input: Tensor, classes: np.ndarray, windows: list[_Window], value: float
) -> np.ndarray:
    """The classes' probabilities with each window covered, (windows, N)."""
    covered = ops.stack([input] * len(windows))
    for pictures, (rows, columns) in zip(covered, windows):
        pictures[:, :, rows, columns] = value
    probabilities = logits_of(model, covered.flatten(0, 1)).softmax(1)
    found = scores_of(probabilities, np.tile(classes, len(windows)))
    return found.cpu().numpy().reshape(len(windows), -1)


def _windows(height: int, width: int, window: int, stride: int) -> list[_Window]:
    """Every place of the window, so that each pixel is covered by one at least."""
    if not stride <= window <= min(height, width):
        raise ValueError(
            f"a window of {window} pixels every {stride} pixels does not cover pictures of "
            f"{height}x{width}: it wants stride <= window <= {min(height, width)}"
        )
    rows, columns = (_spans(size, window, stride) for size in (height, width))
    return [(row, column) for row in rows for column in columns]


def _spans(size: int, window: int, stride: int) -> list[slice]:
    starts = [*range(0, size - window, stride), size - window]
    return [slice(start, start + window) for start in starts]


def _parts(windows: list[_Window], size: int) -> Iterator[list[_Window]]:
    return (windows[i : i + size] for i in range(0, len(windows), size))
