"""Garbage, in small; fuzz.py does it in large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_garbage_breaks_nothing() -> None:
    program = [sys.executable, "-c", "import sys; from tests.screen.fuzz import run; [run(seed) for seed in range(12)]"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
