"""Where a model looked: a Grad-CAM over the picture, as a data URL."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

import minidl
from minidl.explain import grad_cam, overlay
from minidl.recipes import Classifier

_SIDE = 256


def explain(classifier: Classifier, picture: Any, pictures: np.ndarray, target: int) -> str | None:
    """A PNG of the picture under the heat map; None for networks that have none.

    Layers of 8-bit integers have no gradient.
    """
    try:
        heat = grad_cam(classifier.network, minidl.from_numpy(pictures), target=target)
    except (ValueError, RuntimeError):
        return None
    shown = picture.convert("RGB").resize((_SIDE, _SIDE))
    buffer = io.BytesIO()
    overlay(shown, heat[0]).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
