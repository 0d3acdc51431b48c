from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cmdop.agent.lockfile import LockFile, Released
from cmdop.errors import HomeUnusable
from cmdop.home import Home

UNIT_SECONDS = 10.0
HOLD = """
import sys
from pathlib import Path
from cmdop.agent.lockfile import LockFile
from cmdop.home import Home
lock = LockFile(Home(Path(sys.argv[1])), "x.lock")
assert lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def hold(home: Home) -> subprocess.Popen[bytes]:
    """A process that holds the lock until its stdin ends."""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", HOLD, str(home.path)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_one_process_has_it_and_says_who_it_is(home: Home) -> None:
    lock = LockFile(home, "x.lock")
    assert lock.holder() is None
    with hold(home) as process:
        assert not lock.acquire()
        assert lock.holder() == process.pid
        process.communicate(b"")
    assert lock.holder() is None
    assert lock.acquire()
    assert lock.holder() == os.getpid()
    lock.release()
    lock.release()
    assert lock.holder() is None


def test_it_dies_with_its_process_and_whoever_waits_is_woken(home: Home) -> None:
    with hold(home) as process:
        released = Released(home, "x.lock")
        assert not released.within(0.0)
        process.send_signal(signal.SIGKILL)
        assert released.within(UNIT_SECONDS)
        assert LockFile(home, "x.lock").holder() is None


def test_a_program_that_its_holder_started_does_not_hold_it(home: Home) -> None:
    lock = LockFile(home, "x.lock")
    assert lock.acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        assert LockFile(home, "x.lock").holder() is None
        child.communicate(b"\n")


def test_looking_who_has_it_makes_no_file(home: Home) -> None:
    assert LockFile(home, "x.lock").holder() is None
    assert not home.path.exists()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnusable):
        LockFile(Home(tmp_path / "file" / "home"), "x.lock").acquire()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_link_in_its_place_is_not_followed_and_nothing_is_emptied(home: Home, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    home.folder()
    home.file("x.lock").symlink_to(precious)
    with pytest.raises(HomeUnusable, match=r"x\.lock"):
        LockFile(home, "x.lock").acquire()
    assert precious.read_text() == "kept"
