"""Data sets of pictures: official files whole and broken, downloads, folders, made-up ones."""

import contextlib
import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading

import numpy as np
import pytest

import minidl
import minidl.vision as torchvision
from minidl.vision import pillow
from minidl.vision.datasets import (
    CIFAR10,
    CIFAR100,
    DownloadError,
    FakeData,
    ImageFolder,
    SyntheticPictures,
    download,
)
from minidl.vision.datasets.unpickle import load_plain
from minidl.vision.transforms import Compose, RandomHorizontalFlip, ToTensor
from minidl.vision.utils import make_grid, save_image

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

NAMES10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NAMES100 = [f"class{i}" for i in range(100)]


def rows(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def write_pickle(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol))


def write_python10(root, per_file=3):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        labels = [(i + k) % 10 for k in range(per_file)]
        write_pickle(
            folder / name, {"data": rows(per_file, i), "labels": labels, "batch_label": ""}
        )
    write_pickle(folder / "batches.meta", {"label_names": NAMES10})
    return folder


def write_binary10(root, per_file=3):
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        labels = np.array([[(i + k) % 10] for k in range(per_file)], np.uint8)
        (folder / f"{name}.bin").write_bytes(np.hstack([labels, rows(per_file, i)]).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES10) + "\n\n")
    return folder


def write_python100(root):
    folder = root / "cifar-100-python"
    folder.mkdir()
    for i, name in enumerate(["train", "test"]):
        labels = {"fine_labels": [99, 7 + i], "coarse_labels": [1, 2]}
        write_pickle(folder / name, {"data": rows(2, i), **labels})
    write_pickle(folder / "meta", {"fine_label_names": NAMES100, "coarse_label_names": []})


def write_binary100(root):
    folder = root / "cifar-100-binary"
    folder.mkdir()
    for i, name in enumerate(["train.bin", "test.bin"]):
        labels = np.array([[1, 99], [2, 7 + i]], np.uint8)
        (folder / name).write_bytes(np.hstack([labels, rows(2, i)]).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(NAMES100))


# ------------------------------------------------------------------------------ whole files


@pytest.mark.parametrize("write", [write_python10, write_binary10])
@pytest.mark.parametrize("inside", [False, True])
def test_cifar10_in_both_layouts(tmp_path, write, inside):
    folder = write(tmp_path)
    train = CIFAR10(root=folder if inside else tmp_path, train=True)
    test = CIFAR10(root=str(folder if inside else tmp_path), train=False)
    assert (len(train), len(test)) == (15, 3)
    assert train.data.shape == (15, 32, 32, 3)
    assert train.data.dtype == np.uint8
    assert train.data.flags.c_contiguous
    planes = np.concatenate([rows(3, i) for i in range(5)]).reshape(15, 3, 32, 32)
    assert np.array_equal(train.data, planes.transpose(0, 2, 3, 1))
    assert test.targets == [5, 6, 7]
    assert train.classes == NAMES10
    assert train.class_to_idx["truck"] == 9
    picture, label = train[-1]
    assert np.array_equal(picture, train.data[14])
    assert label == 6


@pytest.mark.parametrize("write", [write_python100, write_binary100])
def test_cifar100_in_both_layouts(tmp_path, write):
    write(tmp_path)
    test = CIFAR100(tmp_path, train=False)
    assert test.targets == [99, 8]
    assert np.array_equal(test.data, rows(2, 1).reshape(2, 3, 32, 32).transpose(0, 2, 3, 1))
    assert test.classes == NAMES100


def test_an_unofficial_folder_name_will_do(tmp_path):
    write_python10(tmp_path).rename(tmp_path / "pictures")
    assert len(CIFAR10(tmp_path / "pictures", train=False)) == 3


def test_items_and_repr(tmp_path):
    write_python10(tmp_path)
    transform = Compose([RandomHorizontalFlip(), ToTensor()])
    dataset = CIFAR10(tmp_path, transform=transform, target_transform=lambda label: -label)
    tensor, label = dataset[3]
    assert tensor.shape == (3, 32, 32)
    assert label == -1
    for index in (15, -16):
        with pytest.raises(IndexError, match="no picture"):
            dataset[index]
    lines = repr(CIFAR10(tmp_path, transform=transform)).splitlines()
    assert lines == [
        "Dataset CIFAR10",
        "    Number of datapoints: 15",
        f"    Root location: {tmp_path}",
        "    Split: Train",
        "    StandardTransform",
        "Transform: Compose(",
        "               RandomHorizontalFlip(p=0.5)",
        "               ToTensor()",
        "           )",
    ]
    assert "Target transform: <function" in repr(dataset)


# ----------------------------------------------------------------------------- broken files


def change(name, content):
    return lambda folder: write_pickle(folder / name, content)


def cut(name, length):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


GOOD = {"data": rows(3, 0), "labels": [0, 1, 2]}
BROKEN_PYTHON = {
    "cut": (cut("data_batch_3", 5000), "data_batch_3 cannot be read"),
    "empty": (cut("data_batch_3", 0), "data_batch_3 cannot be read"),
    "no pickle": (
        lambda folder: (folder / "test_batch").write_text("<html>"),
        "test_batch cannot be read",
    ),
    "missing": (lambda folder: (folder / "data_batch_2").unlink(), "data_batch_2 is missing"),
    "a list": (change("data_batch_1", [1]), "data_batch_1 holds a list"),
    "no labels": (change("data_batch_1", {"data": rows(3, 0)}), "has no 'labels'"),
    "data of floats": (change("data_batch_1", {**GOOD, "data": np.zeros((3, 3072))}), "uint8"),
    "data as a list": (change("data_batch_1", {**GOOD, "data": [1]}), "uint8"),
    "short pictures": (change("data_batch_1", {**GOOD, "data": rows(3, 0)[:, 1:]}), "3071"),
    "a label too many": (change("data_batch_1", {**GOOD, "labels": [1] * 4}), "4 labels"),
    "label 10": (change("data_batch_1", {**GOOD, "labels": [0, 10, 1]}), "to 10, but there are 10"),
    "label -1": (change("data_batch_1", {**GOOD, "labels": [0, -1, 1]}), "labels from -1"),
    "a huge label": (change("data_batch_1", {**GOOD, "labels": [0, 2**70, 1]}), "integers"),
    "float labels": (change("data_batch_1", {**GOOD, "labels": [0.5, 1, 2]}), "integers"),
    "names": (change("batches.meta", {"label_names": [1]}), "batches.meta: 'label_names'"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN_PYTHON.values(), ids=BROKEN_PYTHON)
def test_broken_python_files_are_named(tmp_path, damage, message):
    damage(write_python10(tmp_path))
    with pytest.raises(ValueError, match=message):
        [CIFAR10(tmp_path, train) for train in (True, False)]


BROKEN_BINARY = {
    "cut": (cut("data_batch_3.bin", 3073 + 5), "data_batch_3.bin: 3078 bytes"),
    "empty": (cut("data_batch_3.bin", 0), "data_batch_3.bin: 0 bytes"),
    "missing": (lambda folder: (folder / "data_batch_5.bin").unlink(), "data_batch_5.bin is mis"),
    "label 255": (
        lambda folder: (folder / "data_batch_4.bin").write_bytes(b"\xff" * 3073),
        "data_batch_4.bin: labels from 255",
    ),
    "no names": (cut("batches.meta.txt", 0), "batches.meta.txt names no classes"),
    "odd names": (
        lambda folder: (folder / "batches.meta.txt").write_bytes(b"\xff\xfe"),
        "batches.meta.txt is not",
    ),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN_BINARY.values(), ids=BROKEN_BINARY)
def test_broken_binary_files_are_named(tmp_path, damage, message):
    damage(write_binary10(tmp_path))
    with pytest.raises(ValueError, match=message):
        CIFAR10(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(RuntimeError, match=r"cifar-10-batches-py or .* download=True"):
        CIFAR10(tmp_path)


# ------------------------------------------------------------------------------------ pickles

harm = []


class Harmful:
    """Calls a function of this file when it is unpickled."""

    def __reduce__(self):
        return harm.append, ("done",)


class HarmfulState:
    """Names only what is admitted, but gives an array the state of something else."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        function, arguments, _ = np.zeros(1).__reduce__()
        return function, arguments, self.state


HARMFUL = {
    "a call": Harmful(),
    "a call in a dictionary": {"data": [Harmful()]},
    "a system call": (os.system, "true"),
    "eval": eval,
    "an object array": np.array([{}, "text"], object),
    "an array of objects' addresses": HarmfulState(1, (1,), np.dtype("O"), False, b"12345678"),
    "a structured array": np.zeros(2, "i4,f4"),
    "a state of too few bytes": HarmfulState(1, (10**6,), np.dtype("u1"), False, b"12"),
    "a state that is a list": HarmfulState(1, (1,), np.dtype("u1"), False, [1]),
    "a state that is no state": HarmfulState(1, 2),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("content", HARMFUL.values(), ids=HARMFUL)
def test_harmful_pickles_are_refused_and_nothing_runs(tmp_path, content, protocol):
    write_pickle(tmp_path / "bad", content, protocol)
    with pytest.raises(ValueError, match="bad cannot be read"):
        load_plain(tmp_path / "bad")
    assert not harm


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_all_protocols(tmp_path, protocol):
    big_endian = np.arange(6, dtype=">i4").reshape(2, 3, order="F")
    content = {
        "a": np.arange(5, dtype=np.uint8),
        b"b": [1, 2.5, None, (True, "x")],
        "c": big_endian,
    }
    write_pickle(tmp_path / "good", content, protocol)
    loaded = load_plain(tmp_path / "good")
    assert np.array_equal(loaded["a"], content["a"])
    assert np.array_equal(loaded["c"], content["c"])
    assert loaded[b"b"] == content[b"b"]


def test_pickles_of_python_2_and_of_old_and_new_numpy(tmp_path):
    # What Python 2 wrote: text as bytes, and an array's bytes as such text.
    for module in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        content = (
            b"\x80\x02}U\x04datac" + module + b"\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
            b"\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff"
            b"\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x07\xf0tbs."
        )
        (tmp_path / "old").write_bytes(content)
        assert load_plain(tmp_path / "old")["data"].tolist() == [7, 240]


# ---------------------------------------------------------------------------------- downloads


def archive(folder, names=None):
    """A gzipped tar of the folder's files, as bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in names or sorted(os.listdir(folder)):
            tar.add(folder / name, f"{folder.name}/{name}")
        evil = tarfile.TarInfo("../evil")
        evil.size = 4
        tar.addfile(evil, io.BytesIO(b"evil"))
    return content.getvalue()


@contextlib.contextmanager
def served(content, length=None):
    """A URL at which a server on this machine has ``content``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(length or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/cifar.tar.gz"
        finally:
            server.shutdown()
            thread.join()


def offered(url, content):
    """CIFAR10, downloaded from ``url``."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return type("CIFAR10", (CIFAR10,), {"url": url, "md5": md5})


@pytest.fixture
def official(tmp_path):
    return write_python10(tmp_path / "official")


def test_download(tmp_path, official, capfd):
    content = archive(official)
    with served(content) as url:
        dataset = offered(url, content)(tmp_path / "new" / "data", download=True)
    assert len(dataset) == 15
    assert "cifar.tar.gz" in capfd.readouterr().err  # the progress bar
    assert os.listdir(tmp_path / "new") == ["data"]
    assert os.listdir(tmp_path / "new" / "data") == ["cifar-10-batches-py"]
    # The server is gone: what is there is not downloaded again.
    assert len(offered(url, content)(tmp_path / "new" / "data", train=False, download=True)) == 3


def assert_download_fails(cifar, root, message):
    with pytest.raises(DownloadError, match=message):
        cifar(root, download=True)
    assert os.listdir(root) == []


def test_a_download_that_is_not_what_it_should_be(tmp_path, official):
    content, root = archive(official), tmp_path / "data"
    with served(content) as url:
        assert_download_fails(offered(url, b"other"), root, "MD5")
    with served(content[:1000], length=len(content)) as url:
        assert_download_fails(offered(url, content), root, "MD5|cannot download")
    lacking = archive(official, ["data_batch_1"])
    with served(lacking) as url:
        assert_download_fails(offered(url, lacking), root, "lacks a file.*data_batch_2")
    for content in (b"no archive", archive(official)[:-2000]):
        with served(content) as url:
            assert_download_fails(offered(url, content), root, "cannot be unpacked")


def test_a_folder_in_the_place_of_a_file(tmp_path, official):
    (official / "data_batch_1").unlink()
    (official / "data_batch_1").mkdir()
    content = archive(official)
    with served(content) as url:
        assert_download_fails(offered(url, content), tmp_path / "data", "is no file")


def test_no_network(tmp_path):
    with served(b"") as url:
        assert_download_fails(offered(url, b""), tmp_path / "data", "404.*fetch the file by other")
    assert_download_fails(offered(url, b""), tmp_path / "data", "Check the network")


def test_an_interrupted_download_leaves_nothing(tmp_path, official, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    content = archive(official)
    monkeypatch.setattr(download.shutil, "copyfileobj", interrupted)
    with served(content) as url, pytest.raises(KeyboardInterrupt):
        offered(url, content)(tmp_path / "data", download=True)
    assert os.listdir(tmp_path / "data") == []


def test_another_process_may_be_faster(tmp_path, official, monkeypatch):
    content, replace = archive(official), os.replace

    def late(source, target):
        write_python10(tmp_path / "data", per_file=1)
        replace(source, target)

    monkeypatch.setattr(download.os, "replace", late)
    with served(content) as url:
        assert len(offered(url, content)(tmp_path / "data", download=True)) == 5


def test_a_full_disk_is_an_error(tmp_path, official, monkeypatch):
    def full(source, target):
        raise OSError("no space left")

    content = archive(official)
    monkeypatch.setattr(download.os, "replace", full)
    with served(content) as url, pytest.raises(OSError, match="no space"):
        offered(url, content)(tmp_path / "data", download=True)
    assert os.listdir(tmp_path / "data") == []


# ---------------------------------------------------------------------------- folders of files


@pytest.fixture
def folder(tmp_path):
    for name, colour in [("dog/a.png", 10), ("cat/c.BMP", 20), ("cat/old/b.png", 30)]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3), colour).save(path)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    return tmp_path


def test_image_folder(folder):
    dataset = ImageFolder(folder, transform=ToTensor())
    assert dataset.classes == ["cat", "dog"]
    assert dataset.class_to_idx == {"cat": 0, "dog": 1}
    assert dataset.targets == [0, 0, 1]
    assert dataset.imgs == dataset.samples
    assert [os.path.basename(path) for path, _ in dataset.samples] == ["c.BMP", "b.png", "a.png"]
    tensor, target = dataset[-1]
    assert tensor.shape == (3, 3, 4)
    assert np.all(tensor.numpy() == np.float32(10) / np.float32(255))
    assert target == 1
    assert "Number of datapoints: 3" in repr(dataset)


def test_image_folder_with_another_loader_and_choice(folder):
    dataset = ImageFolder(
        folder, loader=os.path.basename, is_valid_file=lambda path: not path.endswith("txt")
    )
    assert dataset[0] == ("c.BMP", 0)


def test_image_folder_names_what_is_wrong(folder):
    (folder / "dog" / "broken.png").write_bytes(b"\x89PNG no more")
    dataset = ImageFolder(folder)
    with pytest.raises(ValueError, match=r"broken\.png cannot be read"):
        dataset[3]
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures of the classes empty"):
        ImageFolder(folder)
    with pytest.raises(FileNotFoundError, match="no folder of a class"):
        ImageFolder(folder / "empty")


# ------------------------------------------------------------------------------------ made up


def test_synthetic_pictures():
    train, again = SyntheticPictures(size=300), SyntheticPictures(size=300)
    assert train.data.shape == (300, 32, 32, 3)
    assert np.bincount(train.targets).tolist() == [30] * 10
    assert len(train.classes) == 10
    assert np.array_equal(train.data, again.data)
    assert train.targets == again.targets
    for other in (SyntheticPictures(False, 300), SyntheticPictures(size=300, seed=1)):
        assert not np.array_equal(train.data, other.data)
    assert "Split: Test" in repr(SyntheticPictures(False, 1))
    small = SyntheticPictures(size=5, image_size=(1, 9, 12), num_classes=2, transform=ToTensor())
    assert small[0][0].shape == (1, 9, 12)
    assert small.batched


def test_synthetic_classes_look_different():
    """The nearest mean edge picture tells the classes apart better than chance."""
    train, test = SyntheticPictures(size=3000), SyntheticPictures(train=False, size=500)

    def features(dataset):
        grey = dataset.data.mean(-1)
        return np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True)))[:, :9, :9]

    known, targets = features(train), np.array(train.targets)
    means = np.stack([known[targets == kind].mean(0) for kind in range(10)])
    distances = ((features(test)[:, None] - means) ** 2).sum((2, 3))
    accuracy = (distances.argmin(1) == test.targets).mean()
    assert 0.2 < accuracy < 0.9


@pytest.mark.parametrize("arguments", [{"num_classes": 11}, {"image_size": (2, 8, 8)}])
def test_synthetic_pictures_check_their_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SyntheticPictures(size=1, **arguments)


def test_fake_data():
    fake = FakeData(size=4, image_size=(3, 5, 6), num_classes=3)
    picture, label = fake[2]
    assert picture.size == (6, 5)
    assert 0 <= label < 3
    assert np.array_equal(fake[2][0], picture)
    assert not np.array_equal(fake[1][0], picture)
    other = FakeData(size=4, image_size=(3, 5, 6), random_offset=1)
    assert not np.array_equal(other[2][0], picture)
    assert len(fake) == 4
    with pytest.raises(IndexError, match="no picture 4"):
        fake[4]
    with pytest.raises(ValueError, match="image_size"):
        FakeData(image_size=(4, 5, 6))


# ------------------------------------------------------------------------------ with a loader


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_fetches_whole_batches(workers):
    transform = Compose([RandomHorizontalFlip(), ToTensor()])
    dataset = torchvision.datasets.SyntheticPictures(size=10, transform=transform)
    loader = minidl.utils.data.DataLoader(dataset, batch_size=4, num_workers=workers)
    batches = list(loader)
    assert [pictures.shape for pictures, _ in batches] == [(4, 3, 32, 32)] * 2 + [(2, 3, 32, 32)]
    assert [label for _, labels in batches for label in labels.tolist()] == dataset.targets


# ----------------------------------------------------------------------------------- pictures


def test_make_grid():
    pictures = minidl.tensor(np.random.default_rng(0).random((5, 3, 4, 6), np.float32))
    grid = make_grid(pictures, nrow=3, padding=1, pad_value=0.5)
    assert grid.shape == (3, 2 * 5 + 1, 3 * 7 + 1)
    assert np.array_equal(grid.numpy()[:, 6:10, 8:14], pictures.numpy()[4])
    assert np.all(grid.numpy()[:, 5] == 0.5)
    assert np.all(grid.numpy()[:, 6:, 15:] == 0.5)
    grey = make_grid([pictures[i, :1] for i in range(2)])
    assert grey.shape == (3, 8, 18)
    assert np.array_equal(make_grid(pictures[0]).numpy(), pictures.numpy()[0])
    assert make_grid(pictures[0, 0]).shape == (3, 4, 6)


def test_make_grid_scales():
    pictures = minidl.tensor(np.arange(8.0).reshape(2, 1, 2, 2))
    grid = make_grid(pictures, padding=0, normalize=True).numpy()
    np.testing.assert_allclose(grid[0], [[0, 1 / 7, 4 / 7, 5 / 7], [2 / 7, 3 / 7, 6 / 7, 1]])
    each = make_grid(pictures, padding=0, normalize=True, scale_each=True).numpy()
    np.testing.assert_allclose(each[0, :, :2], each[0, :, 2:])
    cut = make_grid(pictures, padding=0, normalize=True, value_range=(2, 4)).numpy()
    np.testing.assert_allclose(cut[0], [[0, 0, 1, 1], [0, 0.5, 1, 1]])


def test_save_image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 6))
    save_image(minidl.tensor(pixels / np.float32(255)), tmp_path / "a.png")
    assert np.array_equal(np.moveaxis(np.asarray(Image.open(tmp_path / "a.png")), -1, 0), pixels)
    content = io.BytesIO()
    save_image([minidl.ones(3, 4, 4)] * 3, content, format="png", padding=1, nrow=2)
    assert Image.open(content).size == (11, 11)


@pytest.mark.parametrize(
    ("given", "error"), [([], TypeError), (minidl.zeros(3), ValueError), ("a", TypeError)]
)
def test_make_grid_wants_pictures(given, error):
    with pytest.raises(error, match="make_grid wants"):
        make_grid(given)


def test_make_grid_wants_pictures_in_a_row():
    with pytest.raises(ValueError, match="nrow"):
        make_grid(minidl.zeros(2, 3, 4, 4), nrow=0)


def test_without_pillow(folder, monkeypatch):
    dataset = ImageFolder(folder)
    monkeypatch.setattr(pillow, "Image", None)
    with pytest.raises(ImportError, match=r"pip install minidl\[vision\]"):
        dataset[0]
