"""From the options of a `cmdop session` verb to the machines, and to the one that is meant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cmdop.auth.credentials import Credential, find_credential
from cmdop.auth.device import device_key
from cmdop.cli.machine_keys import ToldMachines, known_machines, tell
from cmdop.cli.options import home
from cmdop.cli.passwords import ToldUser, passwords_for
from cmdop.cli.progress import say
from cmdop.cli.session_flags import Flags
from cmdop.client.calls import STALE_SECONDS, MachineCalls
from cmdop.client.connect import reach_relay
from cmdop.client.link import MachineStream
from cmdop.client.passwords import MachinePass
from cmdop.client.question import Asker
from cmdop.client.resolver import Resolved, display_name, one, require_online, resolve
from cmdop.client.survey import Located, Silent, Surveyor
from cmdop.errors import CmdopError
from cmdop.wire.relay_messages import MachineRecord


class Reached:
    """A relay that was reached, with its machines. `close` gives the connection back."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self.credential: Credential = find_credential(home(), flags.given)
        self._device_key = device_key(home())
        self._known = ToldMachines(known_machines(home(), self.credential, flags.machine_keys))
        self._link = reach_relay(self.credential, flags.insecure)
        self._fresh_until = time.monotonic() + STALE_SECONDS
        """Nobody answers its pings: it is good for one stream, and soon."""
        self._all = self._link.machines()
        self.workspace = self._link.welcome.workspace
        self._passwords = passwords_for(home(), flags.password, ToldUser(tell))
        asker = Asker(self.credential.key, self._device_key, self._known, self._passwords)
        self.surveyor = Surveyor(self._link, asker)

    def close(self) -> None:
        self._link.close()

    def machine(self, host: str) -> MachineRecord:
        """The machine that HOST means, which is online. Raises what the resolver raises."""
        return require_online(one(host, self._all), time.time())

    def machines(self) -> tuple[MachineRecord, ...]:
        """Those to look at: the one of --host, or all."""
        return (self.machine(self._flags.host),) if self._flags.host else self._all

    def host_of(self, machine: MachineRecord) -> str:
        """The HOST that means this machine and no other: its name if that does, else its id."""
        name = display_name(machine)
        match = resolve(name, self._all)
        fits = isinstance(match, Resolved) and match.machine.machine_id == machine.machine_id
        return name if fits else machine.machine_id

    def locate(self, wanted: str) -> Located:
        """Where that session is; machines that might have had it and said nothing are named."""
        located = self.surveyor.locate(wanted, self.machines())
        name_silent(located.silent)
        return located

    def calls(self, machine: MachineRecord) -> MachineCalls:
        """Calls on a machine, over the same connection while that is fresh."""
        key_id = self.credential.key.key_id
        shown = MachinePass(self._passwords, machine.machine_id, key_id, display_name(machine))
        return MachineCalls(self._opener(machine), shown)

    def _opener(self, machine: MachineRecord) -> Callable[[], MachineStream]:
        def open_stream() -> MachineStream:
            if time.monotonic() > self._fresh_until:
                self._link.close()
                self._link = reach_relay(self.credential, self._flags.insecure, want_machines=False)
            self._fresh_until = 0.0
            key = self.credential.key
            return self._link.open(machine, key.role.attaches_as, key, self._device_key, self._known)

        return open_stream


@contextmanager
def reached(flags: Flags) -> Iterator[Reached]:
    """The relay, for as long as the block takes. Raises NoApiKey, RelayUnreachable and so on."""
    relay = Reached(flags)
    try:
        yield relay
    finally:
        relay.close()


@contextmanager
def session_calls(flags: Flags, wanted: str) -> Iterator[tuple[MachineCalls, Located]]:
    """The session of that id or unique prefix, and calls on its machine."""
    with reached(flags) as relay:
        located = relay.locate(wanted)
        calls = relay.calls(located.machine)
        try:
            yield calls, located
        finally:
            calls.close()


def name_silent(silent: tuple[Silent, ...] | list[Silent]) -> CmdopError | None:
    """Say on stderr which machines did not answer; the first reason."""
    for one_machine in silent:
        say(f"cmdop: {one_machine.error.sentence}")
    return silent[0].error if silent else None
