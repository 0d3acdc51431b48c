"""The workspaces that this client knows: name, relay, and which one is active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cmdop.errors import ConfigCorrupt
from cmdop.home import Home

FILE: Final = "workspaces.json"
DEFAULT_WORKSPACE: Final = "default"


@dataclass(frozen=True)
class Workspaces:
    """What `workspaces.json` says. `servers` maps a workspace's name to its relay."""

    active: str
    servers: dict[str, str]

    def with_server(self, name: str, server: str) -> Workspaces:
        """The same with a workspace added or changed; the first one becomes active."""
        active = self.active if self.servers else name
        return Workspaces(active, {**self.servers, name: server})


def load_workspaces(home: Home) -> Workspaces:
    """What is known; nothing at all where there is no file. Raises ConfigCorrupt."""
    fields = home.read_json(FILE)
    if fields is None:
        return Workspaces(DEFAULT_WORKSPACE, {})
    active, servers = fields.get("active"), fields.get("workspaces")
    if isinstance(active, str) and isinstance(servers, dict):
        urls = {name: entry.get("server") for name, entry in servers.items() if isinstance(entry, dict)}
        if len(urls) == len(servers) and all(isinstance(url, str) for url in urls.values()):
            return Workspaces(active, {name: str(url) for name, url in urls.items()})
    error: ConfigCorrupt = home.set_aside(FILE, "its fields are not those of a list of workspaces")
    raise error


def save_workspaces(home: Home, known: Workspaces) -> None:
    servers = {name: {"server": server} for name, server in known.servers.items()}
    home.write_json(FILE, {"active": known.active, "workspaces": servers})
