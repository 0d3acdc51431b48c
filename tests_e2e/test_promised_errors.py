"""The errors that the documentation promises by their words, with the real relay and agents: text, status, way out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_e2e.conftest import clean_environment
from tests_e2e.stack import Stack, new_stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two machines that begin alike, and one that has gone."""
    folder = tmp_path_factory.mktemp("promised")
    running = new_stack(folder, clean_environment(folder), "prod-1", "prod-2", "vps-audi")
    relay = running.relay
    assert relay is not None
    since = relay.lines
    running.agents["vps-audi"].stop()
    relay.wait_line("agent .* disconnected", since)
    yield running
    running.close()


@pytest.fixture
def env(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """Somebody with an operator's key."""
    return {**clean_environment(tmp_path), "CMDOP_SERVER": stack.url, "CMDOP_API_KEY": stack.operator_key}


def cmdop(env: dict[str, str], *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CMDOP, *words],
        env=env,
        cwd=env["HOME"],
        input=typed,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def error_lines(env: dict[str, str], status: int, *words: str) -> list[str]:
    """What is said on stderr behind the `[connect]` lines."""
    done = cmdop(env, *words)
    assert (done.returncode, done.stdout) == (status, "")
    return [line for line in done.stderr.splitlines() if not line.startswith("[connect]")]


def test_an_ambiguous_machine_and_more_characters(env: dict[str, str], stack: Stack) -> None:
    said, hint, *candidates = error_lines(env, 3, "connect", "--no-interactive", "prod")
    assert said == 'cmdop: ambiguous machine "prod"'
    assert hint == "type more characters or use the UUID:"
    assert {line.split()[2] for line in candidates} == {"prod-1", "prod-2"}
    machine_id = stack.machines()["prod-2"]["machine_id"]
    for enough in ("prod-2", machine_id, machine_id[:8]):
        assert cmdop(env, "connect", "exec", enough, "--", "true").returncode == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (4, ("connect", "--no-interactive", "vps-audi")),
        (255, ("connect", "exec", "vps-audi", "--", "true")),  # any other status may be the command's
        (4, ("session", "create", "vps-audi")),
    ],
)
def test_an_offline_machine_and_its_daemon(env: dict[str, str], status: int, words: tuple[str, ...]) -> None:
    said, hint = error_lines(env, status, *words)
    assert said == 'cmdop: machine "vps-audi" is offline'
    assert "cmdop agent status" in hint


def test_a_call_before_the_password_was_said(env: dict[str, str], stack: Stack) -> None:
    machine = stack.environment("agent-prod-1")
    assert cmdop(machine, "agent", "password", "set", typed=f"{PASSWORD}\n").returncode == 0
    try:
        with_password = {**env, "CMDOP_AGENT_PASSWORD": PASSWORD}
        created = cmdop(with_password, "session", "create", "prod-1", "--json")
        session = json.loads(created.stdout)["session_id"]
        said, *_ = error_lines(env, 5, "session", "read", session)
        assert said == "cmdop: Session requires password. Authenticate via ConnectTerminal first."
        assert cmdop(with_password, "session", "close", session).returncode == 0
    finally:
        assert cmdop(machine, "agent", "password", "clear").returncode == 0


def test_a_workspace_without_a_key_and_the_login(env: dict[str, str], stack: Stack) -> None:
    without = {name: value for name, value in env.items() if name != "CMDOP_API_KEY"}
    login = ["login", "--server", stack.url, "--workspace", "production"]
    assert cmdop(without, *login, typed=f"{stack.operator_key}\n").returncode == 0
    assert cmdop(without, "connect", "exec", "prod-1", "--", "true").returncode == 0
    assert cmdop(without, "logout").returncode == 0
    said, *hint = error_lines(without, 5, "connect", "--workspace", "production", "--no-interactive", "prod-1")
    assert said == 'cmdop: no API key for workspace "production"'
    assert "cmdop connect key set" in " ".join(hint)
    assert "cmdop login" in " ".join(hint)
