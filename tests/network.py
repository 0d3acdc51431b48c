"""A real relay in this process, dialled over memory instead of a network; and agents on it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cmdop.agent import service as service_module
from cmdop.agent.machine import Machine
from cmdop.agent.options import AgentOptions
from cmdop.agent.service import AgentService
from cmdop.auth.keys import ApiKey
from cmdop.errors import CmdopError, KeyRefused, RelayUnreachable
from cmdop.home import Home
from cmdop.relay.peer import Caller
from cmdop.store.interface import Store
from cmdop.transport.address import WANT_HEADER, WANT_MACHINES
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling
from cmdop.transport.memory import memory_pair
from tests.relay.rig import Rig
from tests.relay.talker import TIMEOUT_SECONDS

SERVER = "ws://127.0.0.1:7420"


class Network:
    """The way to a relay. `dial` takes the place of `transport.dial.dial`."""

    def __init__(self, store: Store) -> None:
        self.rig = Rig(store)
        self.down = False
        self.pair: Callable[[], tuple[Connection, Connection]] = memory_pair
        self.dialled: list[Dialling] = []
        self.connections: list[Connection] = []
        """The dialling ends, in order."""
        self._seated = 0
        # Guards both lists and the number; told of every change.
        self._change = threading.Condition()
        presence = self.rig.switch._board.presence
        self._hello, presence.hello = presence.hello, self._on_seated  # type: ignore[method-assign]

    def _on_seated(self, machine_id: str, now: float) -> None:
        self._hello(machine_id, now)
        with self._change:
            self._seated += 1
            self._change.notify_all()

    def until_seated(self, times: int) -> None:
        """Wait until agents were online for the relay that often. One that comes back is welcomed a moment before."""
        with self._change:
            assert self._change.wait_for(lambda: self._seated >= times, TIMEOUT_SECONDS)

    def dial(self, to: Dialling) -> Connection:
        with self._change:
            self.dialled.append(to)
            self._change.notify_all()
        if self.down:
            raise RelayUnreachable(server=to.server.url, reason="it is down")
        caller = self.rig.switch.gate.admit(f"Bearer {to.credential}", "192.0.2.1:1")
        if not isinstance(caller, Caller):
            raise KeyRefused(server=to.server.url, key=to.key_label, reason=caller.reason)
        ours, theirs = self.pair()
        wants_list = to.headers.get(WANT_HEADER) == WANT_MACHINES

        def serve() -> None:
            self.rig.switch.serve(theirs, caller, wants_list=wants_list)

        thread = threading.Thread(target=serve, name="test->relay", daemon=True)
        thread.start()
        self.rig.threads.append(thread)
        with self._change:
            self.connections.append(ours)
        return ours

    def until_dialled(self, times: int) -> None:
        with self._change:
            assert self._change.wait_for(lambda: len(self.dialled) >= times, TIMEOUT_SECONDS)

    def close(self) -> None:
        self.rig.switch.close()
        for thread in self.rig.threads:
            thread.join(TIMEOUT_SECONDS)
            assert not thread.is_alive()


class RunningAgent:
    """An agent on a thread of its own."""

    def __init__(
        self,
        home: Home,
        key: ApiKey | None = None,
        server: str | None = SERVER,
        machine: Machine | None = None,
        name: str = "prod",
    ) -> None:
        text = key.text if key else None
        options = AgentOptions(name, server, text, "/bin/sh", environment={"PATH": "/usr/bin:/bin"})
        self.service = AgentService(home, options, machine)
        self._errors: list[CmdopError] = []
        self._online = 0
        self._up = False
        # Guards the two above; told of every change.
        self._change = threading.Condition()
        self._relay_is = self.service._shells.relay_is
        self.service._shells.relay_is = self._on_relay  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._run, name="test agent", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run()
        except CmdopError as error:
            self._errors.append(error)
        with self._change:
            self._change.notify_all()

    def _on_relay(self, connected: bool) -> None:
        self._relay_is(connected)
        with self._change:
            self._up = connected
            self._online += connected
            self._change.notify_all()

    def until_online(self, times: int = 1) -> None:
        """Wait until a relay has welcomed it that often."""
        with self._change:
            assert self._change.wait_for(lambda: self._online >= times, TIMEOUT_SECONDS), self.service.status()

    def until_offline(self) -> None:
        with self._change:
            assert self._change.wait_for(lambda: not self._up, TIMEOUT_SECONDS)

    def stop(self) -> None:
        self.service.stop("the test is over")
        assert self.end() is None

    def end(self) -> CmdopError | None:
        """What `run` raised, once it is over."""
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()
        return self._errors[0] if self._errors else None


def wire_up(network: Network, patch: Callable[[object, str, object], None]) -> None:
    """Let agents and clients dial this relay, and agents without waiting in between."""
    from cmdop.client import link as link_module

    patch(service_module, "dial", network.dial)
    patch(service_module.Backoff, "next_seconds", lambda _: 0.0)
    patch(link_module, "dial", network.dial)
