"""The workspaces that this client knows: name, relay, and which one is active."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cmdop.errors import NoSuchWorkspace
from cmdop.home import Home, json_bytes, json_fields

FILE: Final = "workspaces.json"
DEFAULT_WORKSPACE: Final = "default"
"""The active one where none was ever chosen."""


@dataclass(frozen=True)
class Workspaces:
    """What `workspaces.json` says. `servers` maps a workspace's name to its relay."""

    active: str
    servers: dict[str, str]

    def with_server(self, name: str, server: str) -> Workspaces:
        """The same with a workspace added or changed; the first one becomes active."""
        active = self.active if self.servers else name
        return Workspaces(active, {**self.servers, name: server})

    def with_active(self, name: str) -> Workspaces:
        """The same with another one active. Raises NoSuchWorkspace, which names those that there are."""
        self._check(name)
        return Workspaces(name, self.servers)

    def without(self, name: str) -> Workspaces:
        """The same without one. If it was active, the only one that is left becomes so, or none.

        Raises NoSuchWorkspace.
        """
        self._check(name)
        left = {other: server for other, server in self.servers.items() if other != name}
        if name != self.active:
            return Workspaces(self.active, left)
        return Workspaces(next(iter(left)) if len(left) == 1 else DEFAULT_WORKSPACE, left)

    def put_back(self, name: str, before: Workspaces) -> Workspaces:
        """The same with one workspace as it was before, and so it is active or not."""
        servers = {other: server for other, server in self.servers.items() if other != name}
        if name in before.servers:
            servers[name] = before.servers[name]
        return Workspaces(before.active if self.active == name else self.active, servers)

    @property
    def names(self) -> str:
        """Those that there are, for a sentence."""
        return ", ".join(sorted(self.servers)) or "none"

    def _check(self, name: str) -> None:
        if name not in self.servers:
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
    active, servers = fields.get("active"), fields.get("workspaces")
    if isinstance(active, str) and isinstance(servers, dict):
        urls = {name: entry.get("server") for name, entry in servers.items() if isinstance(entry, dict)}
        if len(urls) == len(servers) and all(isinstance(url, str) for url in urls.values()):
            return Workspaces(active, {name: str(url) for name, url in urls.items()})
    raise ValueError("its fields are not those of a list of workspaces")


def _encode(known: Workspaces) -> bytes:
    servers = {name: {"server": server} for name, server in known.servers.items()}
    return json_bytes({"active": known.active, "workspaces": servers})
