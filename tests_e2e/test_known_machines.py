"""Machines are known by their keys: told at first sight, and refused when the key has changed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from cmdop.auth.fingerprint import fingerprint
from tests_e2e.conftest import User, shell
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import GIVE_UP_SECONDS, START_SECONDS


@pytest.fixture
def ann(user: User, own_stack: Stack) -> User:
    """Somebody with a key who has seen no machine yet."""
    user.env |= {"CMDOP_SERVER": own_stack.url, "CMDOP_API_KEY": own_stack.operator_key}
    return user


def says(somebody: User, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CMDOP, *words],
        env=somebody.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def change_key(stack: Stack, name: str) -> None:
    """The same machine to the relay, with another key: it dies, and somebody else answers for it."""
    host_pid = stack.status(name)["host_pid"]
    stack.kill_agent(name)
    os.kill(host_pid, signal.SIGKILL)
    key = stack.folder / f"agent-{name}" / "cmdop" / "machine.key"
    assert len(key.read_bytes()) == 32
    key.write_bytes(os.urandom(32))
    stack.start_agent(name)


def leave(somebody: User) -> None:
    somebody.terminal.type(b"\x04")


def test_the_first_sight_is_told_with_the_fingerprint_that_the_machine_shows(ann: User, own_stack: Stack) -> None:
    shown = own_stack.status("alpha")["fingerprint"]
    assert shown == fingerprint(own_stack.sighting("alpha").key)
    job = ann.cmdop("connect", "alpha")
    said = re.sub(rb"\s+", b" ", ann.terminal.expect(rb"attached", START_SECONDS))
    lines = said.split(b"[connect] ")
    assert [line.split(b" ")[0] for line in lines[1:]] == [b"resolving", b"dialing", b"alpha", b"auth", b"attached"]
    assert lines[3].strip() == f"alpha is new here: its key is {shown}".encode()
    leave(ann)
    assert job.wait() == 0
    ann.terminal.rest()
    job = ann.cmdop("connect", "alpha")
    assert b"new here" not in ann.terminal.expect(rb"attached", START_SECONDS)
    leave(ann)
    assert job.wait() == 0
    kept = Path(ann.env["CMDOP_HOME"]) / "known_machines.json"
    assert [machine["name"] for machine in json.loads(kept.read_text())["machines"]] == ["alpha"]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_changed_key_is_refused_until_it_is_accepted(ann: User, own_stack: Stack) -> None:
    before = own_stack.status("alpha")["fingerprint"]
    session = json.loads(says(ann, "session", "create", "alpha", "--json").stdout)["session_id"]
    assert session
    change_key(own_stack, "alpha")
    after = own_stack.status("alpha")["fingerprint"]
    assert after != before
    for words in (["connect", "alpha"], ["session", "create", "alpha"], ["connect", "alpha", "-q"]):
        done = says(ann, *words)
        assert done.returncode == 5, done
        assert f"the key of alpha has CHANGED: it is {after} now, and was {before} since 2" in done.stderr
        assert "somebody else answers in its place" in done.stderr
        assert "cmdop connect machine accept alpha" in done.stderr
    failed = json.loads(says(ann, "connect", "alpha", "--json").stdout)["error"]
    assert (failed["code"], failed["details"]["fingerprint"]) == ("machine-changed", after)
    assert own_stack.status("alpha")["sessions"] == [], "nobody came in"

    refused = says(ann, "connect", "machine", "accept", "alpha", "--fingerprint", before)
    assert refused.returncode == 5
    accepted = says(ann, "connect", "machine", "accept", "alpha", "--fingerprint", after)
    assert (accepted.returncode, accepted.stderr) == (
        0,
        f"alpha is known with the key {after} now, and no more with {before}\n",
    )
    job = shell(ann, "alpha")
    leave(ann)
    assert job.wait() == 0
    assert says(ann, "connect", "machine", "forget", "alpha").returncode == 0
    assert "alpha is new here" in says(ann, "session", "create", "alpha").stderr


def test_strict_lets_in_known_machines_only(ann: User, own_stack: Stack) -> None:
    refused = says(ann, "session", "create", "alpha", "--machine-keys", "strict")
    assert refused.returncode == 5
    assert own_stack.status("alpha")["fingerprint"] in refused.stderr
    refused = says(ann, "connect", "alpha", "--no-interactive", "--machine-keys", "strict")
    assert refused.returncode == 5
    assert "[connect] dialing relay ... failed" in refused.stderr
    assert own_stack.status("alpha")["sessions"] == []
    assert says(ann, "connect", "machine", "accept", "alpha").returncode == 0
    assert says(ann, "session", "create", "alpha", "--machine-keys", "strict").returncode == 0


def test_an_attach_does_not_come_back_to_another_key_than_it_began_with(ann: User, own_stack: Stack) -> None:
    job = shell(ann, "alpha")
    change_key(own_stack, "alpha")
    # Even when somebody has accepted it meanwhile: this attach began with the other one.
    assert says(ann, "connect", "machine", "accept", "alpha").returncode == 0
    assert job.wait(GIVE_UP_SECONDS) == 5
    assert b"the key of alpha has CHANGED" in ann.terminal.rest()


def test_a_corrupt_file_is_set_aside_and_told(ann: User) -> None:
    assert says(ann, "session", "list").returncode == 0
    kept = Path(ann.env["CMDOP_HOME"]) / "known_machines.json"
    kept.write_text("{")
    strict = says(ann, "session", "create", "alpha", "--machine-keys", "strict")
    assert strict.returncode == 1
    assert f"{kept}.corrupt-1" in strict.stderr
    assert Path(f"{kept}.corrupt-1").read_text() == "{"
    kept.write_text("[")
    accepting = says(ann, "session", "create", "alpha")
    assert accepting.returncode == 0
    assert f"{kept} cannot be read, so no machine is known any more" in accepting.stderr
    assert "alpha is new here" in accepting.stderr
    assert Path(f"{kept}.corrupt-2").read_text() == "["
