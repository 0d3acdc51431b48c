"""Which key to use and with which relay: the first source that has one; and keeping one.

In order: the command line, the environment, the named workspace, the active workspace.
A key that was given goes to the relay that was given, or else to the workspace's. A
workspace that was named is the only one that is asked: a key of another one would lead
to other machines.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from cmdop.auth.keys import ApiKey, parse_key
from cmdop.auth.vault import KEYRING, Vault
from cmdop.auth.workspaces import KnownRelay, Workspaces, changing_workspaces, load_workspaces
from cmdop.errors import BadKey, HomeUnusable, NoApiKey
from cmdop.home import Home
from cmdop.limits import DEFAULT_SERVER

_KEPT_UNDER: Final = "api-key:"


@dataclass(frozen=True)
class Given:
    """What the command line or the environment named; None where they did not.

    `api_key` stood on the command line; `environment_key` is CMDOP_API_KEY.
    """

    server: str | None = None
    api_key: str | None = field(default=None, repr=False)
    workspace: str | None = None
    environment_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Credential:
    """A key, the relay that it is for, and the workspace's name as this client calls it.

    `ca_file` has the certificates (PEM) that are trusted there, where the workspace has its own.
    """

    key: ApiKey
    server: str
    workspace: str
    ca_file: Path | None = None


class Absent(NamedTuple):
    """Why a source did not serve. `odd` is what a user may not expect, and wants to read."""

    source: str
    reason: str
    odd: bool = False


class _Found(NamedTuple):
    """A key as it was said or kept, and where."""

    source: str
    text: str


class _Asked(NamedTuple):
    """What the sources look at."""

    home: Home
    given: Given
    known: Workspaces


def secret_name(workspace: str) -> str:
    """Under which name a workspace's key is kept in the vault."""
    return f"{_KEPT_UNDER}{workspace}"


def find_credential(home: Home, given: Given) -> Credential:
    """The first source that has a key.

    Raises NoApiKey with what each source said, BadKey, ConfigCorrupt, HomeUnusable or KeyringUnusable.
    """
    known = load_workspaces(home)
    workspace = given.workspace or known.active
    absent: list[Absent] = []
    for source in SOURCES:
        found = source(_Asked(home, given, known))
        if isinstance(found, Absent):
            absent.append(found)
        else:
            server = given.server or known.servers.get(workspace, DEFAULT_SERVER)
            return Credential(_parsed(found), server, workspace, known.ca_file(workspace, server))
    raise _no_key(workspace, bool(given.workspace), absent)


def keep_credential(home: Home, credential: Credential, active: bool = False) -> str:
    """Keep a key and its relay, with whom to trust there, under the workspace's name; where the key
    went: `keyring` or `file`.

    The workspace becomes the active one if it is the first, or if that is wanted. Raises
    HomeUnusable, KeyringUnusable or ConfigCorrupt; what was there before then stays.
    """
    name = credential.workspace
    with changing_workspaces(home) as file:
        before = file.known
        file.known = before.with_relay(name, KnownRelay(credential.server, credential.ca_file))
        if active:
            file.known = file.known.with_active(name)
    try:
        return Vault(home).keep(secret_name(name), credential.key.text)
    except BaseException:  # a Ctrl-C while the keyring asks its user, too
        with suppress(HomeUnusable), changing_workspaces(home) as file:
            file.known = file.known.put_back(name, before)
        raise


def forget_key(home: Home, workspace: str) -> ApiKey | None:
    """Forget a workspace's key; which it was, as far as it could be read.

    Raises NoApiKey, KeyringUnusable or HomeUnusable.
    """
    vault = Vault(home)
    try:
        kept = parse_key(vault.get(secret_name(workspace)) or "")
    except BadKey:  # it goes all the same
        kept = None
    if not vault.forget(secret_name(workspace)):
        known = load_workspaces(home)
        named = workspace != known.active
        raise _no_key(workspace, named, [_absent_in(workspace, known, named)])
    return kept


def kept_places(home: Home) -> dict[str, str]:
    """The workspaces that have a key here, and where it is: `keyring` or `file`. Raises ConfigCorrupt."""
    places = Vault(home).places().items()
    return {name.removeprefix(_KEPT_UNDER): place for name, place in places if name.startswith(_KEPT_UNDER)}


# -- the sources ---------------------------------------------------------------------------


def _command_line(asked: _Asked) -> _Found | Absent:
    return _said("--api-key", asked.given.api_key, "not given")


def _environment(asked: _Asked) -> _Found | Absent:
    return _said("CMDOP_API_KEY", asked.given.environment_key, "not set")


def _named_workspace(asked: _Asked) -> _Found | Absent:
    if not asked.given.workspace:
        return Absent("--workspace", "not given")
    return _kept(asked, asked.given.workspace, named=True)


def _active_workspace(asked: _Asked) -> _Found | Absent:
    if asked.given.workspace:
        return Absent("active workspace", f'"{asked.known.active}" is not asked, as another one was named')
    return _kept(asked, asked.known.active, named=False)


SOURCES: Final[tuple[Callable[[_Asked], _Found | Absent], ...]] = (
    _command_line,
    _environment,
    _named_workspace,
    _active_workspace,
)
"""Where a key may come from, the first one first."""


def _said(source: str, text: str | None, missing: str) -> _Found | Absent:
    if text is None:
        return Absent(source, missing)
    return _Found(source, text) if text.strip() else Absent(source, "it is empty", odd=True)


def _kept(asked: _Asked, workspace: str, named: bool) -> _Found | Absent:
    vault = Vault(asked.home)
    text = vault.get(secret_name(workspace))
    if text is not None:
        return _Found(f'the workspace "{workspace}"', text)
    if vault.places().get(secret_name(workspace)) == KEYRING:
        return Absent(_name_of(workspace, named), "the keyring has its key no more", odd=True)
    return _absent_in(workspace, asked.known, named)


def _absent_in(workspace: str, known: Workspaces, named: bool) -> Absent:
    source = _name_of(workspace, named)
    if workspace in known.relays or not known.relays:
        return Absent(source, "no key is kept for it")
    return Absent(source, f"there is no such one here; there are: {known.names}", odd=True)


def _name_of(workspace: str, named: bool) -> str:
    return f'--workspace "{workspace}"' if named else f'active workspace "{workspace}"'


def _parsed(found: _Found) -> ApiKey:
    try:
        return parse_key(found.text)
    except BadKey as error:
        raise BadKey(reason=f"{error.details['reason']} (it came from {found.source})") from error


def _no_key(workspace: str, named: bool, absent: list[Absent]) -> NoApiKey:
    return NoApiKey(workspace=workspace, named=named, sources=[one._asdict() for one in absent])
