"""`cmdop session` with the real relay and real agents: sessions used without attaching."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cmdop.auth.credentials import Credential
from cmdop.auth.keys import parse_key
from cmdop.client.calls import MachineCalls
from cmdop.client.connect import reach_relay
from cmdop.limits import GRACE_SECONDS, SESSIONS_MAX
from cmdop.wire.call_messages import CreateSession
from tests.client.trusting import Trusting
from tests_e2e.conftest import User, as_operator
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS

T = TypeVar("T")
PROMPT = rb"[$#] "


@dataclass(frozen=True)
class Said:
    status: int
    out: bytes
    err: str

    @property
    def document(self) -> Any:
        assert self.status == 0, self
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.out)["error"]
        return error


class Operator:
    """Somebody with a key, who types `cmdop session ...`."""

    def __init__(self, stack: Stack, key: str) -> None:
        self.key, self.url = key, stack.url
        self._env = stack.environment("operator", CMDOP_SERVER=stack.url, CMDOP_API_KEY=key)

    def session(self, *words: str, stdin: bytes = b"") -> Said:
        done = subprocess.run(
            [CMDOP, "session", *words],
            env=self._env,
            input=stdin,
            capture_output=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done
        return Said(done.returncode, done.stdout, done.stderr.decode())

    def create(self, host: str, *words: str) -> str:
        session_id = self.session("create", host, "--json", *words).document["session_id"]
        assert re.fullmatch("[0-9a-f]{16}", session_id)
        return str(session_id)

    def listed(self) -> dict[str, dict[str, Any]]:
        return {session["session_id"]: session for session in self.session("list", "--json").document}

    def until_read(self, session_id: str, pattern: bytes, since: int = 0) -> tuple[bytes, int]:
        """The output once it has this, and the offset behind it."""

        def read() -> tuple[bytes, int] | None:
            piece = self.session("read", session_id, "--since", str(since), "--json").document
            data = piece["data"].encode() if "data" in piece else base64.b64decode(piece["data_base64"])
            return (data, piece["next_offset"]) if re.search(pattern, data) else None

        return until(read)


def until(look: Callable[[], T | None]) -> T:
    """What is found at last. Nothing tells of it, so it is looked at again, a process at a time."""
    deadline = time.monotonic() + START_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
    return found


@pytest.fixture
def ann(stack: Stack) -> Operator:
    return Operator(stack, stack.operator_key)


# -- the life of a session ---------------------------------------------------------------------------


def test_a_session_is_opened_used_and_ended_without_attaching(ann: Operator, stack: Stack) -> None:
    made = ann.session("create", "alpha", "--name", "build", "--json").document
    one = made["session_id"]
    assert made["machine_id"] == stack.machines()["alpha"]["machine_id"]
    listed = ann.listed()[one]
    assert (listed["name"], listed["operator"], listed["clients"]) == ("build", "ann", [])
    assert one[:8].encode() in ann.session("list").out

    _, start = ann.until_read(one, PROMPT)
    assert ann.session("send", one[:8], "echo h''i\n") == Said(0, b"", "")
    shown, end = ann.until_read(one, rb"hi\r\n.*[$#] ", start)
    assert shown.startswith(b"echo h''i\r\nhi\r\n")
    assert ann.session("read", one, "--since", str(start)).out == shown
    assert ann.session("read", one, "--since", str(end)).out == b""

    assert ann.session("resize", one, "50", "132").status == 0
    ann.session("send", one, "stty size\n")
    _, end = ann.until_read(one, rb"50 132\r\n.*[$#] ", end)

    ann.session("send", one, "sleep 1000\n")
    until(lambda: ann.listed()[one]["command"] == "sleep 1000")
    assert ann.session("signal", one, "INT").status == 0
    ann.until_read(one, PROMPT, end)

    assert ann.session("close", one) == Said(0, b"", "")
    assert one not in ann.listed()
    gone = ann.session("read", one, "--json")
    assert (gone.status, gone.error["code"]) == (6, "session-gone")


def test_what_is_typed_from_a_pipe_arrives_byte_for_byte(ann: Operator, tmp_path: Path) -> None:
    data, taken = os.urandom(200_000), tmp_path / "taken"
    script = f"stty raw -echo; echo ready; head -c {len(data)} > {taken}; echo done; sleep 1000"
    one = ann.create("alpha", "--", "sh", "-c", script)
    ann.until_read(one, b"ready")
    assert ann.session("send", one, "-", "--json", stdin=data).document["sent_bytes"] == len(data)
    ann.until_read(one, b"done")
    assert hashlib.sha256(taken.read_bytes()).digest() == hashlib.sha256(data).digest()
    ann.session("close", one)


def test_output_is_read_byte_for_byte(ann: Operator, tmp_path: Path) -> None:
    data, source = os.urandom(300_000), tmp_path / "source"
    source.write_bytes(data)
    one = ann.create("alpha", "--", "sh", "-c", f"stty raw -echo; cat {source}; sleep 1000")
    until(lambda: len(ann.session("read", one).out) >= len(data))
    assert ann.session("read", one).out == data
    assert ann.session("read", one, "--since", "299999").out == data[-1:]
    ann.session("close", one)


def test_a_session_that_is_closed_takes_what_it_runs_with_it(ann: Operator, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    one = ann.create(
        "alpha", "--", "sh", "-c", f"trap '' HUP TERM; echo $$ > {pid_file}; echo up; while :; do sleep 9; done"
    )
    ann.until_read(one, b"up")
    assert ann.session("close", one).status == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


# -- which one, and where ------------------------------------------------------------------------------


def test_sessions_of_all_machines_are_found_by_the_beginning_of_their_ids(ann: Operator, stack: Stack) -> None:
    here, there = ann.create("alpha"), ann.create("beta")
    machines = stack.machines()
    listed = ann.listed()
    assert listed[here]["machine_id"] == machines["alpha"]["machine_id"]
    assert listed[there]["machine_id"] == machines["beta"]["machine_id"]
    for one in (here, there):
        ann.session("send", one[:8], f"echo on-{one}\n")
        ann.until_read(one[:8], f"on-{one}\r\n".encode())
        assert ann.session("close", one[:8]).status == 0


def test_an_older_session_is_found_though_the_directory_names_a_newer_one(ann: Operator) -> None:
    older, newer = ann.create("beta"), ann.create("beta")
    assert ann.session("resize", older, "30", "100").status == 0
    for one in (older, newer):
        assert ann.session("close", one).status == 0


def test_attach_joins_that_session_and_leaves_it_alive(user: User, ann: Operator, stack: Stack) -> None:
    as_operator(user, stack)
    one = ann.create("alpha", "--name", "kept")
    ann.until_read(one, PROMPT)
    ann.session("send", one, "echo bef''ore\n")
    ann.until_read(one, b"before")
    job = user.cmdop("session", "attach", one[:8])
    user.terminal.expect_exact(f"ok (session {one[:8]})".encode(), START_SECONDS)
    user.terminal.expect_exact(b"before\r\n", START_SECONDS)
    client = until(lambda: ann.listed()[one]["clients"])[0]
    assert (client["operator"], client["role"], client["winsize"]) == ("ann", "operator", {"rows": 24, "cols": 80})
    assert ann.listed()[one]["grace_seconds_left"] is None
    user.terminal.type(b"\x04")
    assert job.wait() == 0
    assert ann.listed()[one]["name"] == "kept"
    ann.session("close", one)


# -- how long it lives ------------------------------------------------------------------------------------


def test_its_own_time_counts_and_not_the_grace_of_an_attach(user: User, ann: Operator, stack: Stack) -> None:
    as_operator(user, stack)
    one = ann.create("alpha", "--idle", "10m")
    assert 2 * GRACE_SECONDS < ann.listed()[one]["grace_seconds_left"] <= 600
    job = user.cmdop("session", "attach", one)
    user.terminal.expect_exact(b"SIGINT\r\n", START_SECONDS)
    user.terminal.type(b"\x04")
    assert job.wait() == 0
    until(lambda: ann.listed()[one]["clients"] == [])
    assert 2 * GRACE_SECONDS < ann.listed()[one]["grace_seconds_left"] <= 600
    ann.session("close", one)


def test_a_session_that_nobody_uses_ends_when_its_time_is_over(ann: Operator) -> None:
    one = ann.create("alpha", "--idle", "2s")
    until(lambda: one not in ann.listed())
    assert ann.session("send", one, "x").status == 6


# -- who may, and how many ----------------------------------------------------------------------------------


def test_an_observer_lists_and_reads_and_the_machine_refuses_the_rest(ann: Operator, stack: Stack) -> None:
    words = ["relay", "key", "create", "--workspace", "production", "--label", "bob", "--role", "observer", "--json"]
    db = ["--db", str(stack.folder / "relay.db")]
    bob = Operator(stack, json.loads(stack.run(*words, *db, CMDOP_API_KEY=stack.admin_key))["key"])
    one = ann.create("alpha")
    ann.until_read(one, PROMPT)
    assert one in bob.listed()
    bob.until_read(one, PROMPT)
    for verb in (
        ["create", "alpha"],
        ["send", one, "x"],
        ["resize", one, "1", "1"],
        ["signal", one, "KILL"],
        ["close", one],
    ):
        said = bob.session(*verb, "--json")
        assert (said.status, said.error["code"]) == (5, "role-too-low"), verb
        assert said.error["hint"].endswith("--role operator"), verb
    assert one in ann.listed()
    ann.session("close", one)


def test_a_machine_has_so_many_sessions_and_then_says_so(own_stack: Stack) -> None:
    ann = Operator(own_stack, own_stack.operator_key)
    key = parse_key(ann.key)
    link = reach_relay(Credential(key, ann.url, "production"))
    calls = MachineCalls(lambda: link.open(link.machines()[0], key.role.attaches_as, key, os.urandom(32), Trusting()))
    for _ in range(SESSIONS_MAX):
        calls.create(CreateSession(command=("sleep", "1000")))
    calls.close()
    said = ann.session("create", "alpha")
    assert said.status == 6
    assert "it has 64 sessions already" in said.err
    assert len(ann.listed()) == SESSIONS_MAX
    one = next(iter(ann.listed()))
    assert ann.session("close", one).status == 0
    ann.create("alpha")
