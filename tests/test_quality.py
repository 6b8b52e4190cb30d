"""Checks of data sets: what is planted is found, and nothing else is touched."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.vision.datasets import ImageFolder, MemoryPictures
from minidl.vision.quality import (
    channel_statistics,
    find_duplicates,
    preprocess_data,
    read_pictures,
    stratified_split,
)
from minidl.vision.quality.duplicates import Groups
from minidl.vision.quality.pictures import thumbnail

Image = pytest.importorskip("PIL.Image")

CLASSES = ["a", "b", "c"]


class Made(MemoryPictures):
    """Pictures of random fields, with labels in turn."""

    def __init__(self, size, seed=0, channels=3):
        super().__init__()
        fields = np.random.default_rng(seed).integers(0, 200, (size, 4, 4, channels))
        self.data = np.kron(fields, np.ones((1, 4, 4, 1))).astype(np.uint8)
        self.targets = [i % len(CLASSES) for i in range(size)]
        self.classes = CLASSES


def found(dataset, **options):
    return find_duplicates(read_pictures(dataset), **options)


# --------------------------------------------------------------------------- duplicates


def test_pictures_made_at_random_are_no_duplicates():
    assert found(Made(60)) == ([], [])


def test_equal_pictures_are_grouped():
    made = Made(12)
    made.data[7] = made.data[10] = made.data[2]
    assert found(made) == ([[2, 7, 10]], [[2, 7, 10]])


def test_pictures_that_differ_in_one_pixel_are_near_and_not_equal():
    made = Made(12)
    made.data[9] = made.data[4]
    made.data[9, 3, 3, 0] ^= 64
    assert found(made) == ([], [[4, 9]])


def test_a_brighter_and_a_tinted_copy_are_near():
    made = Made(12)
    made.data[8] = made.data[1] + 30
    made.data[11] = made.data[1] + np.array([0, 40, 10], np.uint8)
    assert found(made).near == [[1, 8, 11]]


def test_a_mirrored_copy_is_another_picture():
    made = Made(12)
    made.data[8] = made.data[1, :, ::-1]
    assert found(made) == ([], [])


def test_plain_pictures_are_equal_if_their_colour_is():
    made = Made(6)
    made.data[0], made.data[1], made.data[2] = 10, 11, 10
    assert found(made) == ([[0, 2]], [[0, 2]])


def test_plain_pictures_with_a_speck_have_nothing_to_compare():
    made = Made(6)
    made.data[0], made.data[1] = 10, 90
    made.data[:2, 3, 3] += 2
    assert found(made) == ([], [])


def test_the_same_bytes_in_another_shape_are_another_picture(tmp_path):
    (tmp_path / "a").mkdir()
    for name, size in (("wide", (16, 8)), ("high", (8, 16))):
        Image.new("RGB", size, (9, 9, 9)).save(tmp_path / "a" / f"{name}.png")
    assert found(ImageFolder(tmp_path)) == ([], [])


def test_more_pictures_than_are_compared_at_a_time(monkeypatch):
    monkeypatch.setattr("minidl.vision.quality.duplicates._ROWS", 5)
    made = Made(23)
    made.data[22] = made.data[3] + 1
    made.data[13] = made.data[12] + 1
    assert found(made).near == [[3, 22], [12, 13]]


@pytest.mark.parametrize("similarity", [0.0, 1.5])
def test_a_similarity_that_is_none(similarity):
    with pytest.raises(ValueError, match="similarity of near duplicates lies in"):
        found(Made(3), similarity=similarity)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_groups_are_the_connected_components(pairs):
    groups = Groups(10)
    reach = np.eye(10, dtype=bool)
    for pair in pairs:
        groups.join(list(pair))
        reach[pair] = reach[pair[::-1]] = True
    for _ in range(10):
        reach = reach @ reach
    wanted = {tuple(np.flatnonzero(row).tolist()) for row in reach if row.sum() > 1}
    assert set(map(tuple, groups.of_several())) == wanted


# --------------------------------------------------------------------------- reading


@given(st.integers(8, 30), st.integers(8, 30), st.integers(0, 2**32 - 1))
def test_a_thumbnail_is_the_mean_of_each_field(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    rows, columns = (np.arange(9) * size // 8 for size in (height, width))
    for i in range(8):
        for j in range(8):
            field = pixels[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            np.testing.assert_allclose(thumbnail(pixels)[i, j], field.mean((0, 1)), rtol=1e-5)


def test_statistics_are_those_of_all_pixels():
    made, some = Made(20), np.array([1, 4, 5, 19])
    mean, std = channel_statistics(read_pictures(made), some)
    values = made.data[some].reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, values.std(0), rtol=1e-12)


def test_statistics_of_nothing():
    with pytest.raises(ValueError, match="no pictures to take the mean of"):
        channel_statistics(read_pictures(Made(3)), np.array([], np.int64))


def test_grey_pictures_are_read_as_colours():
    made = Made(5, channels=1)
    pictures = read_pictures(made)
    assert pictures.thumbnails.shape == (5, 8, 8, 3)
    np.testing.assert_array_equal(pictures.sums[:, 0], pictures.sums[:, 2])


def test_small_and_empty_and_unlabelled_sets():
    tiny = Made(2)
    tiny.data = tiny.data[:, :7]
    with pytest.raises(ValueError, match=r"picture 0 has .* the least is 8"):
        read_pictures(tiny)
    with pytest.raises(ValueError, match="the data set is empty"):
        read_pictures(Made(0))
    with pytest.raises(TypeError, match="list has no targets"):
        read_pictures([1, 2])


def test_transforms_are_left_out_and_stay(tmp_path):
    folder = picture_folder(tmp_path)
    folder.transform = lambda picture: 1 / 0
    read_pictures(folder)
    assert folder.transform is not None


# --------------------------------------------------------------------------- splitting


@given(st.integers(1, 60), st.floats(0, 0.9), st.integers(0, 100))
def test_a_split_takes_the_share_of_every_class(size, fraction, seed):
    labels = np.random.default_rng(seed).integers(0, 3, size)
    indices = np.arange(size)
    left, taken = stratified_split(labels, indices, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([left, taken])), indices)
    for label in range(3):
        assert (labels[taken] == label).sum() == round(fraction * (labels == label).sum())


def test_groups_stay_together():
    groups = [[0, 3, 9], [5, 6]]
    for seed in range(20):
        left, taken = stratified_split(np.zeros(12, int), np.arange(1, 12), 0.4, seed, groups)
        for group in ({3, 9}, {5, 6}):
            assert group <= set(left) or group <= set(taken)
        assert 0 not in left and 0 not in taken
        assert len(taken) <= 4


def test_a_split_goes_by_its_seed():
    split = [stratified_split(np.zeros(50, int), np.arange(50), 0.5, seed)[1] for seed in (1, 1, 2)]
    assert split[0].tolist() == split[1].tolist() != split[2].tolist()


def test_a_share_of_everything_is_refused():
    with pytest.raises(ValueError, match=r"lies in \[0, 1\), got 1"):
        stratified_split(np.zeros(3, int), np.arange(3), 1)


# --------------------------------------------------------------------------- all of it


def planted():
    """A training and a test set with one of everything."""
    train, test = Made(60), Made(30, seed=1)
    train.data[31] = train.data[1]  # a copy: class 1, as the first
    train.data[20] = train.data[6]  # class 2 and class 0
    train.data[44] = test.data[4]
    train.data[45] = test.data[5] + 20
    test.data[9] = test.data[8]
    return train, test


def test_what_is_left_out_and_why():
    train, test = planted()
    done = preprocess_data(train, test, validation=0.2)
    unreadable, conflicts, copies, leaks = done.report.removed.values()
    assert (unreadable, conflicts, copies, leaks) == ([], [6, 20], [31], [44, 45])
    used = {*done.train.indices, *done.validation.indices}
    assert used == set(range(60)) - {6, 20, 31, 44, 45}
    assert not set(done.train.indices) & set(done.validation.indices)
    assert done.test.indices == list(range(30))
    assert done.report.across(done.report.duplicates.near) == 2


def test_near_duplicates_are_on_one_side():
    train = Made(60)
    for i in range(30):
        train.data[30 + i] = train.data[i] + 5
    done = preprocess_data(train, Made(30, seed=1), validation=0.3)
    assert len(done.validation) >= 14
    assert {i + 30 for i in done.validation.indices if i < 30} <= set(done.validation.indices)


def test_without_a_test_set_one_is_split_off():
    done = preprocess_data(Made(90), validation=0.25, test_size=1 / 3)
    assert [len(part) for part in done[:3]] == [45, 15, 30]
    assert done.report.counts["test"].tolist() == [10, 10, 10]


def test_samples_are_normalised_by_the_training_pictures():
    train, test = planted()
    done = preprocess_data(train, test)
    values = np.stack([picture.numpy() for picture, _ in done.train])
    np.testing.assert_allclose(values.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std((0, 2, 3)), 1, atol=1e-5)
    assert train.transform is None


def test_only_training_pictures_are_augmented():
    class Black:
        def __call__(self, picture):
            return Image.new("RGB", picture.size)

    done = preprocess_data(*planted(), augmentation=[Black()])
    assert np.ptp(done.train[0][0].numpy(), axis=(1, 2)).max() == 0
    assert np.ptp(done.validation[0][0].numpy(), axis=(1, 2)).max() > 0


def test_the_report_in_words_and_numbers():
    report = preprocess_data(*planted()).report
    text = str(report)
    assert "groups of equal pictures: 4, across the splits: 1" in text
    assert "left out, training pictures that are in the test set, too: 2" in text
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["counts"]["test"] == [10, 10, 10]
    assert plain["duplicates"]["near"]["across_splits"] == 2


def test_classes_that_differ():
    train, test = planted()
    test.classes = ["a", "c", "b"]
    with pytest.raises(ValueError, match="the test set has the classes"):
        preprocess_data(train, test)


def picture_folder(root):
    made = Made(9)
    for i, pixels in enumerate(made.data):
        folder = root / CLASSES[i % 3]
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return ImageFolder(root)


def test_files_that_cannot_be_read_are_named_and_left_out(tmp_path):
    folder = picture_folder(tmp_path)
    broken = tmp_path / "b" / "1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    done = preprocess_data(folder, validation=0, test_size=1 / 3)
    position = [path for path, _ in folder.samples].index(str(broken))
    assert done.report.removed["unreadable"] == [position]
    assert "1.png cannot be read as a picture" in str(done.report)
    assert len(done.train) + len(done.test) == 8
