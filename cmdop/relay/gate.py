"""Who may come in: looks at the credential of an upgrade request.

An unknown name and a wrong secret get the same answer, so that nobody learns which
keys and machines there are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from cmdop.auth.keys import Role, half_matches, parse_bearer
from cmdop.relay.peer import Caller
from cmdop.relay.throttle import Throttle, source_of
from cmdop.store.interface import Store

NOT_KNOWN: Final = "it is not known here"
REVOKED: Final = "it was revoked"
NOT_ENROLLED: Final = "this machine is not enrolled here, or was removed"


class Refusal(NamedTuple):
    """Why somebody is not let in: an error code, a reason, and how long to wait (0: not at all)."""

    code: str
    reason: str
    wait_seconds: int = 0


class Gate:
    """Judges credentials. Usable from any thread."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        # Guards the throttle's table.
        self._lock = threading.Lock()
        self._throttle = Throttle()

    def admit(self, authorization: str, remote: str) -> Caller | Refusal:
        """Whom an Authorization header stands for, or why it is refused. Raises StoreUnusable."""
        judged = self._judge(authorization)
        if isinstance(judged, Caller):
            return judged
        with self._lock:
            wait_seconds = self._throttle.failed(source_of(remote), self._clock())
        return judged._replace(wait_seconds=wait_seconds)

    def gone(self, caller: Caller) -> Refusal | None:
        """Whether a caller's credential was withdrawn since `admit`, and how to say so.

        For after the connection can be seen by whoever withdraws: what is withdrawn
        between `admit` and then would slip through. Raises StoreUnusable.
        """
        if caller.machine_id:
            return Refusal("not-enrolled", NOT_ENROLLED) if self._store.machine(caller.machine_id) is None else None
        key = self._store.key(caller.key_id)
        return Refusal("key-refused", REVOKED) if key is None or key.revoked_at is not None else None

    def _judge(self, authorization: str) -> Caller | Refusal:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text.strip().isascii():
            return Refusal("key-refused", "no API key was shown")
        credential = parse_bearer(text.strip())
        if credential is None:
            return Refusal("key-refused", NOT_KNOWN)
        kind, name, half = credential
        return self._judge_key(name, half) if kind == "key" else self._judge_machine(name, half)

    def _judge_key(self, key_id: str, half: bytes) -> Caller | Refusal:
        key = self._store.key(key_id)
        if key is None or not half_matches(half, key.half_hash):
            return Refusal("key-refused", NOT_KNOWN)
        if key.revoked_at is not None:
            return Refusal("key-refused", REVOKED)
        return Caller(key.workspace, key.label, Role(key.role), key_id=key_id)

    def _judge_machine(self, machine_id: str, token: bytes) -> Caller | Refusal:
        machine = self._store.machine(machine_id)
        if machine is None or not half_matches(token, machine.token_hash):
            return Refusal("not-enrolled", NOT_ENROLLED)
        return Caller(machine.workspace, machine.name, Role.AGENT, machine_id=machine_id)
