"""Every verb with --json once, with a real relay and agent: its document is as its schema says.

`tests.documents` holds all documents that any test sees against their schemas; here no verb is left out.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.documents import ATTACHING, SCHEMAS, verb_of
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS

ELSEWHERE = {"cmdop agent uninstall"}
"""It would take away the service of whoever runs the tests; tests_e2e/test_service.py has a systemd of its own."""


class Everyday:
    """Somebody who uses every verb, and which ones that were."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self.seen = stack, set[str]()
        self._db = ["--db", str(stack.folder / "relay.db")]

    def runs(self, *words: str, typed: str = "", who: str = "ann", status: int = 0) -> Any:
        """The document of a command line, which ends with that status."""
        env = self._stack.environment(who, CMDOP_SERVER=self._stack.url)
        own = words[: words.index("--")] if "--" in words else words
        done = subprocess.run(
            [CMDOP, *own, "--json", *words[len(own) :]],
            env=env,
            cwd=env["HOME"],
            input=typed,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == status, (words, done.stdout, done.stderr)
        self.seen.add(verb_of(list(own)))
        if verb_of(list(own)) in (ATTACHING, "cmdop session attach"):
            return [json.loads(line) for line in done.stderr.splitlines()]
        return json.loads(done.stdout)

    def relay(self, *words: str, **more: Any) -> Any:
        return self.runs("relay", *words, *self._db, **more)


def test_every_verbs_document_is_as_its_schema_says(own_stack: Stack) -> None:
    somebody, key = Everyday(own_stack), own_stack.admin_key
    run, relay = somebody.runs, somebody.relay

    assert run("connect", "--list", status=5)["error"]["code"] == "no-api-key"
    run("login", "--server", own_stack.url, typed=f"{key}\n")
    run("logout")
    run("connect", "key", "set", "-", "--workspace", "production", typed=f"{key}\n")
    assert run("connect", "key", "get")["key"] == key
    run("connect", "workspace", "add", "other", "--server", "wss://relay.example.org")
    run("connect", "workspace", "use", "production")
    assert len(run("connect", "workspace", "list")) == 2
    run("connect", "workspace", "remove", "other")

    made = run("connect", "key", "create", "--label", "bob", "--role", "observer")
    assert len(run("connect", "key", "list")) == 3
    run("connect", "key", "revoke", made["key_id"])

    events = run("connect", "alpha", typed="exit 3\n", status=3)
    assert [event["event"] for event in events if event["event"] != "notice"] == [
        "resolved",
        "dialing",
        "first_sight",
        "auth",
        "attached",
        "ended",
    ]
    run("connect", "machine", "accept", "alpha")
    assert run("connect", "machine", "list")
    run("connect", "machine", "forget", "alpha")
    run("connect", "password", "set", "alpha", typed="correct horse\n")
    assert run("connect", "password", "list")
    run("connect", "password", "clear", "alpha")
    run("connect", "exec", "alpha", "--", "printf ok; printf '\\377' >&2; exit 3", status=3)

    session = run("session", "create", "alpha", "--name", "build")["session_id"]
    run("session", "send", session, "echo ready\n")
    run("session", "read", session)
    run("session", "resize", session, "50", "132")
    assert run("session", "list")
    assert run("connect", "--list")[0]["session"]["session_id"] == session
    assert own_stack.status("alpha")["sessions"]
    run("session", "signal", session, "INT")
    run("session", "attach", session, typed="exit 0\n")
    session = run("session", "create", "alpha")["session_id"]
    run("session", "close", session)

    run("agent", "status", who="agent-alpha")
    assert run("agent", "restart", who="agent-alpha")["verdict"] == "ONLINE"
    run("agent", "install", "--dry-run", who="agent-alpha")
    run("agent", "password", "set", who="agent-alpha", typed="correct horse\n")
    run("agent", "password", "status", who="agent-alpha")
    run("agent", "password", "clear", who="agent-alpha")
    run("doctor")

    first = relay("workspace", "create", "second")
    assert len(relay("workspace", "list")) == 2
    whose = ["--workspace", "second", "--label", "bob", "--role", "agent"]
    made = relay("key", "create", *whose, "--api-key", first["key"])
    relay("key", "list")
    relay("key", "revoke", made["key_id"])
    machine = relay("machine", "list")[0]["machine_id"]
    relay("machine", "remove", machine)
    run("connect", "key", "clear")
    assert run("agent", "stop", who="agent-alpha") == {"stopped": True}
    assert run("agent", "stop", who="agent-alpha", status=4)["error"]["code"] == "agent-not-running"

    assert set(SCHEMAS) - somebody.seen == ELSEWHERE
