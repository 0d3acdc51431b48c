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
from cmdop.agent.process import LOCK, PROXIES_FILE, START_FILE
from cmdop.agent.verdict import STARTING
from cmdop.cli.agent import _span, _tell_started
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
    assert run(["agent", "start", "--name", "discreet", "--server", "ws://127.0.0.1:7420", "--api-key", "ck_x"]) == 0
    assert capsys.readouterr().out.endswith(": discreet is ONLINE in demo\n")
    assert run(["agent", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["name"], found["relay"]) == ("ONLINE", "discreet", "ws://127.0.0.1:7420")
    assert {"pid", "machine_id", "hostname", "workspace", "uptime_seconds", "sessions", "reason", "hint"} <= set(found)
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


PROXY = "http://ann:hush@proxy.example.org:3128"


def told(home: Home) -> dict[str, Any]:
    """What the service was told of the way to its relay."""
    found = daemon.status(home)
    return {name: found[name] for name in ("proxies", "ca_file")}


def test_the_proxies_of_a_start_are_those_of_every_restart(where: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert run(["agent", "start", "--name", "shell"]) == 0
    said = {"HTTPS_PROXY": PROXY, "NO_PROXY": "example.com"}
    assert told(where)["proxies"] == said
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.delenv("NO_PROXY")
    assert run(["agent", "restart"]) == 0
    assert told(where)["proxies"] == said
    assert json.loads(where.file(PROXIES_FILE).read_text()) == said


def test_a_restart_in_an_environment_with_proxies_takes_those(where: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    run(["agent", "start", "--name", "shell"])
    monkeypatch.setenv("HTTPS_PROXY", "http://other")
    run(["agent", "restart"])
    assert told(where)["proxies"] == {"HTTPS_PROXY": "http://other"}
    monkeypatch.setenv("HTTPS_PROXY", "")
    run(["agent", "restart"])
    assert told(where)["proxies"] == {}
    monkeypatch.delenv("HTTPS_PROXY")
    run(["agent", "restart"])
    assert told(where)["proxies"] == {}
    assert not where.file(PROXIES_FILE).exists()


def test_another_start_is_not_bound_by_the_proxies_of_the_last_one(
    where: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    run(["agent", "start", "--name", "online"])
    run(["agent", "stop"])
    monkeypatch.delenv("ALL_PROXY")
    run(["agent", "start", "--name", "online"])
    assert told(where)["proxies"] == {}
    assert not where.file(PROXIES_FILE).exists()


def test_a_scheduled_task_starts_it_with_the_proxies_of_the_last_start(
    where: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    run(["agent", "start", "--name", "online"])
    run(["agent", "stop"])
    monkeypatch.delenv("ALL_PROXY")
    words = [sys.executable, fake_agent.__file__, "agent", "start", "--foreground", "--as-before", "--name", "online"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as agent:
        assert daemon.started_by_another(where, UNIT_SECONDS) is not None
        assert told(where)["proxies"] == {"ALL_PROXY": PROXY}
        daemon.stop(where)
        agent.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are not a matter of modes there")
def test_a_proxys_password_is_in_one_private_file_and_nowhere_to_be_seen(
    where: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    run(["agent", "start", "--name", "online"])
    run(["agent", "status"])
    assert "hush" not in capsys.readouterr().out
    assert "hush" not in str(daemon.status(where)["argv"])
    with_it = [path.name for path in where.path.iterdir() if path.is_file() and b"hush" in path.read_bytes()]
    assert with_it == [PROXIES_FILE]
    assert where.file(PROXIES_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["option", "CMDOP_CA_FILE", "SSL_CERT_FILE"])
def test_the_agent_keeps_the_file_of_its_authorities_by_its_whole_name(
    where: Home, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--ca-file", "ca.pem"] if how == "option" else []
    if not words:
        monkeypatch.setenv(how, "ca.pem")
    run(["agent", "start", "--name", "shell", *words])
    whole = str(tmp_path / "ca.pem")
    assert told(where)["ca_file"] == whole
    assert json.loads(where.file(START_FILE).read_text())["ca_file"] == whole
    monkeypatch.delenv(how, raising=False)
    monkeypatch.chdir("/")
    run(["agent", "restart"])
    assert told(where)["ca_file"] == whole


def test_the_next_start_trusts_whom_the_last_one_did_as_long_as_the_relay_is_that_one(
    where: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/usual.pem")

    def trusted(*words: str) -> str:
        assert run(["agent", "start", "--name", "shell", *words]) == 0
        found = told(where)["ca_file"]
        assert run(["agent", "stop"]) == 0
        return str(found)

    assert trusted("--server", "wss://relay.example.org", "--ca-file", "/own.pem") == "/own.pem"
    assert trusted("--server", "relay.example.org") == "/own.pem"
    assert trusted() == trusted() == "/own.pem"
    assert trusted("--ca-file", "/other.pem") == trusted() == "/other.pem"
    assert trusted("--server", "wss://another.example.org") == "/usual.pem"
    where.file(START_FILE).write_text("[")
    assert trusted() == "/usual.pem"


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


def test_an_agent_that_is_not_online_yet_says_why_and_how_to_start_it_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A first start without --ca-file, say: the next one is refused while this agent runs."""
    about = {"reason": "the relay is not to be \x1btrusted", "hint": "name its certificate: --ca-file FILE"}
    _tell_started({"pid": 7, "verdict": STARTING, **about})
    assert capsys.readouterr().out == (
        "the agent runs (pid 7), but is not online yet: the relay is not to be ?trusted\n"
        "name its certificate: --ca-file FILE\n"
        "look again with: cmdop agent status; for other options run cmdop agent stop first\n"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "?"), (0, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061.9, "1 d 1 h"), (59.9, "59 s")],
)
def test_a_span_of_time_is_told_in_its_two_largest_units(seconds: float | None, shown: str) -> None:
    assert _span(seconds) == shown
