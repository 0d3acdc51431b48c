"""The public key that each machine had when this client first saw it: `known_machines.json`.

A key is known by relay and workspace, both as the user names them and not as the relay
does, and by the machine's id. So a relay cannot make a machine that is known look new:
under another id it lacks the keys of the first.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from cmdop.auth.fingerprint import fingerprint
from cmdop.errors import CmdopError, ConfigCorrupt, KnownMachinesCorrupt, MachineChanged, MachineUnknown
from cmdop.home import Home, json_bytes, json_fields

FILE: Final = "known_machines.json"
_KEY_BYTES: Final = 32
_EASILY_TYPED: Final = re.compile(r"[A-Za-z0-9][\w.-]*")


class MachineKeys(StrEnum):
    """What to do about machines that are not known. One whose key has changed is refused by either."""

    ACCEPT_NEW = "accept-new"
    STRICT = "strict"


class Sighting(NamedTuple):
    """A machine that answered: its id, its name as the relay tells it, and its public key."""

    machine_id: str
    name: str
    key: bytes


@dataclass(frozen=True)
class KnownMachine:
    """A machine as it was seen. `since` is Unix time in seconds."""

    relay: str
    workspace: str
    machine_id: str
    name: str
    key: bytes
    since: float

    @property
    def place(self) -> tuple[str, str, str]:
        return self.relay, self.workspace, self.machine_id


class FirstSight(NamedTuple):
    """A machine that was not known; and another one that had its name here, if there is one."""

    machine_id: str
    name: str
    fingerprint: str
    namesake: KnownMachine | None = None


_Book = dict[tuple[str, str, str], KnownMachine]


class KnownMachines:
    """The known machines of one workspace at one relay. For one thread.

    `load` it first. Machines are checked against what the file said then; those that
    proved to be of the workspace are kept.
    """

    def __init__(self, home: Home, relay: str, workspace: str, policy: MachineKeys = MachineKeys.ACCEPT_NEW) -> None:
        self._home, self._relay, self._workspace = home, relay, workspace
        self.policy = policy
        self._book: _Book = {}
        self.unkept: CmdopError | None = None
        """Why a machine that was new could not be kept, if that has happened."""

    def load(self) -> None:
        """Read the file. Raises KnownMachinesCorrupt, after setting it aside, and HomeUnusable."""
        self._book = _read(self._home)

    def check(self, seen: Sighting) -> FirstSight | None:
        """None for a machine that has the key it had before.

        Raises MachineChanged, and MachineUnknown for a new one where only known ones are let in.
        """
        known = self._book.get(self._place(seen))
        shown = fingerprint(seen.key)
        host = seen.name if _EASILY_TYPED.fullmatch(seen.name) else seen.machine_id
        about = {"name": seen.name, "host": host, "machine_id": seen.machine_id, "fingerprint": shown}
        if known is not None and known.key != seen.key:
            raise MachineChanged(**about, known=fingerprint(known.key), since=date_of(known.since))
        if known is not None:
            return None
        if self.policy is MachineKeys.STRICT:
            raise MachineUnknown(**about)
        return FirstSight(seen.machine_id, seen.name, shown, self._namesake(seen))

    def proven(self, *seen: Sighting) -> None:
        """These machines were checked and have since proved to be of the workspace: keep the new ones.

        A file that cannot be written is no reason to keep the user out: see `unkept`.
        """
        new = [one for one in seen if self._is_news(self._book, one)]
        if not new:
            return
        self._book.update({self._place(one): self._known(one) for one in new})
        try:
            with _changing(self._home) as book:
                # What another process kept meanwhile stays, whatever it is.
                for one in new:
                    before = book.get(self._place(one))
                    if before is None:
                        book[self._place(one)] = self._known(one)
                    elif before.key == one.key:
                        book[before.place] = replace(before, name=one.name)
        except CmdopError as error:
            self.unkept = error

    def accept(self, seen: Sighting) -> KnownMachine | None:
        """Keep a machine with this key from now on; what was known of it before.

        Raises KnownMachinesCorrupt, HomeUnusable.
        """
        with _changing(self._home) as book:
            before = book.get(self._place(seen))
            if before is None or before.key != seen.key:
                book[self._place(seen)] = self._known(seen)
        return before

    def _is_news(self, book: _Book, seen: Sighting) -> bool:
        known = book.get(self._place(seen))
        return known is None or known.name != seen.name

    def _namesake(self, seen: Sighting) -> KnownMachine | None:
        here = (self._relay, self._workspace)
        same = (known for known in self._book.values() if known.place[:2] == here and known.name == seen.name)
        return next(same, None)

    def _place(self, seen: Sighting) -> tuple[str, str, str]:
        return self._relay, self._workspace, seen.machine_id

    def _known(self, seen: Sighting) -> KnownMachine:
        return KnownMachine(*self._place(seen), seen.name, seen.key, float(int(time.time())))


def all_known(home: Home) -> list[KnownMachine]:
    """Every known machine, by relay, workspace and name. Raises KnownMachinesCorrupt, HomeUnusable."""
    return sorted(_read(home).values(), key=lambda known: (known.relay, known.workspace, known.name, known.machine_id))


def forget(home: Home, known: KnownMachine) -> None:
    """Forget a machine; the next sight of it is the first. Raises KnownMachinesCorrupt, HomeUnusable."""
    with _changing(home) as book:
        book.pop(known.place, None)


def date_of(unix_seconds: float) -> str:
    """RFC 3339, in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(home: Home) -> _Book:
    with _translated():
        return home.read(FILE, _parse) or {}


@contextmanager
def _changing(home: Home) -> Iterator[_Book]:
    """What is known, to be changed as one step that no other process comes between."""
    with _translated(), home.locked(FILE) as file:
        book = file.read(_parse) or {}
        before = dict(book)
        yield book
        if book != before:
            file.write(_encode(book))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ConfigCorrupt as error:
        raise KnownMachinesCorrupt(**error.details) from error


def _parse(data: bytes) -> _Book:
    rows = json_fields(data).get("machines")
    if not isinstance(rows, list):
        raise ValueError("it has no list of machines")  # noqa: TRY004 - what is wrong is the file, not a call
    found = [_known(row) for row in rows]
    return {known.place: known for known in found}


def _known(row: Any) -> KnownMachine:
    """Raises ValueError for what is no machine."""
    names = ("relay", "workspace", "machine_id", "name", "key")
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in names):
        raise ValueError("a machine lacks a field")
    key, since = base64.b64decode(row["key"], validate=True), row.get("since")
    if len(key) != _KEY_BYTES or not isinstance(since, int | float) or not 0 <= since < 1e11:
        raise ValueError("a machine's key or date is none")
    return KnownMachine(row["relay"], row["workspace"], row["machine_id"], row["name"], key, float(since))


def _encode(book: _Book) -> bytes:
    rows = [
        {
            "relay": known.relay,
            "workspace": known.workspace,
            "machine_id": known.machine_id,
            "name": known.name,
            "key": base64.b64encode(known.key).decode(),
            "since": known.since,
        }
        for known in book.values()
    ]
    return json_bytes({"machines": rows})
