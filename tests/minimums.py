"""The quick tests with the oldest versions that pyproject.toml promises to work with.

    python tests/minimums.py

makes an environment in a temporary folder with version X of every requirement `name>=X`, and runs
`pytest -m quick` in it. A success is noted in the user's cache folder with a hash of the
requirements, and the next call with the same requirements says so and ends.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def promised() -> list[Requirement]:
    """The requirements of minigen and of its tests that apply to this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    return [r for r in map(Requirement, texts) if r.marker is None or r.marker.evaluate()]


def oldest(requirement: Requirement) -> str:
    """name==X for name>=X."""
    (version,) = (s.version for s in requirement.specifier if s.operator == ">=")
    return f"{requirement.name}=={version}"


def main() -> int:
    pins = [oldest(requirement) for requirement in promised()]
    key = hashlib.sha256(json.dumps([sys.version_info[:2], pins]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "minigen")
    done = cache / f"minimums-{key}"
    if done.exists():
        print(f"minimums: passed before, {' '.join(pins)}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *pins], check=True)
        tests = [python, "-m", "pytest", "-m", "quick", "-p", "no:cacheprovider"]
        # Some old packages change the locale, and tests read files that are in UTF-8. Scripts that
        # tests run find minigen by PYTHONPATH, as it is not installed here.
        env = os.environ | {"PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
        code = subprocess.run(tests, cwd=ROOT, env=env, check=False).returncode
    if code == 0:
        cache.mkdir(parents=True, exist_ok=True)
        done.touch()
    return code


if __name__ == "__main__":
    sys.exit(main())
