"""`cmdop demo`: the three real programs on this machine, and nothing left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.agent.hosting import HOST_LOCK
from cmdop.agent.lockfile import LockFile
from cmdop.auth.device import device_key
from cmdop.cli import demo as demo_module
from cmdop.cli.demo import MACHINE, LocalStack, _environment, local_stack
from cmdop.cli.progress import Silent
from cmdop.cli.root import run
from cmdop.client.connect import TerminalAbout, Wanted, join_session
from cmdop.errors import DemoFailed
from cmdop.home import Home
from cmdop.winsize import DEFAULT_WINSIZE
from tests.cli.process import TIMEOUT_SECONDS, environment
from tests.client.trusting import Trusting

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it wants a PTY")

Said = pytest.CaptureFixture[str]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where temporary files go: a short path, as sockets are among them."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


def test_from_a_pipe_it_shows_one_command_and_leaves_nothing_behind(home: Home, scratch: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cmdop", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(home, TMPDIR=str(scratch)),
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"hello from {os.uname().nodename}, through a relay that cannot read this"
    assert second == f"{os.uname().sysname} {os.uname().release} {os.uname().machine}"
    assert done.stderr == ""
    assert list(scratch.iterdir()) == []
    assert not home.path.exists()


def test_the_stack_runs_and_ends_with_its_block_and_what_is_kept_is_used_again(home: Home) -> None:
    with local_stack(home) as first:
        assert isinstance(first, LocalStack)
        assert alive(first.relay_pid)
        assert alive(first.agent_pid)
        assert first.credential.workspace == "demo"
    assert not alive(first.relay_pid)
    assert not alive(first.agent_pid)
    assert "online" in home.file("agent.demo.log").read_text()
    assert first.credential.key.text not in home.file("agent.demo.log").read_text()
    with local_stack(home) as again:
        assert again.credential.key == first.credential.key


def test_the_stack_ends_with_an_exception_too(home: Home) -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with local_stack(home) as stack:
            pids.extend((stack.relay_pid, stack.agent_pid))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


def test_an_agent_that_was_killed_leaves_no_session_host(home: Home) -> None:
    with local_stack(home) as stack:
        wanted = Wanted(MACHINE, TerminalAbout(DEFAULT_WINSIZE, "dumb"), new=True)
        joined = join_session(stack.credential, device_key(home), Trusting(), wanted, Silent())
        host = LockFile(home, HOST_LOCK).holder()
        assert host
        os.kill(stack.agent_pid, signal.SIGKILL)
    joined.stream.connection.close()
    assert LockFile(home, HOST_LOCK).holder() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_neither_processes_nor_files(home: Home, scratch: Path, number: signal.Signals) -> None:
    """Sent while they start: the relay runs already."""
    code = (
        "import os, signal, sys\n"
        "from cmdop.cli import demo\n"
        "from cmdop.cli.root import run\n"
        "def key(*_):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    raise SystemExit(99)\n"
        "demo._workspace_key = key\n"
        "started = []\n"
        "popen = demo.subprocess.Popen\n"
        "def Popen(*a, **k):\n"
        "    started.append(popen(*a, **k)); return started[-1]\n"
        "demo.subprocess.Popen = Popen\n"
        "status = run(['demo'])\n"
        "print(status, [process.poll() is not None for process in started])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(home, TMPDIR=str(scratch)),
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    expected = 130 if number == signal.SIGINT else 128 + number
    assert (done.stdout, done.stderr) == (f"{expected} [True]\n", "")
    assert list(scratch.iterdir()) == []


def _start_with_a_bad_key(home: Home) -> None:
    argv = ["agent", "start", "--foreground", "--server", "ws://127.0.0.1:1"]
    with demo_module._program(home, "agent", argv, "online", CMDOP_API_KEY="nonsense"):
        pytest.fail("it started")


def test_a_program_that_does_not_start_is_said_with_its_last_words(home: Home) -> None:
    home.folder()
    with pytest.raises(DemoFailed) as caught, demo_module._program(home, "relay", ["nonsense"], "ready"):
        pytest.fail("it started")
    assert 'no such command "nonsense"' in caught.value.sentence
    with pytest.raises(DemoFailed, match=r"not an API key: it does not begin with ck_$"):
        _start_with_a_bad_key(home)
    assert caught.value.next_step == "run it with --keep DIR and look into DIR/relay.demo.log"


def test_a_folder_that_cannot_be_used_is_said(home: Home, capsys: Said) -> None:
    home.path.write_bytes(b"a file in its place")
    assert run(["demo", "--keep", str(home.path)]) == 1
    assert capsys.readouterr().err.startswith(f"cmdop: {home.path} cannot be used: ")


def test_its_programs_see_nothing_of_the_user_s_own_cmdop(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", "ck_mine")
    monkeypatch.setenv("CMDOP_SERVER", "ws://mine")
    monkeypatch.setenv("CMDOP_HOME", "/mine")
    seen = {name: value for name, value in _environment(home, CMDOP_API_KEY="ck_x").items() if "CMDOP" in name}
    assert seen == {"CMDOP_HOME": str(home.path), "CMDOP_API_KEY": "ck_x"}
