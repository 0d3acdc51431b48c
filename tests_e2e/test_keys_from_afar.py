"""An admin on any client makes, lists and revokes keys; the real relay never has a whole one."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cmdop.auth.keys import ApiKey, parse_key
from tests_e2e.conftest import User, as_operator, shell
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import GIVE_UP_SECONDS, START_SECONDS


def cmdop(stack: Stack, key: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of somebody who has only a key, far away from the relay's files."""
    return subprocess.run(
        [CMDOP, *words],
        env=stack.environment("afar", CMDOP_SERVER=stack.url, CMDOP_API_KEY=key),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    assert done.returncode == status, done
    return json.loads(done.stdout)


def made(stack: Stack, label: str, role: str) -> str:
    """A new key."""
    fields = document(
        cmdop(stack, stack.admin_key, "connect", "key", "create", "--label", label, "--role", role, "--json")
    )
    assert (fields["label"], fields["role"], fields["workspace"]) == (label, role, "production")
    return str(fields["key"])


def listed(stack: Stack) -> dict[str, dict[str, Any]]:
    keys = document(cmdop(stack, stack.admin_key, "connect", "key", "list", "--json"))
    return {key["label"]: key for key in keys}


def test_a_key_that_was_made_afar_opens_what_its_role_may(stack: Stack) -> None:
    operator, observer = made(stack, "bob", "operator"), made(stack, "olga", "observer")
    session = document(cmdop(stack, operator, "session", "create", "alpha", "--json"))["session_id"]
    assert cmdop(stack, operator, "session", "send", session, "echo from-bob\n").returncode == 0
    seen = document(cmdop(stack, observer, "session", "list", "--json"))
    assert [one["operator"] for one in seen if one["session_id"] == session] == ["bob"]
    refused = document(cmdop(stack, observer, "session", "send", session, "x", "--json"), 5)
    assert refused["error"]["code"] == "role-too-low"
    assert cmdop(stack, operator, "session", "close", session).returncode == 0
    assert listed(stack)["bob"]["last_used"] is not None or listed(stack)["bob"]["created"]


def test_a_machine_is_enrolled_with_a_key_that_was_made_afar(own_stack: Stack) -> None:
    own_stack.start_agent("gamma", made(own_stack, "machines", "agent"))
    assert own_stack.machines()["gamma"]["online"]


@pytest.mark.parametrize("words", [["create", "--label", "x", "--role", "admin"], ["list"], ["revoke", "0102"]])
def test_who_is_no_admin_is_told_what_it_takes(stack: Stack, words: list[str]) -> None:
    done = cmdop(stack, stack.operator_key, "connect", "key", *words)
    assert done.returncode == 5
    assert "keys needs the role admin, and this key has the role operator" in done.stderr


def test_a_revoked_key_ends_the_attach_of_who_has_it(stack: Stack, user: User) -> None:
    key = made(stack, "carl", "operator")
    carl = as_operator(user, stack)
    carl.env["CMDOP_API_KEY"] = key
    job = shell(carl, "beta")
    revoked = cmdop(stack, stack.admin_key, "connect", "key", "revoke", parse_key(key).key_id[:6], "--json")
    assert document(revoked)["closed_connections"] == 1
    assert job.wait(GIVE_UP_SECONDS) == 5
    assert b"the relay refused this key: it was revoked" in carl.terminal.rest()
    assert listed(stack)["carl"]["revoked"]
    again = document(cmdop(stack, key, "connect", "--list", "--json"), 5)
    assert again["error"]["code"] == "key-refused"


def test_the_last_admin_key_is_not_revoked_by_mistake(own_stack: Stack) -> None:
    own = parse_key(own_stack.admin_key)
    refused = cmdop(own_stack, own_stack.admin_key, "connect", "key", "revoke", own.masked)
    assert refused.returncode == 5
    assert "is the last admin key of the workspace production" in refused.stderr
    second = made(own_stack, "second", "admin")
    assert cmdop(own_stack, second, "connect", "key", "revoke", own.key_id).returncode == 0
    assert cmdop(own_stack, own_stack.admin_key, "connect", "key", "list").returncode == 5
    assert "second" in cmdop(own_stack, second, "connect", "key", "list").stdout


def shapes(secret: bytes) -> list[bytes]:
    """How a secret could lie about."""
    return [secret, secret.hex().encode(), base64.b64encode(secret), base64.urlsafe_b64encode(secret)]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="reads another process's memory")
def test_the_private_half_is_not_in_the_relays_records_memory_or_log(own_stack: Stack) -> None:
    keys: list[ApiKey] = [parse_key(made(own_stack, f"key {role}", role)) for role in ("operator", "observer", "agent")]
    session = document(cmdop(own_stack, keys[0].text, "session", "create", "alpha", "--json"))["session_id"]
    assert cmdop(own_stack, keys[1].text, "session", "read", session).returncode == 0
    assert own_stack.relay is not None
    records = b"".join(path.read_bytes() for path in own_stack.folder.glob("relay.db*") if path.is_file())
    memory = memory_of(own_stack.relay.process.pid)
    assert keys[0].key_id.encode() in records, "this is how it would look"
    assert keys[0].key_id.encode() in memory
    for key in keys:
        for private in (*shapes(key.secret), key.text.encode()[40:]):
            assert private not in records
            assert private not in memory
        assert key.relay_half not in records
        assert key.relay_half.hex().encode() not in records
        assert key.text not in own_stack.relay.log
        assert key.relay_half.hex() not in own_stack.relay.log


def memory_of(pid: int) -> bytes:
    """All that a process could read itself."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match is None:
                continue
            start, end = (int(each, 16) for each in match.groups())
            memory.seek(start)
            try:
                found.append(memory.read(end - start))
            except OSError:
                continue  # a page that is not really there
    return b"".join(found)
