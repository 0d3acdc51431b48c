"""A lock on an open file: between processes and within one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cmdop.filelock import lock, unlock

HOLD = """
import os, sys
from cmdop.filelock import lock
assert lock(os.open(sys.argv[1], os.O_RDWR), blocking=False)
print("held", flush=True)
sys.stdin.read()
"""


def test_one_descriptor_has_it_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    one, two = (os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for _ in range(2))
    assert lock(one, blocking=False)
    assert not lock(two, blocking=False)
    unlock(one)
    assert lock(two, blocking=True)
    os.close(two)
    assert lock(one, blocking=False)
    os.close(one)


def test_it_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    fd = os.open(path, os.O_RDWR)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert not lock(fd, blocking=False)
        process.kill()
        assert lock(fd, blocking=True)
    os.close(fd)
