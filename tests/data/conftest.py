"""Isolation of the data tests from the user's files and from the network."""

import pytest


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """Use a temporary cache, and no MINIGEN_DATA and no proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIGEN_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
