"""A relay that was reached, with the machines of its workspace, and the ways to them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cmdop.auth.credentials import Credential
from cmdop.client.calls import STALE_SECONDS, MachineCalls
from cmdop.client.connect import reach_relay
from cmdop.client.link import MachineCheck, RelayLink, bury
from cmdop.client.passwords import MachinePass, Passwords
from cmdop.client.question import Asker
from cmdop.client.resolver import display_name, one, require_online
from cmdop.client.stream import MachineStream
from cmdop.client.survey import Surveyor
from cmdop.errors import CmdopError
from cmdop.transport.way import PLAIN_WAY, Way
from cmdop.wire.relay_messages import MachineRecord


@dataclass(frozen=True)
class Access:
    """With what machines are reached: a key and its relay, this device's static key, which
    machines are known, what is said to those that have a password, and the way to the relay.
    """

    credential: Credential
    device_key: bytes = field(repr=False)
    known: MachineCheck
    passwords: Passwords
    way: Way = PLAIN_WAY


class Reach:
    """The way to a workspace's machines. For one thread; `close` gives back what it has."""

    def __init__(self, access: Access) -> None:
        """Raises RelayUnreachable, KeyRefused and what else reaching a relay raises."""
        self.access = access
        link = reach_relay(access.credential, access.way)
        self._link: RelayLink | None = link
        """The connection to the relay, until somebody has a stream in it: then it is theirs."""
        self._fresh_until = time.monotonic() + STALE_SECONDS
        """Nobody answers its pings: it is good for one stream, and soon."""
        self.machines = link.machines()
        self.workspace = link.welcome.workspace
        self.surveyor = Surveyor(link, Asker(access.credential.key, access.device_key, access.known, access.passwords))
        """Asks many machines, before there is a stream to one."""

    def machine(self, host: str) -> MachineRecord:
        """The machine that HOST means, which is online. Raises what the resolver raises."""
        return require_online(one(host, self.machines), time.time())

    def calls(self, machine: MachineRecord) -> MachineCalls:
        """Calls on a machine, over the same connection while that is fresh."""
        access = self.access
        key_id = access.credential.key.key_id
        shown = MachinePass(access.passwords, machine.machine_id, key_id, display_name(machine))
        return MachineCalls(lambda: self._open_stream(machine), shown)

    def close(self) -> None:
        """Twice is quiet."""
        link, self._link = self._link, None
        if link is not None:
            bury(link.connection)

    def _open_stream(self, machine: MachineRecord) -> MachineStream:
        """A stream to a machine, with its connection, which is the caller's. Raises what opening raises."""
        access, key = self.access, self.access.credential.key
        if time.monotonic() > self._fresh_until:
            self.close()
        link, self._link = self._link, None
        if link is None:
            link = reach_relay(access.credential, access.way, want_machines=False)
        try:
            return link.open(machine, key.role.attaches_as, key, access.device_key, access.known)
        except CmdopError:
            bury(link.connection)
            raise
