import contextlib
import hashlib
import inspect
import resource
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minigen.data.download import download
from minigen.errors import DatasetError

CONTENT = bytes(range(256)) * 1000
CHECK = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest(), "timeout": 0.5}


class Mirror(BaseHTTPRequestHandler):
    """A server whose path names the method that answers: GET /drips calls `drips`."""

    def do_GET(self):
        self.server.requests.append(self.path)
        with contextlib.suppress(ConnectionError):
            getattr(self, self.path.strip("/"))()

    def answer(self, content, announced=None):
        self.send_response(200)
        self.send_header("Content-Length", str(announced or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def good(self):
        self.answer(CONTENT)

    def missing(self):
        self.send_error(404)

    def drops(self):
        self.close_connection = True

    def babbles(self):
        self.wfile.write(b"this is not HTTP\r\n\r\n")
        self.close_connection = True

    def stalls(self):
        self.server.stopped.wait(5)

    def stalls_midway(self):
        self.answer(CONTENT[:1000], announced=len(CONTENT))
        self.server.stopped.wait(5)

    def drips(self):
        self.answer(b"", announced=len(CONTENT))
        while not self.server.stopped.wait(0.05):
            self.wfile.write(b"x")

    def truncates(self):
        self.answer(CONTENT[:1000], announced=len(CONTENT))
        self.close_connection = True

    def falls_short(self):
        self.answer(CONTENT[:-1])

    def corrupts(self):
        self.answer(CONTENT[:-1] + b"x")

    def never_ends(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.requests, server.stopped = [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}/"
        yield server
        server.stopped.set()
        server.shutdown()
        thread.join()


FAILURES = [
    "missing",
    "drops",
    "babbles",
    "stalls",
    "stalls_midway",
    "truncates",
    "falls_short",
    "corrupts",
    "never_ends",
]


def test_download_creates_the_folder_and_the_file(server, tmp_path):
    path = tmp_path / "new" / "folder" / "file.gz"
    download([server.url + "good"], path, **CHECK)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", FAILURES)
def test_after_a_failed_mirror_the_next_is_used(server, tmp_path, failure):
    path = tmp_path / "file.gz"
    download([server.url + failure, server.url + "good"], path, **CHECK)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    assert server.requests == [f"/{failure}", "/good"]


def test_the_error_names_all_failed_mirrors_and_no_file_remains(server, tmp_path):
    urls = [server.url + failure for failure in FAILURES]
    with pytest.raises(DatasetError) as caught:
        download(urls, tmp_path / "file.gz", **CHECK)
    assert all(url in str(caught.value) for url in urls)
    assert list(tmp_path.iterdir()) == []


def test_a_response_that_exceeds_the_size_is_aborted(server, tmp_path):
    with pytest.raises(DatasetError, match=f"expected {len(CONTENT)} bytes, got more"):
        download([server.url + "never_ends"], tmp_path / "file.gz", **CHECK)


def test_a_wrong_hash_raises_an_error_with_both_hashes(server, tmp_path):
    with pytest.raises(DatasetError) as caught:
        download([server.url + "corrupts"], tmp_path / "file.gz", **CHECK)
    received = hashlib.sha256(CONTENT[:-1] + b"x").hexdigest()
    assert CHECK["sha256"] in str(caught.value) and received in str(caught.value)


def test_a_mirror_that_sends_slowly_is_aborted_at_the_deadline(server, tmp_path):
    start = time.monotonic()
    with pytest.raises(DatasetError, match=r"within 0\.3 seconds"):
        download([server.url + "drips"], tmp_path / "file.gz", deadline=0.3, **CHECK)
    assert time.monotonic() - start < 3


def test_an_unreachable_or_invalid_url_is_a_failed_mirror(tmp_path):
    with pytest.raises(DatasetError, match="no mirror delivered it"):
        download(["http://127.0.0.1:9/x", "not a url"], tmp_path / "file.gz", **CHECK)


def test_an_existing_file_survives_a_failed_download(server, tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(b"old")
    with pytest.raises(DatasetError):
        download([server.url + "truncates"], path, **CHECK)
    assert path.read_bytes() == b"old"


def test_an_unwritable_folder_is_named_with_the_remedy(server, tmp_path):
    (tmp_path / "folder").write_bytes(b"a file where the folder should be")
    with pytest.raises(DatasetError, match="MINIGEN_DATA") as caught:
        download([server.url + "good"], tmp_path / "folder" / "file.gz", **CHECK)
    assert str(tmp_path / "folder") in str(caught.value)
    assert server.requests == []


def test_a_full_disk_leaves_no_file_and_the_error_has_a_remedy(server, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # a write is short, the next fails
    try:
        with pytest.raises(DatasetError, match=r"cannot be written \(.*too large.*MINIGEN_DATA"):
            download([server.url + "good"], tmp_path / "file.gz", **CHECK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_has_ten_seconds_for_each_answer():
    assert inspect.signature(download).parameters["timeout"].default == 10


def test_an_interrupt_leaves_no_partial_file(server, tmp_path, monkeypatch):
    def interrupted(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("minigen.data.download.os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download([server.url + "good"], tmp_path / "file.gz", **CHECK)
    assert list(tmp_path.iterdir()) == []
