"""The agent as a unit of a real systemd, one of a user's, in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cmdop.agent.account import current_account
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import BULK_SECONDS, START_SECONDS, STEP_SECONDS

SYSTEMD = "/usr/lib/systemd/systemd"
CONFIG = Path(current_account(os.environ).home, ".config")
IN_ITS_OWN = (
    'mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && mount -t tmpfs none "$1" && exec "$2" --user'
)
"""systemd sees a machine that it has booted, and units that are only here."""


def why_not() -> str:
    """Why there can be no such systemd here, or an empty text."""
    missing = [name for name in ("unshare", "nsenter", "systemctl", "loginctl", SYSTEMD) if not shutil.which(name)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        return "only root may have a mount namespace"
    return "" if CONFIG.is_dir() and Path("/run/systemd").is_dir() else f"{CONFIG} or /run/systemd is missing"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can be tested")


class Systemd:
    """A user's systemd, and what is run beside it."""

    def __init__(self, runtime: Path, env: dict[str, str]) -> None:
        self.env = {**env, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(CONFIG.parent)}
        words = ["unshare", "--mount", "sh", "-c", IN_ITS_OWN, "sh", str(CONFIG), SYSTEMD]
        self.process = subprocess.Popen(words, env=self.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        # Nothing tells that it answers, so it is asked.
        while self.run("systemctl", "--user", "show-environment").returncode:
            assert self.process.poll() is None, "systemd does not run here"
            assert time.monotonic() < until

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", f"--target={self.process.pid}", "--mount", *words]
        return subprocess.run(
            inside, env=self.env, capture_output=True, text=True, timeout=BULK_SECONDS, check=False, cwd="/"
        )

    def agent(self, *words: str) -> str:
        """What a verb of `cmdop agent` says."""
        done = self.run(CMDOP, "agent", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def state(self) -> str:
        return self.run("systemctl", "--user", "is-active", "cmdop-agent").stdout.strip()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(STEP_SECONDS)


@pytest.fixture
def systemd(own_stack: Stack, tmp_path: Path) -> Iterator[Systemd]:
    (tmp_path / "run").mkdir(mode=0o700)
    running = Systemd(tmp_path / "run", own_stack.environment("agent-alpha"))
    yield running
    running.run(CMDOP, "agent", "uninstall")
    running.close()


def create_session(stack: Stack) -> str:
    asking = {"CMDOP_SERVER": stack.url, "CMDOP_API_KEY": stack.operator_key}
    session: str = json.loads(stack.run("session", "create", "alpha", "--json", **asking))["session_id"]
    return session


def next_agent(stack: Stack, before: dict[str, Any]) -> dict[str, Any]:
    """The status of an agent that came after that one, once it is online. It is looked at: nothing tells."""
    env, until = stack.environment("agent-alpha"), time.monotonic() + START_SECONDS
    while True:
        words = [CMDOP, "agent", "status", "--json"]
        told = json.loads(subprocess.run(words, env=env, capture_output=True, text=True, check=False).stdout)
        if told.get("verdict") == "ONLINE" and told["pid"] != before["pid"]:
            found: dict[str, Any] = told
            return found
        assert time.monotonic() < until, told


def what_is_kept(status: dict[str, Any]) -> tuple[int, list[str]]:
    return status["host_pid"], [session["session_id"] for session in status["sessions"]]


def test_the_shells_go_on_through_installing_a_crash_and_a_restart(own_stack: Stack, systemd: Systemd) -> None:
    session, before = create_session(own_stack), own_stack.status("alpha")
    assert json.loads(systemd.agent("install", "--json"))["runs"]
    assert own_stack.agents["alpha"].process.wait(STEP_SECONDS) == 0
    installed = next_agent(own_stack, before)
    assert what_is_kept(installed) == (before["host_pid"], [session])
    assert not json.loads(systemd.agent("install", "--json"))["changed"]
    assert own_stack.status("alpha")["pid"] == installed["pid"]
    os.kill(installed["pid"], signal.SIGKILL)
    again = next_agent(own_stack, installed)
    assert what_is_kept(again) == (before["host_pid"], [session])
    systemd.agent("restart")
    assert what_is_kept(next_agent(own_stack, again)) == (before["host_pid"], [session])
    assert systemd.state == "active"


def test_shells_of_a_host_in_the_units_own_control_group_outlive_its_agent(own_stack: Stack, systemd: Systemd) -> None:
    own_stack.run("agent", "stop", who="agent-alpha")
    systemd.agent("install")
    session, before = create_session(own_stack), own_stack.status("alpha")
    os.kill(before["pid"], signal.SIGKILL)
    assert what_is_kept(next_agent(own_stack, before)) == (before["host_pid"], [session])


@pytest.mark.parametrize("way", ["agent stop", "systemctl", "systemctl, of one that hangs", "uninstall"])
def test_a_stop_ends_the_agent_and_its_host_for_good(own_stack: Stack, systemd: Systemd, way: str) -> None:
    systemd.agent("install")
    status = own_stack.status("alpha")
    if "hangs" in way:
        os.kill(status["pid"], signal.SIGSTOP)
    if way.startswith("systemctl"):
        assert systemd.run("systemctl", "--user", "stop", "cmdop-agent").returncode == 0
    else:
        systemd.agent(way.removeprefix("agent "))
    until = time.monotonic() + STEP_SECONDS
    # A process may still be ending, and systemd noticing.
    while any(Path(f"/proc/{status[pid]}").exists() for pid in ("pid", "host_pid")) or systemd.state == "deactivating":
        assert time.monotonic() < until, systemd.state
    assert systemd.state in ("inactive", "failed")
    assert systemd.run(CMDOP, "agent", "status").returncode == 4
