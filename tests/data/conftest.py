"""The data tests reach nothing of the user's and nothing beyond this machine."""

import pytest


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No data directory of the user's, no cache, no proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIGEN_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
