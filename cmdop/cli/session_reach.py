"""From the options of a `cmdop session` verb to the machines, and to the one that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cmdop.api.machine import Machine
from cmdop.cli.access import access
from cmdop.cli.progress import say
from cmdop.cli.session_flags import Flags
from cmdop.client.reach import Reach
from cmdop.client.resolver import Resolved, display_name, resolve
from cmdop.client.survey import Located, Silent
from cmdop.errors import CmdopError
from cmdop.wire.relay_messages import MachineRecord


class Reached:
    """A relay that was reached, with its machines. `close` gives the connection back."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._reach = Reach(access(flags.given, flags.machine_keys, flags.password, flags.way))
        self.credential = self._reach.access.credential
        self.workspace, self.surveyor = self._reach.workspace, self._reach.surveyor

    def close(self) -> None:
        self._reach.close()

    def record(self, host: str) -> MachineRecord:
        """The machine that HOST means, which is online. Raises what the resolver raises."""
        return self._reach.machine(host)

    def records(self) -> tuple[MachineRecord, ...]:
        """Those to look at: the one of --host, or all."""
        return (self.record(self._flags.host),) if self._flags.host else self._reach.machines

    def host_of(self, machine: MachineRecord) -> str:
        """The HOST that means this machine and no other: its name if that does, else its id."""
        name = display_name(machine)
        match = resolve(name, self._reach.machines)
        fits = isinstance(match, Resolved) and match.machine.machine_id == machine.machine_id
        return name if fits else machine.machine_id

    def locate(self, wanted: str) -> Located:
        """Where that session is; machines that might have had it and said nothing are named."""
        located = self.surveyor.locate(wanted, self.records())
        name_silent(located.silent)
        return located

    def machine(self, record: MachineRecord) -> Machine:
        """The machine itself, over the same connection while that is fresh."""
        return Machine(self._reach, record)


@contextmanager
def reached(flags: Flags) -> Iterator[Reached]:
    """The relay, for as long as the block takes. Raises NoApiKey, RelayUnreachable and so on."""
    relay = Reached(flags)
    try:
        yield relay
    finally:
        relay.close()


@contextmanager
def reached_session(flags: Flags, wanted: str) -> Iterator[tuple[Machine, Located]]:
    """The session of that id or unique prefix, and its machine."""
    with reached(flags) as relay:
        located = relay.locate(wanted)
        with relay.machine(located.machine) as machine:
            yield machine, located


def name_silent(silent: tuple[Silent, ...] | list[Silent]) -> CmdopError | None:
    """Say on stderr which machines did not answer, why, and what to do; the first reason."""
    for machine, error in ((one.machine, one.error) for one in silent):
        name = display_name(machine)
        about = "" if name in error.sentence + error.next_step else f"{name}: "
        say(f"cmdop: {about}{error.sentence}")
        for line in error.next_step.splitlines():
            say(line)
    return silent[0].error if silent else None
