"""A map over the picture that it explains."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.explain.colours import coloured
from minidl.tensor import Tensor
from minidl.vision import pillow


def overlay(picture: Any, heatmap: Tensor | np.ndarray, alpha: float = 0.5) -> Any:
    """The picture with the map over it in colours: ``(1 - alpha) picture + alpha colours``.

    Parameters
    ----------
    picture : Pillow image or uint8 array (H, W), (H, W, 1) or (H, W, 3)
    heatmap : Tensor or array (h, w)
        Of any size. Its largest value gets the brightest colour; 0, and all that is below, the
        darkest.
    alpha : float
        From 0 (the picture alone) to 1 (the map alone).

    Returns
    -------
    Pillow image
        RGB, of the picture's size.

    Raises
    ------
    ValueError
        If shapes, dtypes, values or alpha are others.
    ImportError
        Without Pillow.
    """
    pillow.require_pillow("an overlay")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha lies from 0 to 1, got {alpha!r}")
    below = _picture(picture).convert("RGB")
    above = pillow.Image.fromarray(_scaled(heatmap))
    if above.size != below.size:
        above = above.resize(below.size, pillow.Image.Resampling.BILINEAR)
    above = pillow.Image.fromarray(coloured(np.asarray(above)))
    return pillow.Image.blend(below, above, alpha)


def _picture(picture: Any) -> Any:
    if pillow.is_picture(picture):
        return picture
    array = np.asarray(picture)
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or array.shape[2:] not in ((), (1,), (3,))
    ):
        raise ValueError(
            "the picture is a Pillow image or a uint8 array (H, W), (H, W, 1) or (H, W, 3), got "
            f"{array.dtype} {array.shape}"
        )
    return pillow.to_picture(array.reshape(*array.shape[:2], -1))


def _scaled(heatmap: Tensor | np.ndarray) -> np.ndarray:
    """The map from 0 to 1, float32 (h, w)."""
    if isinstance(heatmap, Tensor):
        heatmap = heatmap.numpy(force=True)
    array = np.asarray(heatmap, np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"the heatmap is that of one picture, (H, W), got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("the heatmap has values that are infinite or no numbers")
    array = array.clip(0)
    return array / (array.max() or 1)
