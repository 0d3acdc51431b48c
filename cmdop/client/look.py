"""Looking at a machine's key, to accept it."""

from __future__ import annotations

from cmdop.auth.keys import ApiKey
from cmdop.auth.known_machines import Sighting
from cmdop.client.calls import MachineCalls
from cmdop.client.link import RelayLink
from cmdop.errors import CmdopError
from cmdop.wire.relay_messages import MachineRecord


class _Look:
    """Lets every key in, and notes the one that proved itself."""

    def __init__(self) -> None:
        self.proven_machine: Sighting | None = None

    def check(self, seen: Sighting) -> None:
        """Whatever it is."""

    def proven(self, *seen: Sighting) -> None:
        (self.proven_machine,) = seen


def look_at(link: RelayLink, machine: MachineRecord, key: ApiKey, device_key: bytes) -> Sighting:
    """The key that a machine has now; it holds this workspace's keys. Gives the link back.

    Raises what opening a stream raises, SealRefused above all.
    """
    look = _Look()
    calls = MachineCalls(lambda: link.open(machine, key.role.attaches_as, key, device_key, look))
    try:
        calls.sessions()
    except CmdopError:
        if look.proven_machine is None:
            raise
    finally:
        calls.close()
        link.close()
    assert look.proven_machine is not None  # it answered
    return look.proven_machine
