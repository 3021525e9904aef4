"""Pictures in folders: any size, mode and number of classes; what is no picture is named."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minigen.data import image_folder
from minigen.errors import DatasetError

RNG = np.random.default_rng(0)


def picture(path, array=None, **options):
    """Write an array, by default a random grey image, as the suffix of the path says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = RNG.integers(0, 256, (28, 28), np.uint8) if array is None else array
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return path


def folder_of(root, sizes):
    """A folder with sizes[name] pictures in the subfolder `name`; each is of one grey value."""
    for k, (name, n) in enumerate(sizes.items()):
        for i in range(n):
            picture(root / name / f"{i}.png", np.full((5 + i, 9), (10 * k + i) % 256, np.uint8))
    return root


def refused(root, *parts, **options):
    with pytest.raises(DatasetError) as caught:
        image_folder(root, **options)
    for part in (str(root), "expected", "got", *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("classes", [1, 2, 3, 12, 300])
def test_each_subfolder_is_a_class_and_a_part_of_each_is_held_out(tmp_path, classes):
    names = [f"class {i:03}" for i in range(classes)]
    folder_of(tmp_path, dict.fromkeys(names, 5 if classes < 300 else 2))
    train_x, train_y, test_x, test_y, found = image_folder(tmp_path)
    assert found == tuple(names)
    assert train_x.shape[1:] == test_x.shape[1:] == (28, 28)
    assert train_x.dtype == np.uint8 and train_y.dtype == test_y.dtype == np.int64
    assert set(train_y) == set(test_y) == set(range(classes))
    assert len(train_x) == len(train_y) and len(test_x) == len(test_y) == classes
    if classes <= 12:  # then the grey values tell the pictures apart
        values = {*train_x[:, 0, 0].tolist()}, {*test_x[:, 0, 0].tolist()}
        assert not values[0] & values[1]
        np.testing.assert_array_equal(train_x[:, 0, 0] // 10, train_y)
        np.testing.assert_array_equal(test_x[:, 0, 0] // 10, test_y)


def test_pictures_of_the_wanted_size_keep_their_pixels_and_others_are_stretched(tmp_path):
    arrays = RNG.integers(0, 256, (4, 28, 28), np.uint8)
    for i, x in enumerate(arrays):
        picture(tmp_path / f"{i}.png", x)
    train_x, train_y, test_x, _, names = image_folder(tmp_path)
    assert names == () and not train_y.any()
    assert {x.tobytes() for x in (*train_x, *test_x)} == {x.tobytes() for x in arrays}
    half = np.zeros((40, 64), np.uint8)
    half[:, 32:] = 200  # the right half is light, after stretching too
    for name in ("wide", "again"):
        picture(tmp_path / "b" / f"{name}.png", half)
    x = image_folder(tmp_path / "b", (10, 6))[0][0]
    assert x.shape == (10, 6) and not x[:, :2].any() and (x[:, 4:] == 200).all()


def test_the_split_depends_on_the_seed_and_the_fraction_alone(tmp_path):
    folder_of(tmp_path, {"a": 12, "b": 3, "c": 1})
    first, again = image_folder(tmp_path), image_folder(tmp_path)
    for x, y in zip(first, again):
        np.testing.assert_array_equal(x, y)
    assert np.bincount(first[3], minlength=3).tolist() == [2, 1, 0]  # never the only picture
    assert np.bincount(first[1]).tolist() == [10, 2, 1]
    orders = {image_folder(tmp_path, seed=seed)[0].tobytes() for seed in range(5)}
    assert len(orders) > 1
    assert np.bincount(image_folder(tmp_path, test_fraction=0.5)[3]).tolist() == [6, 2]


def transparent(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))  # black, but invisible
    image.paste((0, 0, 0, 255), (0, 0, 8, 4))
    return image.convert(mode)


def clear_palette():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.paste(0, (0, 0, 8, 4))
    image.info["transparency"] = 1
    return image


def half_grey(mode, dark, light):
    image = Image.new(mode, (8, 8), light)
    image.paste(dark, (0, 0, 8, 4))
    return image


MODES = {
    "L.png": half_grey("L", 0, 255),
    "1.png": half_grey("1", 0, 1),
    "RGB.png": half_grey("RGB", (0, 0, 0), (255, 255, 255)),
    "RGB.jpg": half_grey("RGB", (0, 0, 0), (255, 255, 255)),
    "CMYK.jpg": half_grey("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)),
    "P.png": half_grey("RGB", (0, 0, 0), (255, 255, 255)).quantize(2),
    "RGBA.png": transparent("RGBA"),
    "LA.png": transparent("LA"),
    "clear palette.png": clear_palette(),
    "16 bits.png": Image.fromarray(
        np.repeat([[300], [65535]], 4, 0).repeat(8, 1).astype(np.uint16)
    ),
}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("colour", [False, True])
def test_every_mode_of_a_picture_has_the_same_pixels(tmp_path, name, colour):
    for i in range(2):
        picture(tmp_path / f"{i} {name}", MODES[name])
    x = image_folder(tmp_path, (8, 8), colour=colour)[0][0]
    assert x.shape == ((8, 8, 3) if colour else (8, 8))
    assert x[:3].max() <= 3 and x[5:].min() >= 252  # dark above, light below


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path, orientation):
    upright = half_grey("L", 0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    flip = Image.Transpose
    back = {2: flip.FLIP_LEFT_RIGHT, 3: flip.ROTATE_180, 4: flip.FLIP_TOP_BOTTOM}
    back |= {5: flip.TRANSPOSE, 6: flip.ROTATE_90, 7: flip.TRANSVERSE, 8: flip.ROTATE_270}
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    for i in range(2):
        picture(tmp_path / f"{i}.jpg", stored, exif=exif, quality=95)
    x = image_folder(tmp_path, (8, 8))[0][0]
    assert x[:3].max() <= 3 and x[5:].min() >= 252


def test_hidden_files_other_files_links_and_nested_folders(tmp_path):
    folder_of(tmp_path / "data", {"a": 3, "b/deep/down": 2, "ü 日本": 2})
    root = tmp_path / "data"
    for name in (".DS_Store", "a/.hidden.png", "a/notes.txt", "b/Thumbs.db", ".git/x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no picture")
    (root / "__MACOSX").mkdir()
    picture(root / "a" / "UPPER.PNG")
    picture(root / "a" / "photo.JPEG")
    os.symlink(tmp_path / "data/a/0.png", root / "b" / "link.png")
    os.symlink(root, root / "b" / "circle")
    os.symlink(root / "a", root / "linked class")
    train_x, train_y, _, test_y, names = image_folder(root)
    assert names == ("a", "b", "linked class", "ü 日本")
    assert np.bincount([*train_y, *test_y]).tolist() == [5, 3, 5, 2]
    assert len(train_x) == 11


def test_folders_called_train_and_test_are_the_split(tmp_path):
    folder_of(tmp_path / "Train", {"a": 3, "b": 2})
    folder_of(tmp_path / "val", {"b": 4})
    _, train_y, test_x, test_y, names = image_folder(tmp_path)
    assert names == ("a", "b")
    assert sorted(train_y) == [0, 0, 0, 1, 1] and test_y.tolist() == [1] * 4
    assert sorted(test_x[:, 0, 0]) == [0, 1, 2, 3]
    folder_of(tmp_path / "val", {"c": 1})
    refused(tmp_path, "Train, got c")


# ---------------------------------------------------------------------------- what is refused


def test_folders_without_enough_pictures_are_refused(tmp_path):
    refused(tmp_path / "none", "no folder")
    refused(tmp_path, "none", "check the path")
    (tmp_path / "a").mkdir()
    refused(tmp_path, str(tmp_path / "a"), "add some, or remove the folder")
    folder_of(tmp_path, {"a": 1, "b": 1})
    refused(tmp_path, "at least two pictures", "2 in 2 classes")
    picture(tmp_path / "stray.png")
    refused(tmp_path, "stray.png beside them", "move it into its class")


@pytest.mark.parametrize("suffix", [".gif", ".WEBP", ".bmp", ".tiff", ".heic"])
def test_other_kinds_of_pictures_are_named(tmp_path, suffix):
    folder_of(tmp_path, {"a": 2})
    (tmp_path / "a" / f"x{suffix}").touch()
    refused(tmp_path, f"x{suffix}", "convert the file")


def png(width, height, rows):
    chunk = lambda kind, x: (
        struct.pack(">I", len(x)) + kind + x + struct.pack(">I", zlib.crc32(kind + x))
    )
    head = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [2**12 + 1, 2**13 + 1, 2**15, 2**31 - 1])
def test_a_decompression_bomb_is_refused_by_its_declared_size(tmp_path, side):
    folder_of(tmp_path, {"a": 3})
    (tmp_path / "a" / "bomb.png").write_bytes(png(side, side, bytes(2**16)))
    refused(tmp_path, "bomb.png", "pixels")


def broken_files():
    whole = png(28, 28, (b"\0" + bytes(range(28))) * 28)
    wrong = bytearray(whole)
    wrong[-30] ^= 1
    return {
        "empty": b"",
        "text": b"no picture",
        "cut": whole[:-40],
        "bit": bytes(wrong),
        "gif": b"GIF89a" + bytes(20),
    }


@pytest.mark.parametrize("name", broken_files())
def test_a_damaged_picture_is_named(tmp_path, name):
    folder_of(tmp_path, {"a": 3})
    (tmp_path / "a" / "broken.png").write_bytes(broken_files()[name])
    refused(tmp_path, str(tmp_path / "a" / "broken.png"), "replace or remove it")


def test_what_cannot_be_opened_is_named(tmp_path):
    folder_of(tmp_path, {"a": 3})
    os.symlink(tmp_path / "nowhere", tmp_path / "a" / "broken link.png")
    refused(tmp_path, "broken link.png", "FileNotFoundError")
    os.unlink(tmp_path / "a" / "broken link.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    refused(tmp_path, "pipe.png", "no regular file")


def test_the_bytes_of_all_images_are_bounded(tmp_path):
    folder_of(tmp_path, {"a": 4})
    refused(tmp_path, "4 pictures of 28 x 28", "take fewer", max_bytes=4 * 784 - 1)
    assert len(image_folder(tmp_path, max_bytes=4 * 784)[0]) == 3
    refused(tmp_path, "max_pixels=10", max_pixels=10)
    with pytest.raises(ValueError, match="test_fraction"):
        image_folder(tmp_path, test_fraction=1.0)
