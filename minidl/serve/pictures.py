"""Pictures that come from anywhere: decoded within limits, or refused."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

from minidl.recipes import Classifier
from minidl.serve.errors import RequestError
from minidl.vision.pillow import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is decoded."""

MAX_PIXELS = 24_000_000
"""Of a picture: its size is in its first bytes, and is looked at before it is decoded."""


def decode(content: bytes) -> Any:
    """The Pillow image in an encoded picture.

    RequestError 415 for other formats, 413 for too many pixels, 400 for damaged ones.
    """
    if not content:
        raise RequestError(400, "there is no picture in the request")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise RequestError(
                    413, f"{width} x {height} pixels; {MAX_PIXELS:,} are decoded at most"
                )
            picture.load()
    except RequestError:
        raise
    except Image.DecompressionBombError:
        raise RequestError(413, f"{MAX_PIXELS:,} pixels are decoded at most") from None
    except Image.UnidentifiedImageError:
        raise RequestError(415, f"no picture of a known format: {', '.join(FORMATS)}") from None
    except Exception as error:  # decoders of damaged data raise what they like
        raise RequestError(400, f"the picture is damaged: {str(error)[:200]}") from None
    return picture


def prepare(content: bytes, classifier: Classifier) -> tuple[Any, np.ndarray]:
    """The image, and the model's input of it, (1, C, H, W)."""
    picture = decode(content)
    return picture, classifier.prepare(picture).numpy()[None]
