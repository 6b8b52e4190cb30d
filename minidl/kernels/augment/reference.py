"""Augmentation in NumPy, one picture and one step after the other: the definition.

Every step on uint8 pictures (height, width, channels) does what Pillow does, to the bit:
rotation by nearest pixel in 16.16 fixed point, blending in float32 with truncation.

Source: Pillow's ``src/libImaging``: Geometry.c, Blend.c, Convert.c
"""

import numpy as np

from minidl.backend import device_of, to_device, to_host
from minidl.kernels.augment import program as p


def augment_pictures(
    pictures: np.ndarray,
    indices: np.ndarray,
    program: np.ndarray,
    parameters: np.ndarray,
    table: np.ndarray,
) -> np.ndarray:
    """Apply a program to some of ``pictures``.

    Parameters
    ----------
    pictures : uint8 array (N, H, W, C), C = 1 or 3
        The data set, on the device that makes the result; the other arrays may be on the host.
    indices : integer array (B,)
        Which of them.
    program, parameters : float64 arrays (steps, `program.ROW`) and (B, K)
        What to do: see `minidl.kernels.augment.program`.
    table : float32 array (C, 256)
        The float that each byte becomes, per channel.

    Returns
    -------
    float32 array (B, C, H', W')
    """
    program, parameters, table = map(to_host, (program, parameters, table))
    p.check(pictures, indices, program, parameters, table)
    place = device_of(pictures)
    chosen = to_host(pictures[to_device(indices, place)])
    out = np.empty((len(indices), pictures.shape[3], *final_size(program)), np.float32)
    for i, picture in enumerate(chosen):
        out[i] = _run(picture, program, parameters[i], table)
    return to_device(out, place)


def final_size(program: np.ndarray) -> tuple[int, int]:
    """The height and width of the pictures that come out."""
    return int(program[-1, p.HEIGHT]), int(program[-1, p.WIDTH])


def _run(picture, program, parameters, table):
    for row in program:
        opcode, column = int(row[p.OPCODE]), int(row[p.COLUMN])
        if opcode == p.TO_FLOAT:
            picture = np.stack([table[c][picture[..., c]] for c in range(len(table))])
        else:
            picture = _STEPS[opcode](picture, row, parameters[column:])
    return picture


# ------------------------------------------------------------------------- where pixels go


def _flip_horizontal(picture, row, values):
    return picture[:, ::-1] if values[0] else picture


def _flip_vertical(picture, row, values):
    return picture[::-1] if values[0] else picture


def _centred(height, width, cosine, sine):
    """The offsets that make a rotation turn about the picture's centre."""
    dx = width / 2 - cosine * width / 2 - sine * height / 2
    dy = height / 2 + sine * width / 2 - cosine * height / 2
    return dx, dy


def _inside(position, size):
    return (position >= 0) & (position < size)


def _fixed(value):
    return int(np.floor(value * 65536 + 0.5))


def _rotate_nearest(picture, row, values):
    height, width, channels = picture.shape
    cosine, sine = values[:2]
    dx, dy = _centred(height, width, cosine, sine)
    y, x = np.mgrid[:height, :width]
    start_x = _fixed(dx + cosine * 0.5 + sine * 0.5)
    start_y = _fixed(dy - sine * 0.5 + cosine * 0.5)
    from_x = (start_x + x * _fixed(cosine) + y * _fixed(sine)) >> 16
    from_y = (start_y + x * _fixed(-sine) + y * _fixed(cosine)) >> 16
    inside = _inside(from_y, height) & _inside(from_x, width)
    rotated = _filled(height, width, channels, row)
    rotated[inside] = picture[from_y[inside], from_x[inside]]
    return rotated


def _rotate_bilinear(picture, row, values):
    height, width, channels = picture.shape
    cosine, sine = values[:2]
    dx, dy = _centred(height, width, cosine, sine)
    y, x = np.mgrid[:height, :width] + 0.5
    from_x = cosine * x + sine * y + dx
    from_y = -sine * x + cosine * y + dy
    inside = _inside(from_y, height) & _inside(from_x, width)
    left, top = np.floor(from_x - 0.5), np.floor(from_y - 0.5)
    right_share, bottom_share = (from_x - 0.5 - left)[..., None], (from_y - 0.5 - top)[..., None]
    x0, x1 = (np.clip(left + i, 0, width - 1).astype(int) for i in (0, 1))
    y0, y1 = (np.clip(top + i, 0, height - 1).astype(int) for i in (0, 1))
    wide = picture.astype(np.float64)
    above = wide[y0, x0] + (wide[y0, x1] - wide[y0, x0]) * right_share
    below = wide[y1, x0] + (wide[y1, x1] - wide[y1, x0]) * right_share
    rotated = _filled(height, width, channels, row)
    rotated[inside] = (above + (below - above) * bottom_share)[inside].astype(np.uint8)
    return rotated


def _window(picture, row, values):
    height, width, channels = picture.shape
    y = int(values[0]) + np.arange(int(row[p.HEIGHT]))
    x = int(values[1]) + np.arange(int(row[p.WIDTH]))
    from_y, from_x = _sources(y, height, row[p.OPTION]), _sources(x, width, row[p.OPTION])
    seen = picture[from_y[:, None], from_x]
    if row[p.OPTION] != p.CONSTANT:
        return seen
    inside = _inside(y, height)[:, None] & _inside(x, width)
    return np.where(inside[..., None], seen, _filled(len(y), len(x), channels, row))


def _sources(position, size, mode):
    """Which row (or column) of a picture is seen at a position that may lie outside it."""
    if mode == p.REFLECT and size > 1:
        period = 2 * (size - 1)
        return size - 1 - np.abs(position % period - (size - 1))
    if mode == p.SYMMETRIC:
        folded = position % (2 * size)
        return np.minimum(folded, 2 * size - 1 - folded)
    return np.clip(position, 0, size - 1)


def _filled(height, width, channels, row):
    colour = row[p.FIRST : p.FIRST + channels].astype(np.uint8)
    return np.tile(colour, (height, width, 1))


# --------------------------------------------------------------------------- what colours are


def _jitter(picture, row, values):
    adjust = {
        p.BRIGHTNESS: _brightness,
        p.CONTRAST: _contrast,
        p.SATURATION: _saturation,
        p.HUE: _hue,
    }
    for kind in values[:4]:
        if kind != p.NO_ADJUSTMENT:
            picture = adjust[kind](picture, values[4 + int(kind)])
    return picture


def _brightness(picture, factor):
    return _blend(np.zeros_like(picture), picture, factor)


def _contrast(picture, factor):
    mean = int(_grey(picture).mean() + 0.5)
    return _blend(np.full_like(picture, mean), picture, factor)


def _saturation(picture, factor):
    return _blend(_grey(picture)[..., None], picture, factor)


def _blend(first, second, factor):
    """``first + factor * (second - first)``, cut down to a whole number and to 0..255."""
    first, second = first.astype(np.float32), second.astype(np.float32)
    return np.clip(first + np.float32(factor) * (second - first), 0, 255).astype(np.uint8)


def _grey(picture):
    """Luma of ITU-R 601-2 in 16-bit fixed point."""
    if picture.shape[2] == 1:
        return picture[..., 0]
    red, green, blue = np.moveaxis(picture.astype(np.int64), -1, 0)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def _hue(picture, factor):
    if picture.shape[2] == 1:
        return picture
    hue, saturation, value = _to_hsv(picture)
    return _to_rgb((hue + int(factor * 255)) % 256, saturation, value)


def _to_hsv(picture):
    """Bytes for hue, saturation and value; the roundings to float32 are Pillow's."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    top, spread = picture.max(-1), np.ptp(picture, -1)
    span = np.maximum(spread, 1).astype(np.float32)
    r, g, b = ((top - channel).astype(np.float32) / span for channel in (red, green, blue))
    r, g, b = r.astype(np.float64), g.astype(np.float64), b.astype(np.float64)
    sector = np.where(red == top, b - g, np.where(green == top, 2.0 + r - b, 4.0 + g - r))
    turn = np.fmod(sector.astype(np.float32).astype(np.float64) / 6.0 + 1.0, 1.0)
    hue = np.where(spread == 0, 0, turn.astype(np.float32).astype(np.float64) * 255.0)
    share = spread.astype(np.float32) / np.maximum(top, 1).astype(np.float32)
    return hue.astype(int), (share.astype(np.float64) * 255.0).astype(int), top.astype(int)


def _to_rgb(hue, saturation, value):
    turn = hue * 6.0 / 255.0
    sector = np.floor(turn).astype(int)
    rest, share = (
        part.astype(np.float32).astype(np.float64) for part in (turn - sector, saturation / 255.0)
    )
    low, falling, rising = (
        np.floor(value * (1.0 - share * part) + 0.5).astype(int) for part in (1.0, rest, 1.0 - rest)
    )
    mixes = [
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    ]
    channels = [np.choose(sector % 6, [mix[c] for mix in mixes]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


# ---------------------------------------------------------------------------------- on floats


def _erase(floats, row, values):
    top, left, height, width = values[:4].astype(int)
    floats = floats.copy()
    floats[:, top : top + height, left : left + width] = _per_channel(floats, row, p.FIRST)
    return floats


def _normalize(floats, row, values):
    return (floats - _per_channel(floats, row, p.FIRST)) / _per_channel(floats, row, p.SECOND)


def _per_channel(floats, row, start):
    return row[start : start + len(floats), None, None].astype(np.float32)


_STEPS = {
    p.FLIP_HORIZONTAL: _flip_horizontal,
    p.FLIP_VERTICAL: _flip_vertical,
    p.ROTATE_NEAREST: _rotate_nearest,
    p.ROTATE_BILINEAR: _rotate_bilinear,
    p.WINDOW: _window,
    p.JITTER: _jitter,
    p.ERASE: _erase,
    p.NORMALIZE: _normalize,
}
