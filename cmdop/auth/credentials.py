"""Which key to use and with which relay: the first source that has one.

In order: the command line, the environment (both arrive here as `given`), the named
workspace, the active workspace. A key that was given goes to the relay that was given,
or else to the workspace's.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmdop.auth.keys import ApiKey, parse_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import load_workspaces
from cmdop.errors import NoApiKey
from cmdop.home import Home
from cmdop.limits import DEFAULT_SERVER


@dataclass(frozen=True)
class Given:
    """What the command line or the environment named; None where they did not."""

    server: str | None = None
    api_key: str | None = None
    workspace: str | None = None


@dataclass(frozen=True)
class Credential:
    """A key, the relay that it is for, and the workspace's name as this client calls it."""

    key: ApiKey
    server: str
    workspace: str


def secret_name(workspace: str) -> str:
    """Under which name a workspace's key is kept in the vault."""
    return f"api-key:{workspace}"


def find_credential(home: Home, given: Given) -> Credential:
    """The first source that has a key.

    Raises NoApiKey, BadKey, ConfigCorrupt or KeyringUnusable.
    """
    known = load_workspaces(home)
    workspace = given.workspace or known.active
    server = given.server or known.servers.get(workspace, DEFAULT_SERVER)
    text = given.api_key or Vault(home).get(secret_name(workspace))
    if text is None:
        raise NoApiKey(workspace=workspace)
    return Credential(parse_key(text), server, workspace)
