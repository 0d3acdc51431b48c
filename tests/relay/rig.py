"""A relay without a network over real records, and ends of connections to it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cmdop.auth.keys import ApiKey, Role
from cmdop.relay import admin
from cmdop.relay.peer import Caller
from cmdop.relay.switch import Switch
from cmdop.store.interface import Store
from cmdop.transport.connection import Connection
from cmdop.transport.memory import memory_pair
from tests.relay.talker import MACHINE_ID, TIMEOUT_SECONDS, Talker


class Clock:
    """A clock that the test turns."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Rig:
    """A relay without a network, the keys of one workspace, and who is connected to it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now, self.unix_now = Clock(1000.0), Clock(1_700_000_000.0)
        self.switch = Switch(store, self.now, self.unix_now)
        self.admin = admin.create_workspace(store, "home", "root", self.unix_now())
        self.threads: list[threading.Thread] = []

    def key(self, role: Role, label: str = "") -> ApiKey:
        return admin.create_key(self.store, self.admin, "home", label or role.value, role, self.unix_now())

    def connect(
        self, bearer: str, *, wants_list: bool = False, pair: Callable[[], tuple[Connection, Connection]] = memory_pair
    ) -> Talker:
        """Somebody who shows a credential and has said nothing yet."""
        caller = self.switch.gate.admit(f"Bearer {bearer}", "192.0.2.1:1")
        assert isinstance(caller, Caller), caller
        theirs, ours = pair()

        def serve() -> None:
            self.switch.serve(ours, caller, wants_list=wants_list)

        thread = threading.Thread(target=serve, name="test->relay", daemon=True)
        thread.start()
        self.threads.append(thread)

        def joined() -> None:
            thread.join(TIMEOUT_SECONDS)
            assert not thread.is_alive()

        return Talker(theirs, joined)

    def client(self, key: ApiKey | None = None) -> Talker:
        """A client that is in."""
        talker = self.connect((key or self.key(Role.OPERATOR, "anna")).bearer, wants_list=True)
        talker.hello_client()
        talker.hear_welcome()
        talker.all_answered()
        return talker

    def agent(self, machine_id: str = MACHINE_ID, key: ApiKey | None = None) -> Talker:
        """An agent that has just been enrolled."""
        talker = self.connect((key or self.key(Role.AGENT)).bearer)
        talker.hello_agent(machine_id)
        talker.machine_token = talker.hear_welcome().machine_token
        return talker
