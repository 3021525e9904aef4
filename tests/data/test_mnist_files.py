import hashlib
import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from idx_samples import idx_bytes, write_set

from minigen.data import fashion_mnist, mnist
from minigen.data.mnist_files import FASHION, MNIST, NAMES, Source, default_directory, load
from minigen.errors import DatasetError

REAL_DATA = os.environ.get("MINIGEN_DATA")


def assert_is_set(splits, arrays):
    for got, expected, dtype in zip(splits, arrays, (np.uint8, np.int64) * 2):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)


def refused(folder, *parts, loader=mnist):
    with pytest.raises(DatasetError) as caught:
        loader(folder, download=False)
    for part in (str(folder), *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("subfolder", ["", "mnist"])
def test_the_files_are_found_in_the_directory_and_in_its_subfolder(tmp_path, subfolder, suffix):
    arrays = write_set(tmp_path / subfolder, suffix=suffix)
    assert_is_set(mnist(tmp_path), arrays)
    assert_is_set(mnist(str(tmp_path), download=False), arrays)


def test_both_data_sets_fit_into_one_directory(tmp_path):
    digits = write_set(tmp_path / "mnist", train=6)
    fashion = write_set(tmp_path / "fashion-mnist", train=8)
    assert_is_set(mnist(tmp_path), digits)
    assert_is_set(fashion_mnist(tmp_path), fashion)


def test_the_variable_minigen_data_names_the_directory(tmp_path, monkeypatch):
    arrays = write_set(tmp_path / "mnist")
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path))
    assert_is_set(mnist(), arrays)


def test_the_default_is_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "minigen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".cache" / "minigen"
    monkeypatch.setenv("MINIGEN_DATA", "~/here")
    assert default_directory() == tmp_path / "here"


def test_labels_out_of_range_are_refused_with_value_and_position(tmp_path):
    write_set(tmp_path)
    (tmp_path / NAMES[3]).write_bytes(idx_bytes(np.array([1, 9, 10, 200])))
    refused(tmp_path, NAMES[3], "[0, 10)", "10 at position 2", "download=True")


def test_unequal_numbers_of_images_and_labels_are_refused_with_both(tmp_path):
    write_set(tmp_path)
    (tmp_path / NAMES[1]).write_bytes(idx_bytes(np.zeros(5)))
    refused(tmp_path, NAMES[1], "6 labels", "got 5", "download=True")


@pytest.mark.parametrize("shape", [(6, 28, 27), (6, 32, 32), (0, 28, 28)])
def test_images_of_another_shape_are_refused(tmp_path, shape):
    write_set(tmp_path)
    (tmp_path / NAMES[0]).write_bytes(idx_bytes(np.zeros(shape)))
    refused(tmp_path, NAMES[0], "(N, 28, 28)", str(shape), "download=True")


def test_a_damaged_file_is_refused_with_its_path(tmp_path):
    write_set(tmp_path, suffix=".gz")
    path = tmp_path / f"{NAMES[2]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    refused(tmp_path, str(path), "download=True")


def test_mnist_is_not_accepted_as_fashion_mnist(tmp_path):
    write_set(tmp_path, train=10)
    (tmp_path / NAMES[1]).write_bytes(idx_bytes(np.array(MNIST.first_labels)))
    mnist(tmp_path)
    refused(tmp_path, "labels of Fashion-MNIST, got those of MNIST", loader=fashion_mnist)


@pytest.mark.parametrize("loader, folder", [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")])
def test_without_download_the_error_lists_the_missing_files_and_remedies(tmp_path, loader, folder):
    offline = ("minigen.data.glyphs", "--data glyphs", "MINIGEN_DATA", "download=True")
    refused(tmp_path, *NAMES, str(tmp_path / folder), *offline, loader=loader)
    assert list(tmp_path.iterdir()) == []


def test_each_source_has_two_mirrors_and_valid_checksums():
    for source in (MNIST, FASHION):
        assert len(source.mirrors) >= 2
        assert all(url.endswith("/") for url in source.mirrors)
        assert len({sha256 for _, sha256 in source.files}) == len(NAMES)
        assert all(len(bytes.fromhex(sha256)) == 32 for _, sha256 in source.files)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def mirrored(tmp_path):
    """A source with a mirror without files and a local one; its arrays; the local folder."""
    web = tmp_path / "web"
    arrays = write_set(web, suffix=".gz")
    contents = [(web / f"{name}.gz").read_bytes() for name in NAMES]

    def handler(*args):
        return Quiet(*args, directory=web)

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        files = tuple((len(content), hashlib.sha256(content).hexdigest()) for content in contents)
        yield Source("Test-MNIST", "test", (url + "none/", url), files, (0,) * 10), arrays, web
        server.shutdown()
        thread.join()


def test_missing_files_are_downloaded_once_into_the_folder(tmp_path, mirrored):
    source, arrays, web = mirrored
    home = tmp_path / "home"
    assert_is_set(load(source, home, download=True), arrays)
    assert sorted(path.name for path in (home / "test").iterdir()) == sorted(
        f"{name}.gz" for name in NAMES
    )
    for path in web.iterdir():
        path.unlink()
    assert_is_set(load(source, home, download=True), arrays)


def test_only_missing_files_are_downloaded(tmp_path, mirrored):
    source, arrays, web = mirrored
    write_set(tmp_path / "home" / "test", suffix=".gz")
    (tmp_path / "home" / "test" / f"{NAMES[0]}.gz").unlink()
    for name in NAMES[1:]:
        (web / f"{name}.gz").unlink()
    assert_is_set(load(source, tmp_path / "home", download=True), arrays)


def test_if_all_mirrors_fail_the_error_lists_them_and_the_remedies(tmp_path, mirrored):
    source, _, web = mirrored
    (web / f"{NAMES[2]}.gz").write_bytes(b"an error page")
    with pytest.raises(DatasetError) as caught:
        load(source, tmp_path / "home", download=True)
    folder = tmp_path / "home" / "test"
    for part in (*source.mirrors, *NAMES, f"Put these files into {folder}", "--data glyphs"):
        assert part in str(caught.value)
    assert not (folder / f"{NAMES[2]}.gz").exists()
    assert not list(folder.glob("*.part"))


@pytest.mark.skipif(not REAL_DATA, reason="MINIGEN_DATA names no directory with the real files")
def test_the_real_digits_are_read():
    train_x, train_y, test_x, test_y = mnist(REAL_DATA, download=False)
    assert train_x.shape == (len(train_y), 28, 28) and test_x.shape == (len(test_y), 28, 28)
    for x, y in ((train_x, train_y), (test_x, test_y)):
        assert x.dtype == np.uint8 and y.dtype == np.int64
        assert x.min() == 0 and x.max() == 255 and 25 < x.mean() < 45
        assert set(y.tolist()) == set(range(10))
