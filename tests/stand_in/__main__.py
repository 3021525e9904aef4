"""Run a script on the stand-in: python -m stand_in examples/vae.py --device cuda ..."""

import runpy
import sys

from stand_in import installed

with installed():
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
