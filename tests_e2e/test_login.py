"""Logging in and out at a real terminal, with the real relay."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cmdop.auth.keys import new_workspace_key
from tests_e2e.conftest import User, clean_environment
from tests_e2e.stack import Stack, new_stack
from tests_e2e.terminal import CMDOP, Job
from tests_e2e.timing import START_SECONDS

STRANGER = new_workspace_key().text


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A relay and nobody on it."""
    folder = tmp_path_factory.mktemp("stack")
    running = new_stack(folder, clean_environment(folder))
    yield running
    running.close()


def log_in(user: User, url: str, key: str, *words: str) -> Job:
    """Answer both questions."""
    job = user.cmdop("login", *words)
    user.terminal.expect_exact(b"Relay URL", START_SECONDS)
    user.terminal.type(url.encode() + b"\r")
    user.terminal.expect_exact(b"API key", START_SECONDS)
    user.terminal.type(key.encode() + b"\r")
    return job


def ended(user: User, job: Job, status: int) -> bytes:
    """What a job still said that ends with this status."""
    assert job.wait(START_SECONDS) == status
    return user.terminal.rest()


def workspaces(user: User) -> dict[str, dict[str, Any]]:
    """What is known and kept, by name."""
    command = [CMDOP, "connect", "workspace", "list", "--json"]
    listed = subprocess.run(command, env=user.env, capture_output=True, text=True, check=True).stdout
    return {row["workspace"]: row for row in json.loads(listed)}


def everything_kept(user: User) -> bytes:
    folder = Path(user.env["CMDOP_HOME"])
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def never_shown(user: User, key: str) -> bool:
    """Not even a part of it, wherever a line broke. Its id, which is shown, is written otherwise."""
    return not any(key[at : at + 8].encode() in user.terminal.seen for at in range(3, len(key) - 8))


def test_a_key_is_typed_unseen_and_kept_once_the_relay_knows_it(user: User, stack: Stack) -> None:
    before = user.terminal.stty()
    said = ended(user, log_in(user, stack.url, stack.operator_key), 0)
    assert f'logged in to {stack.url} as ann (operator); "production" is the active workspace'.encode() in said
    assert never_shown(user, stack.operator_key)
    assert user.terminal.stty() == before
    assert workspaces(user)["production"]["role"] == "operator"
    assert b"no machines in workspace" in ended(user, user.cmdop("connect", "--list"), 0)
    folder = Path(user.env["CMDOP_HOME"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_key_that_the_relay_does_not_know_is_not_kept(user: User, stack: Stack) -> None:
    said = ended(user, log_in(user, stack.url, STRANGER), 5)
    assert b"refused the API key" in said
    assert workspaces(user) == {}
    assert STRANGER.encode() not in everything_kept(user)


def test_a_relay_that_is_not_there_is_said_and_nothing_is_kept(user: User, stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = f"ws://127.0.0.1:{free.getsockname()[1]}"
    said = ended(user, log_in(user, nowhere, stack.operator_key), 4)
    assert f"cannot reach the relay {nowhere}".encode() in said
    assert workspaces(user) == {}


@pytest.mark.parametrize("question", [b"Relay URL", b"API key"])
@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_leaves_and_keeps_nothing(user: User, stack: Stack, question: bytes, how: str) -> None:
    before = user.terminal.stty()
    job = user.cmdop("login")
    user.terminal.expect_exact(b"Relay URL", START_SECONDS)
    if question == b"API key":
        user.terminal.type(stack.url.encode() + b"\r")
        user.terminal.expect_exact(question, START_SECONDS)
    if how == "key":
        user.terminal.type(b"\x03")
    else:
        job.signal(signal.SIGINT)
    said = ended(user, job, 130)
    assert b"cancelled: nothing was kept" in said
    assert b"Traceback" not in said
    assert user.terminal.stty() == before
    assert not Path(user.env["CMDOP_HOME"]).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_question_leaves_the_terminal_as_it_was(user: User, number: int) -> None:
    before = user.terminal.stty()
    job = user.cmdop("login")
    user.terminal.expect_exact(b"Relay URL", START_SECONDS)
    job.signal(number)
    assert b"Traceback" not in ended(user, job, 128 + number)
    assert user.terminal.stty() == before


def test_ctrl_c_while_the_relay_is_silent_keeps_nothing(user: User, stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(START_SECONDS)
        job = log_in(user, f"ws://127.0.0.1:{silent.getsockname()[1]}", stack.operator_key)
        accepted, _ = silent.accept()
        with accepted:
            accepted.settimeout(START_SECONDS)
            assert accepted.recv(1)
            user.terminal.type(b"\x03")
            ended(user, job, 130)
    assert not Path(user.env["CMDOP_HOME"]).exists()


def test_nothing_is_asked_where_that_is_not_wanted(user: User, stack: Stack) -> None:
    said = ended(user, user.cmdop("login", "--no-interactive", "--server", stack.url), 2)
    assert b"the API key is missing, and nobody may be asked for it" in said
    assert b"API key:" not in user.terminal.seen


@pytest.mark.parametrize("lines", [1, 2])
def test_a_script_writes_the_key_to_standard_input(user: User, stack: Stack, lines: int) -> None:
    words, written = (["--server", stack.url], "") if lines == 1 else ([], f"{stack.url}\n")
    done = subprocess.run(
        [CMDOP, "login", "--json", *words],
        env=user.env,
        input=f"{written}{stack.admin_key}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    fields = json.loads(done.stdout)
    assert (fields["workspace"], fields["operator"], fields["role"]) == ("production", "admin", "admin")
    assert stack.admin_key not in done.stdout


def test_two_workspaces_are_used_in_turn_and_left(user: User, stack: Stack) -> None:
    """The same relay has both; they differ in nothing but the key."""
    made = stack.run("relay", "workspace", "create", f"second-{os.getpid()}", "--db", str(stack.folder / "relay.db"))
    ended(user, log_in(user, stack.url, stack.operator_key), 0)
    ended(user, log_in(user, stack.url, made.strip(), "--workspace", "second"), 0)
    assert {name: row["active"] for name, row in workspaces(user).items()} == {"production": False, "second": True}

    assert b'there is no workspace "third" here' in ended(user, user.cmdop("connect", "workspace", "use", "third"), 3)
    assert ended(user, user.cmdop("connect", "workspace", "use", "production"), 0)
    assert b'workspace "production"' in ended(user, user.cmdop("connect", "--list"), 0)
    assert b'workspace "second-' in ended(user, user.cmdop("connect", "--list", "--workspace", "second"), 0)

    assert b'of workspace "production" is forgotten' in ended(user, user.cmdop("logout"), 0)
    assert b'no API key for workspace "production"' in ended(user, user.cmdop("connect", "--list"), 5)
    assert ended(user, user.cmdop("logout"), 5)
    assert stack.operator_key.encode() not in everything_kept(user)

    assert ended(user, user.cmdop("connect", "workspace", "remove", "second"), 0)
    assert made.strip().encode() not in everything_kept(user)
    assert list(workspaces(user)) == ["production"]
