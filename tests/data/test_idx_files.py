import gzip
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idx_samples import idx_bytes

from minigen.data import read_idx
from minigen.errors import DatasetError

IMAGES = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256
REMEDY = "download=True"


def refused(path, ndim=3, **options):
    """The error message of read_idx, which must name the path and the remedy."""
    with pytest.raises(DatasetError) as caught:
        read_idx(path, ndim, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "expected" in message and "got" in message
    assert REMEDY in message
    return message


def write(tmp_path, content, name="images"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def peak_bytes(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize("shape", [(3, 28, 28), (7,), (0,), (2, 0, 5), (2, 3)])
def test_a_valid_file_is_read_exactly(tmp_path, pack, shape):
    array = (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)
    read = read_idx(write(tmp_path, pack(idx_bytes(array))), len(shape))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


def test_content_decides_whether_a_file_is_gzipped(tmp_path):
    plain_named_gz = write(tmp_path, idx_bytes(IMAGES), "a.gz")
    gz_named_plain = write(tmp_path, gzip.compress(idx_bytes(IMAGES)), "b")
    np.testing.assert_array_equal(read_idx(plain_named_gz, 3), IMAGES)
    np.testing.assert_array_equal(read_idx(str(gz_named_plain), 3), IMAGES)


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refused(tmp_path / "nothing")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    refused(write(tmp_path, b""))
    refused(write(tmp_path, gzip.compress(b"")))


def test_a_wrong_magic_number_is_refused_with_both_numbers(tmp_path):
    message = refused(write(tmp_path, b"<html>not found</html>"))
    assert "0x00000803" in message and "0x3c68746d" in message


def test_labels_are_refused_where_images_are_expected(tmp_path):
    message = refused(write(tmp_path, idx_bytes(np.arange(5))))
    assert "0x00000803" in message and "0x00000801" in message


def test_another_element_type_is_refused(tmp_path):
    floats = struct.pack(">4I", 0x0D03, 1, 28, 28) + bytes(4 * 28 * 28)
    assert "0x00000d03" in refused(write(tmp_path, floats))


def test_a_short_header_is_refused(tmp_path):
    assert "header of 16 bytes" in refused(write(tmp_path, idx_bytes(IMAGES)[:9]))


@pytest.mark.parametrize("missing", [1, 784, 3 * 784])
def test_a_truncated_plain_file_is_refused(tmp_path, missing):
    assert str(3 * 784) in refused(write(tmp_path, idx_bytes(IMAGES)[:-missing]))


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_gz_is_refused_with_path_and_remedy(tmp_path, keep):
    content = gzip.compress(idx_bytes(IMAGES))
    refused(write(tmp_path, content[: int(len(content) * keep)]))


def test_a_gz_of_a_truncated_file_is_refused(tmp_path):
    assert "truncated" in refused(write(tmp_path, gzip.compress(idx_bytes(IMAGES)[:-1])))


def test_trailing_bytes_are_refused(tmp_path):
    assert "more bytes" in refused(write(tmp_path, idx_bytes(IMAGES) + b"x"))
    assert "more bytes" in refused(write(tmp_path, gzip.compress(idx_bytes(IMAGES) + b"x")))
    refused(write(tmp_path, gzip.compress(idx_bytes(IMAGES)) + b"garbage"))
    refused(write(tmp_path, gzip.compress(idx_bytes(IMAGES)) + gzip.compress(b"more")))


def test_a_gz_with_a_wrong_checksum_is_refused(tmp_path):
    content = bytearray(gzip.compress(idx_bytes(IMAGES)))
    content[-8] ^= 1  # the first byte of the CRC
    assert "CRC" in refused(write(tmp_path, bytes(content)))


def test_a_gz_with_a_corrupt_stream_is_refused(tmp_path):
    content = bytearray(gzip.compress(idx_bytes(IMAGES)))
    content[10] = 0xFF  # the first byte after the header: no such block type
    with pytest.raises(zlib.error):
        gzip.decompress(bytes(content))
    refused(write(tmp_path, bytes(content)))


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_damaged_byte_is_refused_or_harmless(tmp_path_factory, position, flip):
    content = bytearray(gzip.compress(idx_bytes(IMAGES), mtime=0))
    content[position % len(content)] ^= flip
    path = write(tmp_path_factory.mktemp("damaged"), bytes(content))
    try:  # flags and time in the gzip header do not affect the content
        np.testing.assert_array_equal(read_idx(path, 3), IMAGES)
    except DatasetError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize(
    "shape", [(2**32 - 1, 28, 28), (2**32 - 1,) * 3, (300_000, 28, 28), (0, 2**32 - 1, 2**32 - 1)]
)
def test_a_header_with_a_huge_shape_is_refused_in_bounded_memory(tmp_path, pack, shape):
    path = write(tmp_path, pack(struct.pack(">4I", 0x803, *shape) + bytes(1000)))
    assert peak_bytes(lambda: refused(path)) < 2**20


def test_a_shape_larger_than_the_file_is_refused_before_allocation(tmp_path):
    header = struct.pack(">4I", 0x803, 200_000, 28, 28)  # 157 MB, below max_bytes
    for content in (header + bytes(1000), gzip.compress(header + bytes(1000))):
        path = write(tmp_path, content)
        assert peak_bytes(lambda path=path: refused(path)) < 2**20


def test_a_decompression_bomb_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx_bytes(IMAGES))
        for _ in range(64):
            file.write(bytes(2**20))
    assert peak_bytes(lambda: refused(path)) < 2**20


def test_a_bomb_with_a_correct_header_is_refused_before_allocation(tmp_path):
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(struct.pack(">4I", 0x803, 90_000, 28, 28))
        for _ in range(9):
            file.write(bytes(10_000 * 784))
    assert path.stat().st_size < 10**6
    assert peak_bytes(lambda: refused(path)) < 2**20


def test_max_bytes_can_be_lowered_and_raised(tmp_path):
    path = write(tmp_path, idx_bytes(IMAGES))
    assert "max_bytes=2351" in refused(path, max_bytes=3 * 784 - 1)
    assert read_idx(path, 3, max_bytes=3 * 784).shape == (3, 28, 28)
