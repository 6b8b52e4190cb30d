"""Augmentation on a device: the same pictures as everywhere, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import moved, on_device
from test_augment import bytes_as_floats, jitter, noise, steps_and_parameters

from minidl.backend import device_of, to_device, to_host
from minidl.kernels import augment_pictures
from minidl.kernels.augment import cuda
from minidl.kernels.augment import program as p
from minidl.kernels.cuda import sources
from minidl.random import Generator
from minidl.utils.data import ConcatDataset, DataLoader, Subset
from minidl.vision import transforms
from minidl.vision.datasets import SyntheticPictures
from minidl.vision.transforms.functional import rotation


def assert_same(place, pictures, indices, steps, parameters, table=None):
    if table is None:
        table = bytes_as_floats(pictures.shape[3]) / np.float32(255)
    args = pictures, indices, p.assemble(steps), parameters, table
    found, expected = on_device(place, augment_pictures, *args), augment_pictures.reference(*args)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@st.composite
def float_steps(draw, height, width):
    """A step on floats that may follow on pictures of this size, and two rows of parameters."""
    numbers = st.tuples(*[st.floats(-2, 2, width=16)] * 3)
    first, second = draw(numbers), draw(st.tuples(*[st.floats(0.25, 2, width=16)] * 3))
    if draw(st.booleans()):
        return p.Step(p.NORMALIZE, height, width, 0, first, second), np.empty((2, 0))
    rectangle = st.tuples(*[st.integers(0, 6)] * 4)
    rows = np.array([draw(rectangle), draw(rectangle)], float)
    return p.Step(p.ERASE, height, width, 0, first), rows


@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))
def test_chains(place, data, height, width, channels):
    pictures = noise(2, height, width, channels, data.draw(st.integers(0, 99)))
    drawn = []
    for _ in range(data.draw(st.integers(0, 4))):
        drawn.append(data.draw(steps_and_parameters(height, width)))
        height, width = drawn[-1][0].height, drawn[-1][0].width
    drawn.append((p.Step(p.TO_FLOAT, height, width), np.empty((2, 0))))
    for _ in range(data.draw(st.integers(0, 3))):
        drawn.append(data.draw(float_steps(height, width)))
    steps, parameters = zip(*drawn)
    assert_same(place, pictures, np.array([1, 0]), [*steps], np.hstack(parameters))


ANGLES = np.array([0, 90, 180, -90, 45, 1e-7, 10.0, 123.4, -359])


def every_step(size, crop):
    """A chain of all steps, and parameters for as many pictures as there are angles."""
    colours = {"first": (7, 99, 200)}
    rng = np.random.default_rng(3)
    count = len(ANGLES)
    steps = [
        p.Step(p.WINDOW, size, size, p.PADDING_MODES.index("reflect")),
        p.Step(p.FLIP_HORIZONTAL, size, size),
        p.Step(p.ROTATE_NEAREST, size, size, **colours),
        p.Step(p.JITTER, size, size),
        p.Step(p.FLIP_VERTICAL, size, size),
        p.Step(p.ROTATE_BILINEAR, size, size, **colours),
        p.Step(p.WINDOW, crop, crop, p.CONSTANT, **colours),
        p.Step(p.TO_FLOAT, crop, crop),
        p.Step(p.ERASE, crop, crop, first=(0.5, 0.25, 0.125)),
        p.Step(p.NORMALIZE, crop, crop, first=(0.4, 0.5, 0.6), second=(0.2, 0.3, 0.7)),
    ]
    turn = np.stack(rotation(ANGLES), axis=1)
    adjusted = [
        jitter(rng.permutation(4), dict(enumerate(rng.uniform([0, 0, 0, -0.5], [2, 2, 2, 0.5]))))
        for _ in range(count)
    ]
    coins = rng.integers(0, 2, (2, count, 1))
    shifts = rng.integers(-4, 5, (2, count, 2))
    rectangle = rng.integers(0, crop // 2, (count, 4))
    columns = shifts[0], coins[0], turn, adjusted, coins[1], turn[::-1], shifts[1], rectangle
    return steps, np.hstack(columns).astype(float)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_step_at_a_real_size(place, channels):
    steps, parameters = every_step(32, 28)
    indices = np.random.default_rng(1).integers(0, 20, len(ANGLES))
    assert_same(place, noise(20, 32, 32, channels), indices, steps, parameters)


def test_pictures_too_large_for_shared_memory(place, monkeypatch):
    monkeypatch.setattr(cuda, "_MOST_BLOCKS", 4)  # so that a block makes several pictures
    monkeypatch.setattr(cuda, "_SHARED", 100)
    steps, parameters = every_step(12, 10)
    assert_same(place, noise(9, 12, 12, 3), np.arange(9), steps, parameters)


def test_pictures_at_the_limit_of_shared_memory(place):
    for height in (94, 95):  # 47 KB hold 2 x 6016 words
        steps = [p.Step(p.FLIP_VERTICAL, height, 64), p.Step(p.TO_FLOAT, height, 64)]
        assert_same(place, noise(1, height, 64, 3), np.array([0]), steps, np.ones((1, 1)))


@pytest.mark.parametrize("opcode", [p.ROTATE_NEAREST, p.ROTATE_BILINEAR])
@pytest.mark.parametrize(("height", "width"), [(17, 40), (90, 60)])
def test_rotations(place, opcode, height, width):
    """Right angles put the pixels of the smaller picture exactly on its border."""
    angles = np.concatenate([ANGLES, np.random.default_rng(0).uniform(-180, 180, 5)])
    steps = [p.Step(opcode, height, width, first=(1, 2, 3)), p.Step(p.TO_FLOAT, height, width)]
    parameters = np.stack(rotation(angles), axis=1)
    assert_same(place, noise(3, height, width, 3), np.arange(len(angles)) % 3, steps, parameters)


@pytest.mark.parametrize("mode", range(4), ids=p.PADDING_MODES)
@pytest.mark.parametrize(("height", "width"), [(4, 6), (1, 2)])
def test_windows(place, mode, height, width):
    steps = [p.Step(p.WINDOW, 6, 8, mode, (5, 6, 7)), p.Step(p.TO_FLOAT, 6, 8)]
    corners = np.array([(-9, -9), (-3, 2), (0, 0), (1, -8)], float)
    assert_same(place, noise(4, height, width, 3), np.arange(4), steps, corners)


def test_hues(place):
    pictures = noise(5, 40, 40, 3)
    pictures[:, :4] = pictures[:, :4, :, :1]  # grey has no hue
    steps = [p.Step(p.JITTER, 40, 40), p.Step(p.TO_FLOAT, 40, 40)]
    turns = [jitter([p.HUE], {p.HUE: turn}) for turn in (-0.5, -0.01, 0.1, 0.3, 0.5)]
    assert_same(place, pictures, np.arange(5), steps, np.array(turns))


def test_pictures_in_any_memory_order(place):
    planes = np.ascontiguousarray(np.moveaxis(noise(3, 8, 8, 3), -1, 1))
    pictures = np.moveaxis(to_device(planes, place), 1, -1)
    steps = [p.Step(p.TO_FLOAT, 8, 8)]
    args = np.array([2, 0]), p.assemble(steps), np.empty((2, 0)), bytes_as_floats(3)
    found = augment_pictures(pictures, *args)  # all but the pictures on the host
    np.testing.assert_array_equal(to_host(found), planes[[2, 0]])


def test_an_empty_batch_is_an_empty_array(place):
    steps = [p.Step(p.TO_FLOAT, 8, 8)]
    assert_same(place, noise(3, 8, 8, 3), np.empty(0, np.int64), steps, np.empty((0, 0)))


def test_pictures_that_do_not_exist(place):
    pictures, indices = noise(3, 8, 8, 3), np.array([0, 3, -1, 2])
    args = p.assemble([p.Step(p.TO_FLOAT, 8, 8)]), np.empty((4, 0)), bytes_as_floats(3)
    with pytest.raises(IndexError, match="-1 to 3 for 3"):
        augment_pictures(to_device(pictures, place), indices, *args)
    found = on_device(place, augment_pictures, pictures, indices, *args)
    assert np.isnan(found[1:3]).all()
    np.testing.assert_array_equal(found[::3], np.moveaxis(pictures[::2], -1, 1))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_set_on_the_device_gives_the_same_batches(place, num_workers):
    transform = transforms.Compose(
        [
            transforms.RandomCrop(16, padding=2),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.5, 0.5, 0.5, 0.2),
            transforms.ToTensor(),
            transforms.RandomErasing(),
        ]
    )

    def batches(device):
        pictures = SyntheticPictures(size=30, image_size=(3, 16, 16), transform=transform)
        both = ConcatDataset([pictures.to(device), Subset(pictures, range(5))])
        generator = Generator(5)
        loader = DataLoader(both, 8, True, num_workers=num_workers, generator=generator)
        return [[part.array for part in batch] for batch in loader]

    for ours, theirs in zip(batches(place), batches("cpu"), strict=True):
        for found, expected in zip(ours, theirs, strict=True):
            assert device_of(found).type == place.type
            np.testing.assert_array_equal(to_host(found), expected)


def test_single_pictures_of_a_data_set_on_the_device(place):
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pictures = SyntheticPictures(size=2)
    expected = np.asarray(pictures[1][0])
    assert np.array_equal(np.asarray(pictures.to(place)[1][0]), expected)


def test_the_reference_runs_on_arrays_of_the_device(place):
    steps, parameters = every_step(12, 10)
    args = noise(9, 12, 12, 3), np.arange(9), p.assemble(steps), parameters, bytes_as_floats(3)
    found = augment_pictures.reference(*moved(args, lambda array: to_device(array, place)))
    np.testing.assert_array_equal(to_host(found), augment_pictures.reference(*args))


def test_no_product_is_fused_with_a_sum():
    """What the emulator cannot see: nvcc would round once where the reference rounds twice."""
    cupy = pytest.importorskip("cupy", reason="needs CuPy and NVRTC: .[test-cuda]")
    runtime = pytest.importorskip("nvidia.cuda_runtime", reason="needs CUDA's headers")
    nvrtc = cupy.cuda.nvrtc
    program = nvrtc.createProgram(sources["augment/augment.cu"].text, "augment.cu", (), ())
    headers = f"-I{next(iter(runtime.__path__))}/include"
    nvrtc.compileProgram(program, ("--std=c++17", "-arch=compute_80", headers))
    ptx = str(nvrtc.getPTX(program))
    assert "mul.rn.f64" in ptx
    assert "fma." not in ptx
