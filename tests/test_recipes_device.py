"""Training runs of the recipes on a device: compiled steps, images that stay there, resuming."""

import numpy as np
import pytest
from tiny_data import tiny_cifar10

import minidl
from minidl import cuda, emulator
from minidl.cli.main import main
from minidl.recipes import RECIPES, Run, Stop, limited, load_data, load_model
from minidl.recipes.data import on_device
from minidl.utils.data import Subset, TensorDataset
from minidl.vision.datasets import SyntheticPictures
from minidl.vision.transforms import Compose, Lambda, ToTensor

CPU, GPU = minidl.device("cpu"), minidl.device("cuda")
IMAGES, BATCH, EPOCHS = 10, 2, 2  # five steps an epoch: two are recorded, the others repeated
needs_compiler = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)


@pytest.fixture(
    params=[
        pytest.param("emulator", marks=needs_compiler),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ]
)
def place(request):
    """A device that trains."""
    if request.param == "cuda" and not cuda.is_available():
        pytest.skip("there is no GPU")
    return minidl.device(request.param)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a tiny CIFAR-10."""
    return tiny_cifar10(tmp_path_factory.mktemp("data"), per_file=6)


@pytest.fixture
def begin(data):
    """What begins a short run of a recipe on a device."""

    def begin(place, recipe="article", **options):
        train, test, _ = load_data(RECIPES[recipe], data)
        train, test = limited(train, IMAGES), limited(test, 4)
        options = {"epochs": EPOCHS, "batch_size": BATCH, "device": place, **options}
        return Run(RECIPES[recipe], train, test, **options)

    return begin


def trained(run):
    run.train(Stop())
    return run


def state_bytes(run):
    return {name: t.cpu().numpy().tobytes() for name, t in run.model.state_dict().items()}


def stop_after(run, steps):
    """A request to stop that comes in step number ``steps``."""
    stop, step = Stop(), run.step

    def counted(*batch):
        nonlocal steps
        steps -= 1
        stop.requested = not steps
        step(*batch)

    run.step = counted
    return stop


# --------------------------------------------------------------------- where images are kept


def images(transform=None, size=6):
    return SyntheticPictures(size=size, transform=transform or ToTensor())


def test_images_are_kept_on_the_device(place):
    whole = images()
    part = Subset(Subset(whole, range(5)), [1, 3])
    kept = on_device(part, place)
    assert minidl.backend.device_of(kept.dataset.dataset.data).type == place.type
    assert type(whole.data) is np.ndarray  # the caller's own stay where they were
    for found, expected in zip(
        kept.fetch_batch(np.arange(2), 0, 0), part.fetch_batch(np.arange(2), 0, 0), strict=True
    ):
        np.testing.assert_array_equal(minidl.backend.to_host(found), expected)


@pytest.mark.parametrize(
    "dataset",
    [
        images(Compose([ToTensor(), Lambda(lambda x: 2 * x)])),  # one by one
        TensorDataset(minidl.zeros(3, 2)),
        Subset(TensorDataset(minidl.zeros(3, 2)), [0]),
        [1, 2, 3],
    ],
)
def test_other_data_sets_stay_as_they_are(dataset):
    assert on_device(dataset, minidl.device("emulator")) is dataset


def test_on_the_cpu_nothing_is_moved(begin):
    dataset = images()
    assert on_device(dataset, CPU) is dataset
    assert begin(CPU).loader.num_workers == 1


@pytest.mark.parametrize(("free", "fits"), [(1.9, False), (2.0, True)])
def test_images_take_at_most_half_of_what_is_free(monkeypatch, free, fits):
    dataset, moved = images(), images()
    size = int(free * dataset.data.nbytes)
    monkeypatch.setattr(cuda, "mem_get_info", lambda place: (size, 1 << 40))
    monkeypatch.setattr(SyntheticPictures, "to", lambda copy, place: moved)
    assert on_device(dataset, GPU) is (moved if fits else dataset)


def test_the_loader_makes_the_same_batches_on_the_device(place, begin):
    """To the bit, in the same order, with the same random numbers."""
    runs = [begin(where, "fast") for where in (CPU, place)]
    epochs = []
    for run in runs:
        minidl.manual_seed(7)
        epochs.append([batch for _ in range(2) for batch in run.loader] + list(run.test_loader))
    assert runs[1].loader.num_workers == 0
    for expected, found in zip(*epochs, strict=True):
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.device.type == place.type
            np.testing.assert_array_equal(ours.cpu().numpy(), theirs.numpy())


# -------------------------------------------------------------------------------- training


@pytest.mark.parametrize("recipe", RECIPES)
def test_compiled_training_has_the_bits_of_the_same_uncompiled(place, begin, recipe):
    compiled = trained(begin(place, recipe))
    plain = begin(place, recipe)
    plain.learn, plain.predict = plain._learn, plain.model
    trained(plain)
    assert compiled.learn.captures >= 1
    assert compiled.history == plain.history
    assert state_bytes(compiled) == state_bytes(plain)
    confusions = [compiled.evaluate() for _ in range(3)]  # the third is a repetition
    assert compiled.predict.captures == 1
    for confusion in confusions:
        np.testing.assert_array_equal(confusion, plain.evaluate())


def test_the_device_trains_as_the_cpu_does(place, begin):
    ours, theirs = (trained(begin(where)) for where in (place, CPU))
    for found, expected in zip(ours.history, theirs.history, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    expected = theirs.model.state_dict()
    for name, tensor in ours.model.state_dict().items():
        np.testing.assert_allclose(
            tensor.cpu().numpy(), expected[name].numpy(), rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_data_that_does_not_fit_is_sent_batch_by_batch(place, begin, monkeypatch):
    expected = trained(begin(place))
    monkeypatch.setattr("minidl.recipes.data._fits", lambda size, place: False)
    sent = begin(place)
    assert sent.loader.num_workers == 1
    assert sent.loader.pin_memory == (place.type == "cuda")
    assert state_bytes(trained(sent)) == state_bytes(expected)
    assert sent.history == expected.history


@pytest.mark.parametrize("steps", [3, 7])
def test_a_run_that_was_stopped_resumes_to_the_same_bits(place, begin, tmp_path, steps, capsys):
    expected = trained(begin(place, "fast"))
    first = begin(place, "fast", checkpoint=tmp_path)
    first.train(stop_after(first, steps))
    first.save()
    assert first.epoch == steps // 5 and first.totals.seen == steps % 5 * BATCH
    minidl.manual_seed(99)
    second = begin(place, "fast", checkpoint=tmp_path)
    second.resume()
    assert "resumed from" in capsys.readouterr().out
    trained(second)
    assert state_bytes(second) == state_bytes(expected)
    assert second.history == expected.history


def test_train_writes_a_model_for_the_cpu(place, data, tmp_path):
    out = tmp_path / "model.safetensors"
    options = ["--data", data, "--device", place, "--limit-train", 4, "--limit-test", 4]
    assert main(["train", "--epochs", "1", "--out", *map(str, [out, *options])]) == 0
    model = load_model(out)
    assert 0 <= model.results["test_accuracy"] <= 1
    assert all(weight.device == CPU for weight in model.network.parameters())
