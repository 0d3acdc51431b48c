"""A PTY kept while its process becomes another program: nothing is lost or left behind."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

if not Path("/proc/self/fd").exists():
    pytest.skip("counts descriptors in /proc", allow_module_level=True)

from cmdop.errors import ShellLost
from cmdop.ptyhost.child import ReapedChild, WaitedChild
from cmdop.ptyhost.factory import open_pty, take_over
from cmdop.ptyhost.interface import Exited, PtyClosed
from cmdop.ptyhost.posix import take_over_posix_pty
from cmdop.winsize import DEFAULT_WINSIZE
from tests.ptyhost.driver import ENV, UNIT_SECONDS, Screen, gone_within, sh

ROOT = Path(__file__).parents[2]


class Renewed(NamedTuple):
    """What was known on the other side of the exec."""

    output: bytes
    exited: Exited
    flushes: int


@pytest.fixture(params=["launcher", "linux"] if sys.platform == "linux" else ["launcher"])
def start(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def renewed(start: str, script: str, before: str = "screen.until(b'ready')") -> Renewed:
    """Run the script in a PTY over an exec behind `before`; what came of it, all in order."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.ptyhost.renewed", start, script, before],
        cwd=ROOT,
        capture_output=True,
        timeout=3 * UNIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["same pid"]
    assert (told["inherited"], told["leaked"], told["zombies"]) == ([], 0, False)
    return Renewed(base64.b64decode(told["output"]), Exited(*told["exited"]), told["flushes"])


def test_output_goes_on_where_it_was_and_the_exit_status_comes(start: str) -> None:
    found = renewed(start, "echo ready; seq 1 200000; exit 7")
    assert found.output == b"ready\r\n" + b"".join(b"%d\r\n" % n for n in range(1, 200_001))
    assert found.exited == Exited(7)


def test_a_program_that_ended_unseen_before_the_exec_is_told_of_after_it(start: str) -> None:
    before = "import select; screen.until(b'ready'); select.select([pty._child.fileno()], [], [])"
    found = renewed(start, "echo ready; echo last; exit 3", before)
    assert found == (b"ready\r\nlast\r\n", Exited(3), 0)


def test_a_program_that_was_reaped_before_the_exec_is_told_of_after_it(start: str) -> None:
    found = renewed(start, "echo ready; echo last; kill -9 $$", "screen.until(b'ready'); pty.exit_status(10)")
    assert found == (b"ready\r\nlast\r\n", Exited(0, 9), 0)


def test_a_flush_that_nobody_saw_before_the_exec_is_seen_after_it(start: str) -> None:
    # Once the program has the signal, the line discipline has thrown its output away and noted so.
    script = "trap 'exit 4' INT; echo ready; while :; do echo y; done"
    before = "screen.until(b'ready'); pty.write(b'\\x03'); pty.exit_status(10)"
    found = renewed(start, script, before)
    assert (found.exited, found.flushes) == (Exited(4), 1)


def test_what_is_typed_after_the_exec_arrives(start: str) -> None:
    script = 'stty -echo; echo ready; read line; echo "<$line>"'
    found = renewed(start, script, "screen.until(b'ready'); pty.write(b'typed\\n')")
    assert found.output.endswith(b"<typed>\r\n")


def test_without_an_exec_it_goes_on_as_before() -> None:
    screen = Screen(open_pty(sh("echo ready; read line; echo after; exit 5"), ENV, "/", DEFAULT_WINSIZE))
    screen.until(b"ready")
    kept = screen.pty.hand_over()
    assert kept is not None
    assert os.get_inheritable(kept["master"])
    screen.pty.keep()
    assert not os.get_inheritable(kept["master"])
    screen.type(b"\n")
    output, exited = screen.to_the_end()
    assert output.endswith(b"after\r\n")
    assert exited == Exited(5)
    screen.pty.close()


def test_a_background_job_that_goes_on_writing_keeps_it_no_longer_than_without_an_exec() -> None:
    pty = open_pty(sh("trap '' HUP; yes & exit 6"), ENV, "/", DEFAULT_WINSIZE)
    Screen(pty).to_the_end()
    kept = pty.hand_over()
    assert kept is not None
    other = take_over({**kept, "master": os.dup(kept["master"])})
    with pytest.raises(PtyClosed):
        other.read()
    other.close()
    pty.close()


def test_a_closed_pty_is_not_handed_over() -> None:
    pty = open_pty(sh("cat"), ENV, "/", DEFAULT_WINSIZE)
    pty.close()
    assert pty.hand_over() is None
    pty.keep()


def test_what_is_handed_over_is_fit_for_json() -> None:
    pty = open_pty(sh("exit 3"), ENV, "/", DEFAULT_WINSIZE)
    pty.exit_status(UNIT_SECONDS)
    kept = pty.hand_over()
    assert json.loads(json.dumps(kept)) == kept
    pty.close()


def test_a_shell_that_cannot_be_kept_is_ended_and_said_to_be_lost() -> None:
    pty = open_pty(sh("cat"), ENV, "/", DEFAULT_WINSIZE)
    kept = pty.hand_over()
    assert kept is not None
    kept["master"] = os.dup(kept["master"])  # the PTY's own stays open for closing

    def adopt(pid: int) -> WaitedChild:
        raise OSError(24, os.strerror(24))

    with pytest.raises(ShellLost, match="Too many open files"):
        take_over_posix_pty(adopt, kept)
    assert gone_within(pty.pid)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept["master"])
    pty.close()


def test_a_thread_that_waits_for_a_child_leaves_it_to_be_reaped() -> None:
    """Else the exec might come between the reaping and whoever would be told."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], ENV)
    child = WaitedChild(pid)
    child._thread.join(UNIT_SECONDS)
    assert child.reaped is None
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) is not None
    assert child.exited() == child.reaped == Exited(9)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    child.release()
    child.release()


def test_a_child_that_outlives_its_release_is_reaped_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmdop.ptyhost.child.CLOSE_TIMEOUT_SECONDS", 0.01)
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, reading, 0)]
    child = WaitedChild(os.posix_spawn("/bin/cat", ["cat"], ENV, file_actions=actions))
    os.close(reading)
    child.release()
    os.close(writing)
    child._thread.join(UNIT_SECONDS)
    assert child.reaped == Exited(0)


def test_a_reaped_child_is_at_its_end_for_whoever_polls() -> None:
    child = ReapedChild(1, Exited(2))
    assert os.read(child.fileno(), 1) == b""
    assert child.exited() == child.reaped == Exited(2)
    child.release()
    child.release()
