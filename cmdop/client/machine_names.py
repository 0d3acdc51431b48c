"""How the machines of a workspace are called, for who completes a word: `machine_names.json`.

A relay is asked at most every COMPLETION_FRESH_SECONDS, and waited for no longer than
COMPLETION_WAIT_SECONDS; until then, and while it is silent, what it said last serves.
Who wants to know more than names asks the relay.
"""

from __future__ import annotations

import queue
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from cmdop.client.resolver import fold
from cmdop.errors import CmdopError
from cmdop.home import Home, json_bytes, json_fields
from cmdop.limits import (
    COMPLETION_FRESH_SECONDS,
    COMPLETION_MACHINES_MAX,
    COMPLETION_PLACES_MAX,
    COMPLETION_RETRY_SECONDS,
    COMPLETION_WAIT_SECONDS,
)
from cmdop.printable import printable
from cmdop.wire.relay_messages import MachineRecord

FILE: Final = "machine_names.json"
_PLAIN: Final = re.compile(r"\w[\w.+-]*")
"""What no shell takes for anything but a word: names come from peers, and are put on command lines unquoted."""


class MachineName(NamedTuple):
    """What a machine is called."""

    machine_id: str
    name: str
    hostname: str


class Place(NamedTuple):
    """Where machines are: a relay, a workspace there as this client calls it, and the key, if one was named."""

    server: str
    workspace: str
    key_id: str = ""


class _Kept(NamedTuple):
    """What a relay said, and until when it is not asked again, in Unix time."""

    until: float
    machines: tuple[MachineName, ...]


Ask = Callable[[], Sequence[MachineRecord]]


def is_plain(word: str) -> bool:
    """Whether a word stands for itself on the command line of every shell."""
    return _PLAIN.fullmatch(word) is not None


def offered(machines: Sequence[MachineName], beginning: str, verbs: Collection[str] = ()) -> list[tuple[str, str]]:
    """What HOST could become, and how the machine is called otherwise; in the order given.

    Each machine once: by the first of name, hostname and id that begins so, means no
    other machine, and is none of the verbs.
    """
    meant = Counter(called for machine in machines for called in {_bare(word) for word in machine})
    found = []
    for machine in machines:
        for word in machine.name, machine.hostname, machine.machine_id:
            if (
                meant[_bare(word)] == 1
                and is_plain(word)
                and word not in verbs
                and fold(word).startswith(fold(beginning))
            ):
                others = [other for other in (machine.name, machine.hostname) if other not in ("", word)]
                found.append((word, printable(others[0]) if others else ""))
                break
    return found


def _bare(word: str) -> str:
    """A word as the resolver compares it."""
    return fold(word).removesuffix(".local")


def machine_names(home: Home, place: Place, ask: Ask, now: float) -> tuple[MachineName, ...]:
    """The machines as they were last heard of, those that were online first. Never raises, and never waits long.

    `ask` lists them and may take its time and raise CmdopError: it has a thread of its own. `now`: Unix time.
    """
    kept = _read(home).get(place, _Kept(0.0, ()))
    if now < kept.until <= now + COMPLETION_FRESH_SECONDS:
        return kept.machines
    try:
        heard = _heard(ask)
    except queue.Empty:
        kept = _Kept(now + COMPLETION_RETRY_SECONDS, kept.machines)
    else:
        if heard is None:
            return kept.machines
        kept = _Kept(now + COMPLETION_FRESH_SECONDS, heard)
    with suppress(CmdopError):  # then it is asked again the next time
        _keep(home, place, kept)
    return kept.machines


def _heard(ask: Ask) -> tuple[MachineName, ...] | None:
    """What was answered, None where that failed. Raises queue.Empty for what takes too long."""
    answers: queue.Queue[tuple[MachineName, ...] | None] = queue.Queue(1)

    def listen() -> None:
        """Blocks on the keyring and on the relay; their own timeouts wake it, and the end of the process."""
        heard = None
        try:
            heard = tuple(_name(machine) for machine in _in_order(ask()))
        except CmdopError:
            pass  # it is said by verbs; here it would stand in a line that is being typed
        finally:
            answers.put(heard)

    threading.Thread(target=listen, name="relay->completion", daemon=True).start()
    return answers.get(timeout=COMPLETION_WAIT_SECONDS)


def _in_order(machines: Sequence[MachineRecord]) -> list[MachineRecord]:
    ordered = sorted(machines, key=lambda machine: (not machine.online, fold(machine.name), machine.machine_id))
    return ordered[:COMPLETION_MACHINES_MAX]


def _name(machine: MachineRecord) -> MachineName:
    return MachineName(machine.machine_id, machine.name, machine.hostname)


# -- the file ---------------------------------------------------------------------------------


def _read(home: Home) -> dict[Place, _Kept]:
    """Nothing where the file is of no use."""
    with suppress(CmdopError):
        return home.read(FILE, _parse) or {}
    return {}


def _keep(home: Home, place: Place, kept: _Kept) -> None:
    """Raises ConfigCorrupt and HomeUnusable."""
    with home.locked(FILE) as file:
        places = {**(file.read(_parse) or {}), place: kept}
        newest = sorted(places, key=lambda one: places[one].until, reverse=True)[:COMPLETION_PLACES_MAX]
        file.write(json_bytes({"places": [_fields(one, places[one]) for one in newest]}))


def _fields(place: Place, kept: _Kept) -> dict[str, Any]:
    return {**place._asdict(), "until": kept.until, "machines": [list(machine) for machine in kept.machines]}


def _parse(data: bytes) -> dict[Place, _Kept]:
    try:
        return dict(_entry(**fields) for fields in json_fields(data)["places"])
    except (KeyError, TypeError) as error:
        raise ValueError("it is not a list of machines' names") from error


def _entry(server: str, workspace: str, key_id: str, until: float, machines: list[list[str]]) -> tuple[Place, _Kept]:
    """Raises TypeError for what is something else."""
    names = tuple(MachineName(*machine) for machine in machines)
    texts = [server, workspace, key_id, *(text for machine in names for text in machine)]
    if not all(isinstance(text, str) for text in texts) or not isinstance(until, int | float):
        raise TypeError
    return Place(server, workspace, key_id), _Kept(until, names)
