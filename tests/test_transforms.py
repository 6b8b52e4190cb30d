"""Transforms: their meaning, their distributions, and that batches get the same as pictures."""

import subprocess
import sys

import numpy as np
import pytest

import minidl
import minidl.vision.transforms as T
from minidl.kernels import use_kernels
from minidl.random import Generator, using
from minidl.vision import pillow
from minidl.vision.datasets import MemoryPictures
from minidl.vision.transforms import functional as F
from minidl.vision.transforms.chain import compile_chain

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
ImageOps = pytest.importorskip("PIL.ImageOps", reason="Pillow is not installed")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(height=12, width=10, channels=3):
    return pillow.to_picture(noise(height, width, channels))


class Pictures(MemoryPictures):
    """A data set of noise."""

    def __init__(self, transform, count=20, height=32, width=32, channels=3, **options):
        super().__init__(None, transform, **options)
        self.data = noise(count, height, width, channels)
        self.targets = [i % 3 for i in range(count)]
        self.classes = ["a", "b", "c"]


# --------------------------------------------------------------- batches against single pictures

NORMALIZE = T.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
CHAINS = {
    "nothing random": T.ToTensor(),
    "the article's": T.Compose(
        [T.RandomHorizontalFlip(), T.RandomRotation(10), T.ToTensor()],
    ),
    "vertical flips": T.Compose([T.RandomVerticalFlip(0.3), T.ToTensor()]),
    "colours outside": T.Compose([T.RandomRotation((20, 60), fill=(1, 20, 255)), T.ToTensor()]),
    "padded crops": T.Compose(
        [T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), T.ToTensor(), NORMALIZE]
    ),
    "reflected crops": T.Compose(
        [T.RandomCrop((30, 20), padding=(3, 5), padding_mode="reflect"), T.ToTensor()]
    ),
    "crops larger than pictures": T.Compose(
        [T.RandomCrop((40, 36), pad_if_needed=True, fill=9), T.ToTensor()]
    ),
    "frames": T.Compose([T.Pad((1, 2, 3, 4), fill=(5, 6, 7)), T.ToTensor()]),
    "symmetric frames": T.Compose([T.Pad(5, padding_mode="symmetric"), T.ToTensor()]),
    "small middles": T.Compose([T.CenterCrop((21, 16)), T.ToTensor()]),
    "large middles": T.Compose([T.CenterCrop((35, 30)), T.ToTensor()]),
    "colours": T.Compose([T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.ToTensor()]),
    "brightness alone": T.Compose([T.ColorJitter(brightness=(0.5, 2)), T.ToTensor()]),
    "erasing": T.Compose([T.ToTensor(), T.RandomErasing(0.8, value=(1, 2, 3))]),
    "erasing, then normalised": T.Compose(
        [T.ToTensor(), NORMALIZE, T.RandomErasing(0.8), T.Normalize([0.1], [2.0])]
    ),
    "everything": T.Compose(
        [
            T.Compose([T.RandomCrop(28, padding=2), T.RandomHorizontalFlip()]),
            T.RandomRotation(180, fill=50),
            T.ColorJitter(0.2, 0.2, 0.2),
            T.Pad(2),
            T.ToTensor(),
            T.RandomErasing(),
            NORMALIZE,
        ]
    ),
}


@pytest.mark.parametrize("kernels", ["numba", "numpy"])
@pytest.mark.parametrize("transform", CHAINS.values(), ids=CHAINS)
def test_a_batch_is_what_its_pictures_are_one_by_one(transform, kernels):
    dataset = Pictures(transform)
    indices = np.random.default_rng(1).permutation(len(dataset))
    assert dataset.batched
    with use_kernels(kernels):
        pictures, labels = dataset.fetch_batch(indices, seed=11, first=5)
    assert pictures.dtype == np.float32
    assert labels.dtype == np.int64
    for position, index in enumerate(indices.tolist()):
        with using(Generator(11).spawn(5 + position)):
            single, target = dataset[index]
        assert np.array_equal(single.numpy(), pictures[position])
        assert target == labels[position]


def test_bilinear_rotation_of_a_batch():
    chain = T.Compose([T.RandomRotation(90, T.InterpolationMode.BILINEAR, fill=3), T.ToTensor()])
    dataset = Pictures(chain)
    batch, _ = dataset.fetch_batch(np.arange(20), 3, 0)
    for i in range(20):
        with using(Generator(3).spawn(i)):
            single = dataset[i][0].numpy()
        # Where a value is nearly whole, Pillow's rounding may differ by one of 255.
        assert np.abs(single - batch[i]).max() < 1.001 / 255
        assert (single != batch[i]).mean() < 1e-3


def test_grey_pictures_in_batches():
    chain = T.Compose(
        [
            T.RandomRotation(30, fill=7),
            T.ColorJitter(0.3, 0.3, 0.3, 0.2),
            T.ToTensor(),
            T.Normalize([0.5], [0.5]),
            T.RandomErasing(1, value=2),
        ]
    )
    dataset = Pictures(chain, height=14, width=20, channels=1)
    batch, _ = dataset.fetch_batch(np.arange(20), 3, 0)
    assert batch.shape == (20, 1, 14, 20)
    for i in range(20):
        with using(Generator(3).spawn(i)):
            assert np.array_equal(dataset[i][0].numpy(), batch[i])


def test_batches_do_not_depend_on_where_they_are_cut():
    dataset = Pictures(CHAINS["everything"])
    indices = np.array([3, 3, 0, 19, -1, 7])
    whole, labels = dataset.fetch_batch(indices, seed=2, first=100)
    for cut in range(1, 6):
        first, rest = indices[:cut], indices[cut:]
        parts = dataset.fetch_batch(first, 2, 100), dataset.fetch_batch(rest, 2, 100 + cut)
        assert np.array_equal(whole, np.concatenate([pictures for pictures, _ in parts]))
        assert np.array_equal(labels, np.concatenate([targets for _, targets in parts]))
    other_seed, _ = dataset.fetch_batch(indices, seed=3, first=100)
    assert not np.array_equal(whole, other_seed)
    assert not np.array_equal(whole[0], whole[1])  # one picture, at two positions


class Brighter(T.RandomHorizontalFlip):
    """A flip that does more than it says."""

    def __call__(self, picture):
        return super().__call__(picture.point(lambda value: value + 1))


NOT_BATCHED = {
    "no transform": None,
    "pictures": T.RandomHorizontalFlip(),
    "a function": T.Compose([lambda picture: picture, T.ToTensor()]),
    "Lambda": T.Compose([T.ToTensor(), T.Lambda(lambda tensor: tensor * 2)]),
    "Resize": T.Compose([T.Resize(16), T.ToTensor()]),
    "flips of tensors": T.Compose([T.ToTensor(), T.RandomHorizontalFlip()]),
    "noise for values": T.Compose([T.ToTensor(), T.RandomErasing(value="random")]),
    "bicubic": T.Compose([T.RandomRotation(9, T.InterpolationMode.BICUBIC), T.ToTensor()]),
    "other channels": T.Compose([T.ToTensor(), T.Normalize([0, 0], [1, 1])]),
    "a changed transform": T.Compose([Brighter(), T.ToTensor()]),
}


@pytest.mark.parametrize("transform", NOT_BATCHED.values(), ids=NOT_BATCHED)
def test_what_cannot_be_batched_says_so(transform):
    dataset = Pictures(transform)
    assert not dataset.batched
    with pytest.raises(RuntimeError, match="cannot fetch whole batches"):
        dataset.fetch_batch(np.arange(2), 0, 0)


def test_target_transforms_are_not_batched():
    dataset = Pictures(T.ToTensor(), target_transform=lambda target: target + 10)
    assert not dataset.batched
    assert dataset[1][1] == 11


# ------------------------------------------------------------------------------ distributions


def parameters_of(transform, count=20_000, size=32):
    u = Generator(4).uniform((count, transform.draws))
    return transform.parameters(u, size, size)


def assert_uniform(values, low, high):
    """The quantiles of ``values`` are those of a uniform distribution (n = 20,000: 5 sigma)."""
    wanted = np.linspace(low, high, len(values))
    assert np.abs(np.sort(values) - wanted).max() < 0.025 * (high - low)


def test_flips_happen_as_often_as_they_should():
    for p in (0.0, 0.25, 1.0):
        rate = parameters_of(T.RandomHorizontalFlip(p)).mean()
        assert abs(rate - p) < 0.016


def test_angles_are_uniform():
    cosine, sine = parameters_of(T.RandomRotation((-30, 70))).T
    assert_uniform(-np.degrees(np.arctan2(sine, cosine)), -30, 70)


def test_crops_lie_everywhere_alike():
    corners = parameters_of(T.RandomCrop(32, padding=4))[:, 2:].astype(int)
    counts = np.bincount(corners[:, 0] * 9 + corners[:, 1], minlength=81)
    assert len(counts) == 81
    assert np.abs(counts - 20_000 / 81).max() < 5 * np.sqrt(20_000 / 81)


def test_jitter_comes_in_all_orders_alike():
    values = parameters_of(T.ColorJitter(0.5, (0.2, 0.3), 2, 0.25))
    orders = values[:, :4] @ [64, 16, 4, 1]
    _, counts = np.unique(orders, return_counts=True)
    assert len(counts) == 24
    assert np.abs(counts - 20_000 / 24).max() < 5 * np.sqrt(20_000 / 24)
    for column, bounds in enumerate([(0.5, 1.5), (0.2, 0.3), (0, 3), (-0.25, 0.25)]):
        assert_uniform(values[:, 4 + column], *bounds)


def test_erased_rectangles_have_the_right_shapes():
    top, left, rows, columns = parameters_of(T.RandomErasing(0.6), size=100).T
    happened = rows > 0
    assert abs(happened.mean() - 0.6) < 0.02
    area = rows[happened] * columns[happened] / 100**2
    assert 0.018 < area.min() < 0.022
    assert 0.32 < area.max() < 0.34
    # Large and long rectangles are tried again, so the mean lies below the middle, 0.175.
    assert 0.165 < area.mean() < 0.175
    ratio = np.log(rows[happened] / columns[happened])
    assert abs(ratio.mean()) < 0.02
    assert (top + rows).max() <= 100
    assert (left + columns).max() <= 100
    assert_uniform((top / (100 - rows + 1))[happened], 0, 1)


def test_a_rectangle_that_never_fits_is_not_erased():
    erase = T.RandomErasing(1.0, scale=(1, 1), ratio=(1, 1))
    tensor = minidl.ones(3, 8, 8)
    assert erase(tensor) is tensor


def test_pictures_take_their_numbers_from_the_default_generator():
    transform = CHAINS["everything"]
    minidl.manual_seed(7)
    first = transform(picture(32, 32)).numpy()
    second = transform(picture(32, 32)).numpy()
    minidl.manual_seed(7)
    assert np.array_equal(transform(picture(32, 32)).numpy(), first)
    assert not np.array_equal(first, second)


# ------------------------------------------------------------------------- what each one does


def test_to_tensor():
    pixels = noise(4, 5, 3)
    wanted = np.moveaxis(pixels, -1, 0).astype(np.float32) / np.float32(255)
    for given in (pixels, Image.fromarray(pixels)):
        tensor = T.ToTensor()(given)
        assert tensor.dtype == minidl.float32
        assert np.array_equal(tensor.numpy(), wanted)
    grey = T.ToTensor()(Image.fromarray(pixels[..., 0]))
    assert np.array_equal(grey.numpy(), wanted[:1])
    assert T.ToTensor()(np.float64([[1.5, 300]])).numpy().tolist() == [[[1.5, 300.0]]]
    assert T.ToTensor()(Image.new("1", (2, 1), 1)).numpy().tolist() == [[[1.0, 1.0]]]


def test_normalize_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    values = np.random.default_rng(0).random((3, 6, 5), np.float32)
    mean, std = [0.49, 0.48, 0.44], [0.24, 0.23, 0.26]
    wanted = torch.tensor(values)
    wanted = wanted.sub(torch.tensor(mean)[:, None, None]).div(torch.tensor(std)[:, None, None])
    tensor = minidl.tensor(values)
    assert np.array_equal(T.Normalize(mean, std)(tensor).numpy(), wanted.numpy())
    assert np.array_equal(tensor.numpy(), values)
    assert T.Normalize(mean, std, inplace=True)(tensor) is tensor
    assert np.array_equal(tensor.numpy(), wanted.numpy())


def test_pad_of_pictures():
    before = picture()
    pixels = np.asarray(before)
    framed = T.Pad((1, 2), fill=(4, 5, 6))(before)
    assert np.array_equal(framed, ImageOps.expand(before, (1, 2, 1, 2), (4, 5, 6)))
    for mode in ("edge", "reflect", "symmetric"):
        framed = T.Pad((1, 2, 3, 4), padding_mode=mode)(before)
        assert np.array_equal(framed, np.pad(pixels, ((2, 4), (1, 3), (0, 0)), mode))


def test_tensors_can_be_flipped_padded_and_cropped():
    values = np.arange(24.0).reshape(2, 3, 4)
    tensor = minidl.tensor(values)
    assert np.array_equal(T.RandomHorizontalFlip(1.0)(tensor).numpy(), values[..., ::-1])
    assert np.array_equal(T.RandomVerticalFlip(1.0)(tensor).numpy(), values[:, ::-1])
    assert T.RandomVerticalFlip(0.0)(tensor) is tensor
    assert np.array_equal(T.CenterCrop((1, 2))(tensor).numpy(), values[:, 1:2, 1:3])
    wanted = np.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=7)
    assert np.array_equal(T.Pad(1, fill=7)(tensor).numpy(), wanted)
    wanted = np.pad(values, ((0, 0), (1, 1), (1, 1)), "reflect")
    assert np.array_equal(T.Pad(1, padding_mode="reflect")(tensor).numpy(), wanted)
    assert T.RandomCrop(5, padding=2)(tensor).shape == (2, 5, 5)


def test_center_crop_takes_the_middle_and_fills_with_black():
    pixels = noise(5, 6, 3)
    middle = np.asarray(T.CenterCrop((2, 3))(Image.fromarray(pixels)))
    assert np.array_equal(middle, pixels[2:4, 2:5])  # halves round to even, as in torchvision
    wide = np.asarray(T.CenterCrop((3, 9))(Image.fromarray(pixels)))
    assert np.array_equal(wide, np.pad(pixels[1:4], ((0, 0), (1, 2), (0, 0))))


@pytest.mark.parametrize(
    ("size", "given", "wanted"),
    [
        (8, (12, 20), (8, 13)),
        (8, (20, 12), (13, 8)),
        ((5, 7), (12, 20), (5, 7)),
        ([6], (9, 9), (6, 6)),
    ],
)
def test_resize(size, given, wanted):
    before = picture(*given)
    after = T.Resize(size)(before)
    assert np.array_equal(after, before.resize(wanted[::-1], Image.Resampling.BILINEAR))


def test_erase_with_noise_and_in_place():
    tensor = minidl.zeros(3, 20, 20)
    erased = T.RandomErasing(1.0, value="random")(tensor).numpy()
    noisy = erased[erased != 0]
    assert noisy.size > 20
    assert 0.5 < noisy.std() < 2
    assert not tensor.numpy().any()
    assert T.RandomErasing(1.0, value=4.0, inplace=True)(tensor) is tensor
    assert set(np.unique(tensor.numpy())) == {0.0, 4.0}


def test_hue_is_left_alone_in_grey_pictures():
    grey = picture(channels=1)
    assert F.adjust_hue(grey, 0.3) is grey


def test_compose_and_lambda():
    transform = T.Compose([T.Lambda(lambda x: x + 1), lambda x: x * 2])
    assert transform(3) == 8


REPRS = {
    T.ToTensor(): "ToTensor()",
    T.Normalize((0.5,), (0.2,)): "Normalize(mean=(0.5,), std=(0.2,))",
    T.RandomHorizontalFlip(): "RandomHorizontalFlip(p=0.5)",
    T.RandomVerticalFlip(0.1): "RandomVerticalFlip(p=0.1)",
    T.RandomRotation(
        10
    ): "RandomRotation(degrees=[-10.0, 10.0], interpolation=nearest, expand=False, fill=0)",
    T.RandomCrop(32, padding=4): "RandomCrop(size=(32, 32), padding=4)",
    T.Pad(2): "Pad(padding=2, fill=0, padding_mode=constant)",
    T.CenterCrop(8): "CenterCrop(size=(8, 8))",
    T.Resize(8): "Resize(size=8, interpolation=bilinear, max_size=None, antialias=True)",
    T.ColorJitter(
        0.5, hue=0.1
    ): "ColorJitter(brightness=(0.5, 1.5), contrast=None, saturation=None, hue=(-0.1, 0.1))",
    T.RandomErasing(): (
        "RandomErasing(p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False)"
    ),
    T.Lambda(abs): "Lambda()",
    T.Compose([T.ToTensor(), T.Pad(1)]): (
        "Compose(\n    ToTensor()\n    Pad(padding=1, fill=0, padding_mode=constant)\n)"
    ),
}


@pytest.mark.parametrize(("transform", "text"), REPRS.items(), ids=[str(t)[:12] for t in REPRS])
def test_repr_is_torchvisions(transform, text):
    assert repr(transform) == text


# ---------------------------------------------------------------------------------- bad input

BAD_ARGUMENTS = {
    "p": (lambda: T.RandomHorizontalFlip(1.5), ValueError, "probability"),
    "p as text": (lambda: T.RandomErasing("0.5"), ValueError, "probability"),
    "degrees": (lambda: T.RandomRotation(-1), ValueError, "negative"),
    "three degrees": (lambda: T.RandomRotation((1, 2, 3)), ValueError, "pair"),
    "interpolation": (lambda: T.RandomRotation(1, "cubic"), ValueError, "cubic"),
    "size": (lambda: T.RandomCrop(0), ValueError, "size"),
    "three sizes": (lambda: T.CenterCrop((1, 2, 3)), ValueError, "size"),
    "padding": (lambda: T.Pad((1, 2, 3)), ValueError, "1, 2 or 4"),
    "negative padding": (lambda: T.RandomCrop(4, padding=-1), ValueError, "not negative"),
    "padding_mode": (lambda: T.Pad(1, padding_mode="wrap"), ValueError, "padding_mode"),
    "brightness": (lambda: T.ColorJitter(brightness=-1), ValueError, "brightness"),
    "contrast": (lambda: T.ColorJitter(contrast=(2, 1)), ValueError, "contrast"),
    "three factors": (lambda: T.ColorJitter(saturation=(1, 2, 3)), ValueError, "pair"),
    "hue": (lambda: T.ColorJitter(hue=0.6), ValueError, "hue"),
    "mean and std": (lambda: T.Normalize((1, 2), (1,)), ValueError, "as long"),
    "zero std": (lambda: T.Normalize((1,), (0,)), ValueError, "std"),
    "scale": (lambda: T.RandomErasing(scale=(0.5, 2)), ValueError, "scale"),
    "a number as scale": (lambda: T.RandomErasing(scale=0.5), TypeError, "pair"),
    "ratio": (lambda: T.RandomErasing(ratio=(0, 1)), ValueError, "ratio"),
    "value": (lambda: T.RandomErasing(value="noise"), ValueError, "random"),
    "Lambda": (lambda: T.Lambda(3), TypeError, "function"),
}


@pytest.mark.parametrize(("make", "error", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


TENSOR = minidl.zeros(3, 8, 8)
BAD_PICTURES = {
    "rotating a tensor": (lambda: T.RandomRotation(5)(TENSOR), TypeError, "before ToTensor"),
    "a tensor to a tensor": (lambda: T.ToTensor()(TENSOR), TypeError, "Pillow image"),
    "flipping a list": (lambda: T.RandomHorizontalFlip()([1]), TypeError, "list"),
    "a row as a tensor": (lambda: T.CenterCrop(2)(minidl.zeros(3)), ValueError, "shape"),
    "a row as an array": (lambda: T.ToTensor()(np.zeros(3)), ValueError, "dimensions"),
    "normalising a picture": (lambda: NORMALIZE(picture()), TypeError, "put ToTensor"),
    "normalising integers": (lambda: NORMALIZE(TENSOR.long()), TypeError, "int64"),
    "erasing a matrix": (lambda: T.RandomErasing()(TENSOR[0]), TypeError, r"\[8, 8\]"),
    "erasing by channel": (lambda: T.RandomErasing(1, value=(1, 2))(TENSOR), ValueError, "2 val"),
    "a crop too large": (lambda: T.RandomCrop(9)(TENSOR), ValueError, "does not fit"),
    "two colours": (lambda: T.Pad(1, fill=(1, 2))(picture()), ValueError, "fill"),
    "too light": (lambda: T.RandomRotation(1, fill=256)(picture()), ValueError, "255"),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_bad_pictures(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_crop_too_large_is_an_error_for_batches_too():
    with pytest.raises(ValueError, match="does not fit"):
        compile_chain(T.Compose([T.RandomCrop(40), T.ToTensor()]), 3, 32, 32)


def test_a_bare_transform_says_that_it_does_nothing():
    with pytest.raises(NotImplementedError, match="__call__"):
        T.Transform()(picture())


WITHOUT_PILLOW = """
import sys
sys.modules["PIL"] = None
import numpy as np
import minidl.vision as torchvision
import minidl.vision.transforms as transforms
chain = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
dataset = torchvision.datasets.SyntheticPictures(size=10, transform=chain)
assert dataset.fetch_batch(np.arange(10), 0, 0)[0].shape == (10, 3, 32, 32)
for attempt in (
    lambda: dataset[0],
    lambda: chain("a picture"),
    lambda: torchvision.utils.save_image(None, "a.png"),
):
    try:
        attempt()
    except ImportError as error:
        assert "pip install minidl[vision]" in str(error), error
    else:
        raise AssertionError("no ImportError")
"""


def test_pillow_is_needed_for_single_pictures_only():
    subprocess.run([sys.executable, "-c", WITHOUT_PILLOW], check=True)
