"""`cmdop agent` as a user types it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cmdop.agent import daemon
from cmdop.agent.hosting import HOST_LOCK
from cmdop.agent.lockfile import LockFile, Released
from cmdop.agent.logfile import LOG_FILE
from cmdop.agent.process import LOCK
from cmdop.cli.agent import _span
from cmdop.cli.root import run
from cmdop.home import Home
from tests.agent import fake_agent

UNIT_SECONDS = 10.0


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home of our own, and the fake agent instead of ours."""
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    real = daemon.start

    def start(home: Home, options: Any, program: Any = None, **more: Any) -> dict[str, Any]:
        return real(home, options, (sys.executable, fake_agent.__file__), **more)

    monkeypatch.setattr(daemon, "start", start)
    yield home
    for lock in (LOCK, HOST_LOCK):
        pid = LockFile(home, lock).holder()
        if pid:
            os.kill(pid, signal.SIGKILL)


def test_start_status_restart_stop(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "start", "--name", "online", "--server", "ws://127.0.0.1:7420", "--api-key", "ck_x"]) == 0
    assert capsys.readouterr().out.endswith(": online is ONLINE in demo\n")
    assert run(["agent", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["name"], found["relay"]) == ("ONLINE", "online", "ws://127.0.0.1:7420")
    assert {"pid", "machine_id", "hostname", "workspace", "uptime_seconds", "sessions", "reason"} <= set(found)
    assert run(["agent", "restart"]) == 0
    assert run(["agent", "stop"]) == 0
    assert run(["agent", "status"]) == 4


def test_status_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    run(["agent", "start", "--name", "shell"])
    capsys.readouterr()
    assert run(["agent", "status"]) == 0
    shown = capsys.readouterr().out
    assert "verdict    ONLINE\n" in shown
    assert "machine    shell (8f23a4b0-0000-4000-8000-000000000000)\n" in shown
    assert re.search(r"^pid        \d+ \(its session host: \d+\)$", shown, re.M)
    assert "abcd1234  ann  1 attached  vim notes.txt\n" in shown


def test_a_refused_key_is_said_with_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "start", "--name", "refused", "--api-key", "ck_x"]) == 5
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("cmdop: the relay ws://relay refused the API key ck_abc…: it was revoked\n")


def test_a_second_agent_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run(["agent", "start", "--name", "online"])
    assert run(["agent", "start", "--name", "online"]) == 1
    assert "an agent is already running here (pid " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "stop"])
def test_no_agent_is_said_with_its_status(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert run(["agent", verb]) == 4
    assert capsys.readouterr().err == "cmdop: no agent is running here\nstart one: cmdop agent start\n"


def test_no_agent_is_said_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "status", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "agent-not-running"


def test_what_a_killed_agent_left_is_said_and_gone_on_with(where: Home, capsys: pytest.CaptureFixture[str]) -> None:
    run(["agent", "start", "--name", "shell"])
    capsys.readouterr()
    released, pid = Released(where, LOCK), LockFile(where, LOCK).holder()
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert released.within(UNIT_SECONDS)
    assert run(["agent", "status"]) == 4
    assert capsys.readouterr().err.splitlines() == [
        "cmdop: no agent is running here; the last one left 1 session",
        "go on with: cmdop agent start; or end what is left with: cmdop agent stop",
    ]
    assert run(["agent", "status", "--json"]) == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["details"]["sessions"]) == ("agent-died", "1 session")
    assert run(["agent", "start", "--name", "shell"]) == 0
    assert run(["agent", "stop"]) == 0
    assert LockFile(where, HOST_LOCK).holder() is None


def test_logs_prints_the_last_lines(where: Home, capsys: pytest.CaptureFixture[str]) -> None:
    where.write_bytes(LOG_FILE, b"one\ntwo\nthree\n")
    assert run(["agent", "logs", "-n", "2"]) == 0
    assert capsys.readouterr().out == "two\nthree\n"


def test_logs_follows_until_ctrl_c(where: Home) -> None:
    where.write_bytes(LOG_FILE, b"old\n")
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-u", "-m", "cmdop", "agent", "logs", "-f", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "old\n"
        with where.file(LOG_FILE).open("a") as log:
            log.write("new\n")
        assert logs.stdout.readline() == "new\n"
        logs.send_signal(signal.SIGINT)
        assert logs.wait(UNIT_SECONDS) == 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "?"), (0, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061.9, "1 d 1 h"), (59.9, "59 s")],
)
def test_a_span_of_time_is_told_in_its_two_largest_units(seconds: float | None, shown: str) -> None:
    assert _span(seconds) == shown
