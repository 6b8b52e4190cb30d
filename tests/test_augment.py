"""The augmentation kernels: against Pillow, against each other, and however batches are cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels import augment_pictures, single_threaded, stream_bits
from minidl.kernels.augment import cpu, reference
from minidl.kernels.augment import program as p
from minidl.kernels.augment.gather import LANES
from minidl.kernels.augment.moves import only_moves
from minidl.random import Generator
from minidl.vision.transforms.functional import rotation

HOST = ("numpy", "numba")  # tests/cuda has the others
VARIANTS = pytest.mark.parametrize(
    "augment", [augment_pictures.variants[name] for name in HOST], ids=HOST
)


def noise(count, height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(
        0, 256, (count, height, width, channels), dtype=np.uint8
    )


def bytes_as_floats(channels):
    """The table that leaves bytes as they are."""
    return np.tile(np.arange(256, dtype=np.float32), (channels, 1))


def run(augment, pictures, steps, parameters):
    """All ``pictures`` through the same steps, as uint8 (N, H, W, C)."""
    count, _, _, channels = pictures.shape
    last = steps[-1]
    program = p.assemble([*steps, p.Step(p.TO_FLOAT, last.height, last.width)])
    parameters = np.asarray(parameters, np.float64).reshape(count, -1)
    out = augment(pictures, np.arange(count), program, parameters, bytes_as_floats(channels))
    return np.moveaxis(out, 1, -1).astype(np.uint8)


# ------------------------------------------------------------------------------ against Pillow


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def as_image(image, pixels):
    return image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


@VARIANTS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 40)])
def test_nearest_rotation_is_pillows(augment, image, height, width, channels):
    angles = np.array([0, 90, 180, 270, -90, 45, 1e-7, 10, -10, 123.4, -359, 33.3])
    pictures = noise(len(angles), height, width, channels)
    fill = (7, 99, 200)
    steps = [p.Step(p.ROTATE_NEAREST, height, width, first=fill)]
    rotated = run(augment, pictures, steps, np.stack(rotation(angles), axis=1))
    for pixels, angle, got in zip(pictures, angles.tolist(), rotated):
        colour = fill if channels == 3 else fill[0]
        wanted = as_image(image, pixels).rotate(angle, fillcolor=colour)
        assert np.array_equal(np.asarray(wanted).reshape(got.shape), got), angle


@VARIANTS
def test_bilinear_rotation_is_pillows(augment, image):
    angles = np.linspace(-180, 180, 24)
    pictures = noise(len(angles), 20, 33, 3)
    steps = [p.Step(p.ROTATE_BILINEAR, 20, 33, first=(1, 2, 3))]
    rotated = run(augment, pictures, steps, np.stack(rotation(angles), axis=1))
    wanted = np.stack(
        [
            image.fromarray(pixels).rotate(angle, image.Resampling.BILINEAR, fillcolor=(1, 2, 3))
            for pixels, angle in zip(pictures, angles.tolist())
        ]
    )
    # A value that is a whole number but for rounding may be cut to the one below.
    difference = np.abs(rotated.astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


ADJUST = {p.BRIGHTNESS: "Brightness", p.CONTRAST: "Contrast", p.SATURATION: "Color"}


def jitter(kinds, factors):
    kinds = list(kinds) + [p.NO_ADJUSTMENT] * (4 - len(kinds))
    return [*kinds, *(factors.get(kind, 1.0) for kind in range(4))]


@VARIANTS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ADJUST, ids=ADJUST.values())
def test_adjustments_are_pillows(augment, image, kind, channels):
    enhance = getattr(pytest.importorskip("PIL.ImageEnhance"), ADJUST[kind])
    factors = [0.0, 0.3, 0.77, 1.0, 1.21, 1.9, 3.5]
    pictures = noise(len(factors), 15, 16, channels)
    parameters = [jitter([kind], {kind: factor}) for factor in factors]
    adjusted = run(augment, pictures, [p.Step(p.JITTER, 15, 16)], parameters)
    for pixels, factor, got in zip(pictures, factors, adjusted):
        wanted = enhance(as_image(image, pixels)).enhance(factor)
        assert np.array_equal(np.asarray(wanted).reshape(got.shape), got), factor


@VARIANTS
def test_hue_is_pillows(augment, image):
    factors = [-0.5, -0.31, -0.01, 0.0, 0.1, 0.26, 0.5]
    pictures = noise(len(factors), 32, 32, 3)
    pictures[:, :4] = pictures[:, :4, :, :1]  # grey has no hue
    parameters = [jitter([p.HUE], {p.HUE: factor}) for factor in factors]
    turned = run(augment, pictures, [p.Step(p.JITTER, 32, 32)], parameters)
    for pixels, factor, got in zip(pictures, factors, turned):
        hue, saturation, value = image.fromarray(pixels).convert("HSV").split()
        shift = int(factor * 255) % 256
        hue = hue.point([(i + shift) % 256 for i in range(256)])
        wanted = image.merge("HSV", (hue, saturation, value)).convert("RGB")
        assert np.array_equal(np.asarray(wanted), got), factor


# ----------------------------------------------------------------------- against plain indexing


@VARIANTS
def test_flips(augment):
    pictures = noise(4, 5, 7, 3)
    steps = [p.Step(p.FLIP_HORIZONTAL, 5, 7), p.Step(p.FLIP_VERTICAL, 5, 7)]
    flipped = run(augment, pictures, steps, [[0, 0], [1, 0], [0, 1], [1, 1]])
    wanted = pictures[0], pictures[1, :, ::-1], pictures[2, ::-1], pictures[3, ::-1, ::-1]
    assert np.array_equal(flipped, np.stack(wanted))


@VARIANTS
@pytest.mark.parametrize("mode", p.PADDING_MODES)
@pytest.mark.parametrize(("height", "width"), [(4, 6), (1, 2)])
def test_windows_are_numpys_pad_and_a_cut(augment, mode, height, width):
    pictures = noise(1, height, width, 3)
    frame = 9  # wider than the picture, so that reflections repeat
    values = {"constant_values": 5} if mode == "constant" else {}
    padded = np.pad(pictures[0], ((frame, frame), (frame, frame), (0, 0)), mode, **values)
    for top, left in [(-9, -9), (-3, 2), (0, 0), (1, -8)]:
        step = p.Step(p.WINDOW, 6, 8, option=p.PADDING_MODES.index(mode), first=(5, 5, 5))
        got = run(augment, pictures, [step], [[top, left]])[0]
        assert np.array_equal(got, padded[top + frame :, left + frame :][:6, :8])


@VARIANTS
def test_steps_on_floats(augment):
    pictures = noise(2, 6, 6, 3)
    value, mean, std = (1.0, -2.0, 0.25), (10.0, 20.0, 30.0), (2.0, 3.0, 4.0)
    program = p.assemble(
        [
            p.Step(p.TO_FLOAT, 6, 6),
            p.Step(p.ERASE, 6, 6, first=value),
            p.Step(p.NORMALIZE, 6, 6, first=mean, second=std),
        ]
    )
    parameters = np.array([[1.0, 2, 3, 4], [0, 0, 0, 0]])
    table = bytes_as_floats(3) / np.float32(255)
    wanted = np.moveaxis(pictures, -1, 1) / np.float32(255)
    wanted[0, :, 1:4, 2:6] = np.reshape(value, (3, 1, 1))
    wanted = (wanted - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    got = augment(pictures, np.arange(2), program, parameters, table)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


# ------------------------------------------------------------------------ against each other


@st.composite
def steps_and_parameters(draw, height, width):
    """A step that may follow on pictures of this size, and two rows of parameters."""
    opcode = draw(st.sampled_from([*range(p.TO_FLOAT)]))
    fill = draw(st.tuples(*[st.integers(0, 255)] * 3))
    if opcode in (p.FLIP_HORIZONTAL, p.FLIP_VERTICAL):
        rows = st.tuples(st.integers(0, 1))
    elif opcode in (p.ROTATE_NEAREST, p.ROTATE_BILINEAR):
        rows = st.floats(-360, 360).map(lambda angle: tuple(map(float, rotation(angle))))
    elif opcode == p.WINDOW:
        height, width = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        rows = st.tuples(st.integers(-9, 9), st.integers(-9, 9))
    else:
        order = st.permutations(range(-1, 4)).map(lambda order: order[:4])
        factors = st.tuples(*[st.floats(0, 3, width=32)] * 3, st.floats(-0.5, 0.5))
        rows = st.tuples(order, factors).map(lambda row: (*row[0], *row[1]))
    option = draw(st.integers(0, 3))
    return p.Step(opcode, height, width, option, fill), np.array([draw(rows), draw(rows)], float)


@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))
def test_numba_agrees_with_the_reference(data, height, width, channels):
    pictures = noise(2, height, width, channels, data.draw(st.integers(0, 99)))
    steps, parameters = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        step, rows = data.draw(steps_and_parameters(height, width))
        steps.append(step)
        parameters.append(rows)
        height, width = step.height, step.width
    expected, got = (
        run(module.augment_pictures, pictures, steps, np.hstack(parameters))
        for module in (reference, cpu)
    )
    assert np.array_equal(expected, got)


# --------------------------------------------------------------------- chains that only move pixels


@st.composite
def moves(draw):
    """(pictures, indices, program, parameters, table) of flips and what may stand among them."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(LANES, 40))
    channels = draw(st.sampled_from([1, 3]))
    pictures = noise(3, height, width, channels, draw(st.integers(0, 99)))
    flip = st.tuples(st.sampled_from([p.FLIP_HORIZONTAL, p.FLIP_VERTICAL]), st.integers(0, 1))
    exposing = draw(st.sampled_from([None, p.ROTATE_NEAREST, p.WINDOW]))
    fill = draw(st.tuples(*[st.integers(0, 255)] * 3))
    steps, rows = [], []
    for flips in draw(st.tuples(*[st.lists(flip, max_size=2)] * 2)):
        for opcode, turned in flips:
            steps.append(p.Step(opcode, height, width))
            rows.append(turned)
        if exposing == p.ROTATE_NEAREST:
            steps.append(p.Step(exposing, height, width, first=fill))
            rows += rotation(draw(st.floats(-360, 360)))
        elif exposing == p.WINDOW:
            height, width = draw(st.integers(1, 40)), draw(st.integers(LANES, 40))
            steps.append(p.Step(exposing, height, width, p.CONSTANT, fill))
            rows += draw(st.tuples(*[st.integers(-50, 50)] * 2))
        exposing = None
    program = p.assemble([*steps, p.Step(p.TO_FLOAT, height, width)])
    indices = np.array(draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)))
    parameters = np.tile(np.array(rows, np.float64), (len(indices), 1))
    table = bytes_as_floats(channels) / np.float32(draw(st.sampled_from([255, 254])))
    return pictures, indices, program, parameters, table


@given(moves())
def test_moved_pixels_are_those_of_the_reference(arguments):
    assert only_moves(arguments[0], arguments[2])
    expected, got = (module.augment_pictures(*arguments) for module in (reference, cpu))
    assert np.array_equal(expected, got)


@pytest.mark.parametrize("flip", [p.FLIP_HORIZONTAL, p.FLIP_VERTICAL])
@pytest.mark.parametrize("angle", [90, -90])
def test_pixels_seen_on_the_edge_between_two(flip, angle):
    pictures = noise(1, 17, 20, 3)  # an odd difference: the turned pixels' centres lie on edges
    steps = [p.Step(flip, 17, 20), p.Step(p.ROTATE_NEAREST, 17, 20), p.Step(p.TO_FLOAT, 17, 20)]
    program, parameters = p.assemble(steps), np.array([[1, *rotation(angle)]])
    arguments = pictures, np.array([0]), program, parameters, bytes_as_floats(3)
    assert np.array_equal(reference.augment_pictures(*arguments), cpu.augment_pictures(*arguments))


@pytest.mark.parametrize(("height", "width"), [(4096, 16), (16, 4096), (1, 4096)])
def test_the_largest_pictures_that_are_moved(height, width):
    pictures = noise(2, height, width, 3)
    steps = [p.Step(p.ROTATE_NEAREST, height, width), p.Step(p.TO_FLOAT, height, width)]
    program, parameters = p.assemble(steps), np.array([rotation(135), rotation(-3)])
    assert only_moves(pictures, program)
    arguments = pictures, np.array([1, 0]), program, parameters, bytes_as_floats(3)
    assert np.array_equal(reference.augment_pictures(*arguments), cpu.augment_pictures(*arguments))


TURN, CROP = p.Step(p.ROTATE_NEAREST, 32, 32), p.Step(p.WINDOW, 32, 32)
FLOAT_32 = p.Step(p.TO_FLOAT, 32, 32)


@pytest.mark.parametrize(
    ("width", "steps"),
    [
        (32, [TURN, CROP, FLOAT_32]),
        (32, [p.Step(p.WINDOW, 32, 32, p.REFLECT), FLOAT_32]),
        (32, [p.Step(p.ROTATE_BILINEAR, 32, 32), FLOAT_32]),
        (32, [p.Step(p.JITTER, 32, 32), FLOAT_32]),
        (32, [FLOAT_32, p.Step(p.NORMALIZE, 32, 32)]),
        (LANES - 1, [p.Step(p.TO_FLOAT, 32, LANES - 1)]),
        (4097, [p.Step(p.TO_FLOAT, 32, 4097)]),
    ],
)
def test_other_chains_run_step_by_step(width, steps):
    pictures, program = noise(1, 32, width, 3), p.assemble(steps)
    assert not only_moves(pictures, program)
    parameters = np.zeros((1, sum(p.PARAMETERS[step.opcode] for step in steps)))
    arguments = pictures, np.array([0]), program, parameters, bytes_as_floats(3)
    assert np.array_equal(reference.augment_pictures(*arguments), cpu.augment_pictures(*arguments))


@pytest.mark.parametrize("change", [0.0, 1e-7])
def test_every_byte_becomes_its_float(change):
    table = bytes_as_floats(3) / np.float32(255)
    table[1, 255] += change  # one float that no division makes: then all are looked up
    pictures = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    program = p.assemble([p.Step(p.TO_FLOAT, 16, 16)])
    got = cpu.augment_pictures(pictures, np.array([0]), program, np.empty((1, 0)), table)
    assert np.array_equal(got.reshape(3, 256), table)


@pytest.mark.parametrize("kernel", stream_bits.variants.values(), ids=stream_bits.variants)
def test_streams_are_those_of_generators(kernel):
    words = np.empty((3, 8), np.uint32)
    kernel(words, 2**63 + 5, 70)
    for i in range(3):
        assert np.array_equal(words[i], Generator(2**63 + 5).spawn(70 + i).bits(8))


def rotated_batch(pictures, indices):
    cosine, sine = rotation(np.linspace(-20, 20, len(pictures)))
    program = p.assemble([p.Step(p.ROTATE_NEAREST, 32, 32), p.Step(p.TO_FLOAT, 32, 32)])
    parameters = np.stack([cosine, sine], axis=1)[indices]
    return augment_pictures(pictures, indices, program, parameters, bytes_as_floats(3))


def test_threads_and_cuts_change_nothing():
    pictures, indices = noise(50, 32, 32, 3), np.random.default_rng(1).permutation(50)
    whole = rotated_batch(pictures, indices)
    with single_threaded():
        assert np.array_equal(whole, rotated_batch(pictures, indices))
    parts = [rotated_batch(pictures, indices[i : i + 7]) for i in range(0, 50, 7)]
    assert np.array_equal(whole, np.concatenate(parts))


@VARIANTS
def test_pictures_in_any_memory_order_are_only_read(augment):
    pictures = noise(3, 8, 8, 3)
    planes = np.ascontiguousarray(np.moveaxis(pictures, -1, 1))
    planes.flags.writeable = pictures.flags.writeable = False
    program = p.assemble([p.Step(p.TO_FLOAT, 8, 8)])
    for given_pictures in (pictures, np.moveaxis(planes, 1, -1)):
        out = augment(
            given_pictures, np.array([2, 0]), program, np.empty((2, 0)), bytes_as_floats(3)
        )
        assert np.array_equal(out, np.moveaxis(pictures[[2, 0]], -1, 1))


@VARIANTS
def test_an_empty_batch_is_an_empty_array(augment):
    program = p.assemble([p.Step(p.TO_FLOAT, 8, 8)])
    none = np.empty(0, np.int64)
    out = augment(noise(3, 8, 8, 3), none, program, np.empty((0, 0)), bytes_as_floats(3))
    assert out.shape == (0, 3, 8, 8)


# ---------------------------------------------------------------------------------- bad input

FLOAT = p.Step(p.TO_FLOAT, 8, 8)
FLIP = p.Step(p.FLIP_HORIZONTAL, 8, 8)
GOOD = {
    "pictures": noise(3, 8, 8, 3),
    "indices": np.arange(2),
    "program": p.assemble([FLOAT]),
    "parameters": np.empty((2, 0)),
    "table": bytes_as_floats(3),
}
BAD = {
    "floats": ({"pictures": np.zeros((3, 8, 8, 3))}, TypeError, "uint8"),
    "no array": ({"pictures": [1]}, TypeError, "list"),
    "two channels": ({"pictures": noise(3, 8, 8, 2)}, ValueError, "1 or 3 channels"),
    "a float index": ({"indices": np.zeros(2)}, TypeError, "integers"),
    "an index too large": ({"indices": np.array([0, 3])}, IndexError, "0 to 3 for 3"),
    "a negative index": ({"indices": np.array([-1, 0])}, IndexError, "-1 to 0"),
    "no turn to floats": ({"program": p.assemble([FLIP])}, ValueError, "TO_FLOAT"),
    "a flip of floats": ({"program": p.assemble([FLOAT, FLIP])}, ValueError, "TO_FLOAT"),
    "two turns": ({"program": p.assemble([FLOAT, FLOAT])}, ValueError, "TO_FLOAT"),
    "missing parameters": ({"program": p.assemble([FLIP, FLOAT])}, ValueError, r"\(2, 1\)"),
    "a table of one channel": ({"table": bytes_as_floats(1)}, ValueError, "table"),
}


@VARIANTS
@pytest.mark.parametrize(("changes", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused(augment, changes, error, message):
    with pytest.raises(error, match=message):
        augment(*{**GOOD, **changes}.values())
