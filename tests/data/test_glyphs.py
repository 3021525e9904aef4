import time
import tracemalloc

import matplotlib
import numpy as np
import pytest

from minigen.data import GLYPH_CLASSES, glyph_images, glyphs

draw_sheet = glyph_images._sheet


@pytest.fixture(scope="module", autouse=True)
def sheet():
    """The sheet, drawn once for all tests of this file."""
    drawn = draw_sheet()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyph_images, "_sheet", lambda: drawn)
        yield drawn


@pytest.fixture(scope="module")
def sample(sheet):
    return glyphs(3600, seed=1)


def test_shapes_and_dtypes_of_images_and_labels(sample):
    images, labels = sample
    assert images.shape == (3600, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (3600,) and labels.dtype == np.int64


def test_the_classes_are_the_digits_and_the_capitals():
    assert GLYPH_CLASSES == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_classes_are_balanced_and_shuffled(sample):
    _, labels = sample
    np.testing.assert_array_equal(np.bincount(labels), 100)
    assert len(set(labels[:36].tolist())) < 36
    np.testing.assert_array_equal(np.sort(np.bincount(glyphs(37)[1])), [1] * 35 + [2])


def test_the_seed_determines_images_and_labels():
    first, again, other = glyphs(50, seed=7), glyphs(50, seed=7), glyphs(50, seed=8)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any() and (first[1] != other[1]).any()


def test_the_chunk_size_changes_nothing(monkeypatch):
    whole, _ = glyphs(100, seed=2)
    monkeypatch.setattr(glyph_images, "CHUNK", 7)
    np.testing.assert_array_equal(glyphs(100, seed=2)[0], whole)


def test_settings_of_matplotlib_change_nothing(sheet):
    with matplotlib.rc_context(
        {
            "text.hinting": "force_autohint",
            "text.antialiased": False,
            "patch.antialiased": False,
            "path.sketch": (5, 50, 5),
            "path.simplify_threshold": 1.0,
            "savefig.dpi": 30,
        }
    ):
        np.testing.assert_array_equal(draw_sheet(), sheet)


def test_characters_are_white_on_black_and_not_cut_off(sample):
    images, _ = sample
    border = np.concatenate(
        [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1
    )
    assert border.max() < 60 and (border.max(1) > 0).mean() < 0.002
    assert images.max((1, 2)).min() > 120
    assert 0.05 < images.mean() / 255 < 0.2


def test_characters_are_centred(sample):
    images, _ = sample
    for axis in (1, 2):
        inked = images.any(axis)
        first, last = inked.argmax(1), 27 - inked[:, ::-1].argmax(1)
        middle = (first + last) / 2 - 13.5
        assert abs(middle).max() < 4 and abs(middle.mean()) < 0.2


def test_characters_stand_upright_and_are_not_mirrored(sample):
    images, labels = sample
    for character, has, lacks in (("L", "left", "right"), ("7", "top", "bottom")):
        mean = images[labels == GLYPH_CLASSES.index(character)].mean(0)
        halves = {
            "left": mean[:, :14],
            "right": mean[:, 14:],
            "top": mean[:14],
            "bottom": mean[14:],
        }
        assert halves[has].sum() > 1.2 * halves[lacks].sum()


def test_no_two_images_are_equal(sample):
    images, _ = sample
    assert len({image.tobytes() for image in images}) == len(images)


def test_every_font_draws_every_character_differently(sheet):
    assert len({cell.tobytes() for cell in sheet}) == len(sheet)
    assert sheet.min() == 0 and 0.99 < sheet.max() <= 1
    assert sheet.sum((1, 2)).min() > 50


def test_a_nearest_neighbour_classifier_distinguishes_the_classes(sample):
    """The nearest of 3,600 images has the same class for most of 360 others."""
    images, labels = sample
    train = images.reshape(len(images), -1).astype(np.float32)
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    others, classes = glyphs(360, seed=2)
    nearest = (others.reshape(360, -1).astype(np.float32) @ train.T).argmax(1)
    assert (labels[nearest] == classes).mean() > 0.8


def test_zero_images_are_empty_arrays():
    images, labels = glyphs(0)
    assert images.shape == (0, 28, 28) and labels.shape == (0,)


@pytest.mark.parametrize("n", [-1, 2.0, "3", None, True])
def test_an_invalid_number_of_images_is_refused(n):
    with pytest.raises(ValueError, match="n must be an integer >= 0"):
        glyphs(n)


def test_memory_is_bounded_by_the_chunk():
    tracemalloc.start()
    images, _ = glyphs(3000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes + 32 * 2**20


def test_ten_thousand_images_take_seconds(monkeypatch):
    monkeypatch.setattr(glyph_images, "_sheet", draw_sheet)
    start = time.process_time()
    glyphs(10_000)
    assert time.process_time() - start < 5
