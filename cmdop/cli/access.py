"""From the options of a verb to what machines are reached with."""

from __future__ import annotations

from cmdop.auth.credentials import Given, find_credential
from cmdop.auth.device import device_key
from cmdop.cli.machine_keys import ToldMachines, known_machines, tell
from cmdop.cli.options import home
from cmdop.cli.passwords import GivenPassword, ToldUser, passwords_for
from cmdop.client.reach import Access
from cmdop.transport.way import Way


def access(given: Given, machine_keys: str, password: GivenPassword, way: Way) -> Access:
    """What is odd about machines' keys and passwords is told on stderr; nobody is asked.

    Raises NoApiKey, BadKey, HomeUnusable, KnownMachinesCorrupt and so on.
    """
    credential = find_credential(home(), given)
    device = device_key(home())
    known = ToldMachines(known_machines(home(), credential, machine_keys))
    return Access(credential, device, known, passwords_for(home(), password, ToldUser(tell)), way)
