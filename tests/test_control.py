"""The local control connection: one request, one answer, and no harm from anybody else."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest

from cmdop.control import ANSWER_MAX_BYTES, ControlServer, Line, ask, stay
from cmdop.errors import ConfigCorrupt
from cmdop.home import Home

NAME = "agent.json"
TIMEOUT_SECONDS = 10.0


def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"asked": request}


@pytest.fixture
def short_home() -> Iterator[Home]:
    """A home whose path is short enough for a socket beside it, wherever tests run."""
    with tempfile.TemporaryDirectory(prefix="cmdop-") as folder:
        yield Home(Path(folder))


@pytest.fixture
def server(short_home: Home) -> Iterator[ControlServer]:
    server = ControlServer(short_home, NAME, echo)
    yield server
    server.close()


def where(home: Home) -> str:
    """Where a server listens."""
    written = home.read_json(NAME)
    assert written is not None
    return str(written["address"])


def test_a_request_bytesis_answered(server: ControlServer, short_home: Home) -> None:
    assert ask(short_home, NAME, {"verb": "status", "ü": [1, None]}) == {"asked": {"verb": "status", "ü": [1, None]}}


def test_many_at_once_are_answered_one_after_the_other(server: ControlServer, short_home: Home) -> None:
    answers: list[Any] = []
    callers = [threading.Thread(target=lambda n=n: answers.append(ask(short_home, NAME, {"n": n}))) for n in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert sorted(answer["asked"]["n"] for answer in answers) == list(range(8))


def test_the_file_says_who_listens_and_only_the_user_can_read_it(server: ControlServer, short_home: Home) -> None:
    written = short_home.read_json(NAME)
    assert written is not None
    assert written["pid"] == os.getpid()
    if sys.platform != "win32":
        assert short_home.file(NAME).stat().st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="it has no umask")
def test_the_socket_is_the_users_alone_whatever_the_umask(short_home: Home) -> None:
    before = os.umask(0)
    try:
        server = ControlServer(short_home, NAME, echo)
    finally:
        os.umask(before)
    assert Path(where(short_home)).stat().st_mode & 0o077 == 0
    server.close()


def test_nobody_answers_where_nothing_runs(short_home: Home) -> None:
    assert ask(short_home, NAME, {}) is None


def test_closing_removes_every_trace_and_twice_is_quiet(short_home: Home) -> None:
    server = ControlServer(short_home, NAME, echo)
    server.close()
    server.close()
    assert os.listdir(short_home.path) == []
    assert ask(short_home, NAME, {}) is None
    assert "control" not in {thread.name for thread in threading.enumerate()}


def test_closing_right_after_an_answer_does_not_wait_for_another_caller(short_home: Home) -> None:
    for _ in range(200):
        server = ControlServer(short_home, NAME, echo)
        assert ask(short_home, NAME, {}) is not None
        server.close()


def test_a_wrong_key_is_refused_and_the_server_lives_on(server: ControlServer, short_home: Home) -> None:
    written = short_home.read_json(NAME)
    assert written is not None
    short_home.write_json("stranger.json", {**written, "key": "00" * 32})
    assert ask(short_home, "stranger.json", {}) is None
    assert ask(short_home, NAME, {"n": 1}) == {"asked": {"n": 1}}


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Windows has named pipes")
@pytest.mark.parametrize(
    "garbage", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x7f\xff\xff\xff", b"\x00\x00\x00\x05"]
)
def test_bytes_that_are_no_message_change_nothing(server: ControlServer, short_home: Home, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(where(short_home))
        stranger.sendall(garbage)
    assert ask(short_home, NAME, {"n": 1}) == {"asked": {"n": 1}}


GARBAGE = {
    "empty": b"",
    "no json": b"}{",
    "no object": b"[1]",
    "not utf-8": b"\xff\xfe\x00",
    "too long": b" " * (ANSWER_MAX_BYTES + 1),
    "too deep": b"[" * 100_000,
    "no key": b'{"ask": {}}',
    "a key of another type": b'{"key": [], "ask": {}}',
}


@pytest.mark.parametrize("request_bytes", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_request_that_is_none_changes_nothing(server: ControlServer, short_home: Home, request_bytes: bytes) -> None:
    with Client(where(short_home)) as caller:
        with contextlib.suppress(OSError):  # it may hang up before it has everything
            caller.send_bytes(request_bytes)
        with pytest.raises((EOFError, OSError)):
            caller.recv_bytes()
    assert ask(short_home, NAME, {"n": 1}) == {"asked": {"n": 1}}


def test_an_answer_that_fails_is_logged_and_the_next_one_is_given(short_home: Home) -> None:
    def fails_once(request: dict[str, Any]) -> dict[str, Any]:
        return {"is": 1 / request["by"]}

    server = ControlServer(short_home, NAME, fails_once)
    assert ask(short_home, NAME, {"by": 0}) is None
    assert ask(short_home, NAME, {"by": 1}) == {"is": 1.0}
    server.close()


def test_a_caller_that_leaves_without_asking_changes_nothing(server: ControlServer, short_home: Home) -> None:
    Client(where(short_home)).close()
    assert ask(short_home, NAME, {"n": 1}) == {"asked": {"n": 1}}


@pytest.mark.parametrize(
    "written", [{}, {"address": 5, "key": "zz"}, {"address": "/nowhere", "key": "00"}, {"address": "", "key": ""}]
)
def test_a_file_that_leads_nowhere_is_the_same_as_none(short_home: Home, written: dict[str, Any]) -> None:
    short_home.write_json(NAME, written)
    assert ask(short_home, NAME, {}) is None


def test_a_corrupt_file_is_said_and_set_aside(short_home: Home) -> None:
    short_home.write_bytes(NAME, b"{")
    with pytest.raises(ConfigCorrupt):
        ask(short_home, NAME, {})
    assert ask(short_home, NAME, {}) is None


KILLED = """
import sys
from pathlib import Path
from cmdop.control import ControlServer
from cmdop.home import Home
server = ControlServer(Home(Path(sys.argv[1])), sys.argv[2], lambda request: request)
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_server_leaves_is_the_same_as_none_and_the_next_one_starts(short_home: Home) -> None:
    arguments = [sys.executable, "-c", textwrap.dedent(KILLED), str(short_home.path), NAME]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert ask(short_home, NAME, {"n": 1}) == {"n": 1}
        process.kill()
    assert short_home.read_json(NAME) is not None
    assert ask(short_home, NAME, {}) is None
    server = ControlServer(short_home, NAME, echo)
    assert ask(short_home, NAME, {"n": 1}) == {"asked": {"n": 1}}
    server.close()
    assert os.listdir(short_home.path) == []


def test_a_home_whose_path_is_too_long_for_a_socket_works(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long-" * 30))
    server = ControlServer(home, NAME, echo)
    address = where(home)
    assert ask(home, NAME, {"n": 1}) == {"asked": {"n": 1}}
    server.close()
    assert not os.path.exists(address)
    assert not os.path.exists(os.path.dirname(address))
    assert os.listdir(home.path) == []


# -- who stays --------------------------------------------------------------------------------


@pytest.fixture
def stayed(short_home: Home) -> Iterator[queue.SimpleQueue[Line]]:
    """The connections of those who stay."""
    lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
    server = ControlServer(short_home, NAME, echo, lines.put)
    yield lines
    server.close()


def test_a_caller_may_stay_and_others_are_answered_meanwhile(stayed: queue.SimpleQueue[Line], short_home: Home) -> None:
    ours = stay(short_home, NAME)
    assert ours is not None
    theirs = stayed.get(timeout=TIMEOUT_SECONDS)
    assert ask(short_home, NAME, {"n": 1}) == {"asked": {"n": 1}}
    ours.send_bytes(b"there")
    theirs.send_bytes(b"and back")
    assert (theirs.recv_bytes(100), ours.recv_bytes(100)) == (b"there", b"and back")
    ours.close()
    with pytest.raises(EOFError):
        theirs.recv_bytes(100)
    theirs.close()


def test_nobody_stays_without_the_secret(stayed: queue.SimpleQueue[Line], short_home: Home) -> None:
    written = short_home.read_json(NAME)
    assert written is not None
    with Client(written["address"]) as caller:
        caller.send_bytes(b'{"key": "wrong", "ask": {"do": "stay"}}')
        with pytest.raises(EOFError):
            caller.recv_bytes()
    assert stayed.empty()


def test_where_nobody_may_stay_it_is_a_request_like_others(server: ControlServer, short_home: Home) -> None:
    line = stay(short_home, NAME)
    assert line is not None
    assert line.recv_bytes(1000) == b'{"asked": {"do": "stay"}}'
    line.close()


def test_there_is_nowhere_to_stay_where_nobody_listens(short_home: Home) -> None:
    assert stay(short_home, NAME) is None
    ControlServer(short_home, NAME, echo).close()
    short_home.write_json(NAME, {"address": str(short_home.path / "gone"), "key": "x"})
    assert stay(short_home, NAME) is None


def test_a_home_that_is_gone_does_not_keep_it_from_closing() -> None:
    with tempfile.TemporaryDirectory(prefix="cmdop-") as folder:
        server = ControlServer(Home(Path(folder)), NAME, echo)
    server.close()
