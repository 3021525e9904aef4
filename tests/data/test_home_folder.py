"""A path to data that begins with ~ is in the home folder; spaces and other letters are kept."""

import numpy as np
import pytest
from idx_samples import write_set
from PIL import Image

from minigen import data
from minigen.data.mnist_files import NAMES


@pytest.mark.parametrize("home", ["home", "the häme 日本"])
@pytest.mark.parametrize(
    "read",
    [
        lambda: data.text("~/a text.txt"),
        lambda: data.text_pairs("~/a text.txt"),
        lambda: data.read_table("~/a text.txt", header=False).x,
        lambda: data.read_idx(f"~/sets/mnist/{NAMES[0]}", 3),
        lambda: data.mnist("~/sets", download=False)[0],
        lambda: data.mnist()[0],  # from MINIGEN_DATA
        lambda: data.image_folder("~/sets/pictures")[0],
    ],
    ids=["text", "text_pairs", "read_table", "read_idx", "mnist", "MINIGEN_DATA", "image_folder"],
)
def test_the_home_folder_is_found_by_every_reader(tmp_path, monkeypatch, home, read):
    home = tmp_path / home
    write_set(home / "sets" / "mnist")
    (home / "a text.txt").write_text("1\tone\n2\ttwo\n", encoding="utf-8")
    for i in range(2):
        (home / "sets" / "pictures" / "ü b").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(home / f"sets/pictures/ü b/{i} ß.png")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MINIGEN_DATA", "~/sets")
    assert len(read())
