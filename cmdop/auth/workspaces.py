"""The workspaces that this client knows: name, relay, whom to trust there, and which one is active."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from cmdop.errors import NoSuchWorkspace
from cmdop.home import Home, json_bytes, json_fields

FILE: Final = "workspaces.json"
DEFAULT_WORKSPACE: Final = "default"
"""The active one where none was ever chosen."""


class KnownRelay(NamedTuple):
    """A relay's URL, and the file of the certificates (PEM) that are trusted there in place of the system's."""

    server: str
    ca_file: Path | None = None


@dataclass(frozen=True)
class Workspaces:
    """What `workspaces.json` says. `relays` has each workspace's, by its name."""

    active: str
    relays: dict[str, KnownRelay]

    @property
    def servers(self) -> dict[str, str]:
        """The relays' URLs, by the workspaces' names."""
        return {name: relay.server for name, relay in self.relays.items()}

    def ca_file(self, name: str, server: str) -> Path | None:
        """What is trusted in a workspace, as long as its relay is that one."""
        relay = self.relays.get(name)
        return relay.ca_file if relay and relay.server == server else None

    def ca_file_at(self, server: str) -> Path | None:
        """What is trusted at a relay, in whichever workspace it was kept first."""
        kept = (relay.ca_file for relay in self.relays.values() if relay.server == server)
        return next(filter(None, kept), None)

    def with_relay(self, name: str, relay: KnownRelay) -> Workspaces:
        """The same with a workspace added or changed; the first one becomes active."""
        active = self.active if self.relays else name
        return Workspaces(active, {**self.relays, name: relay})

    def with_active(self, name: str) -> Workspaces:
        """The same with another one active. Raises NoSuchWorkspace, which names those that there are."""
        self._check(name)
        return Workspaces(name, self.relays)

    def without(self, name: str) -> Workspaces:
        """The same without one. If it was active, the only one that is left becomes so, or none.

        Raises NoSuchWorkspace.
        """
        self._check(name)
        left = {other: relay for other, relay in self.relays.items() if other != name}
        if name != self.active:
            return Workspaces(self.active, left)
        return Workspaces(next(iter(left)) if len(left) == 1 else DEFAULT_WORKSPACE, left)

    def put_back(self, name: str, before: Workspaces) -> Workspaces:
        """The same with one workspace as it was before, and so it is active or not."""
        relays = {other: relay for other, relay in self.relays.items() if other != name}
        if name in before.relays:
            relays[name] = before.relays[name]
        return Workspaces(before.active if self.active == name else self.active, relays)

    @property
    def names(self) -> str:
        """Those that there are, for a sentence."""
        return ", ".join(sorted(self.relays)) or "none"

    def _check(self, name: str) -> None:
        if name not in self.relays:
            raise NoSuchWorkspace(workspace=name, known=self.names)


_NOTHING: Final = Workspaces(DEFAULT_WORKSPACE, {})


class WorkspacesFile:
    """`workspaces.json` while nobody else changes it: `known` may be replaced."""

    def __init__(self, known: Workspaces) -> None:
        self.known = known


def load_workspaces(home: Home) -> Workspaces:
    """What is known; nothing at all where there is no file. Raises ConfigCorrupt, HomeUnusable."""
    return home.read(FILE, _parse) or _NOTHING


@contextmanager
def changing_workspaces(home: Home) -> Iterator[WorkspacesFile]:
    """What is known, to be changed as one step that no other process comes between.

    It is written at the block's end, if it was changed and nothing was raised. Raises
    ConfigCorrupt and HomeUnusable; what was there before then stays.
    """
    with home.locked(FILE) as file:
        before = file.read(_parse) or _NOTHING
        changed = WorkspacesFile(before)
        yield changed
        if changed.known != before:
            file.write(_encode(changed.known))


def _parse(data: bytes) -> Workspaces:
    fields = json_fields(data)
    active, entries = fields.get("active"), fields.get("workspaces")
    if isinstance(active, str) and isinstance(entries, dict) and all(map(_is_entry, entries.values())):
        return Workspaces(active, {name: _relay(**entry) for name, entry in entries.items()})
    raise ValueError("its fields are not those of a list of workspaces")


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    return isinstance(entry.get("server"), str) and isinstance(entry.get("ca_file"), str | None)


def _relay(server: str, ca_file: str | None = None, **_: Any) -> KnownRelay:
    """What a newer version has beside these is not known here."""
    return KnownRelay(server, Path(ca_file) if ca_file else None)


def _encode(known: Workspaces) -> bytes:
    relays = {name: _entry(relay) for name, relay in known.relays.items()}
    return json_bytes({"active": known.active, "workspaces": relays})


def _entry(relay: KnownRelay) -> dict[str, str]:
    return {"server": relay.server, **({"ca_file": str(relay.ca_file)} if relay.ca_file else {})}
