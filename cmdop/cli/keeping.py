"""Keeping a key, and what all who do so check and say."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from cmdop.auth.credentials import Credential, keep_credential, kept_places
from cmdop.auth.vault import FILE, IN_FILE, KEYRING
from cmdop.cli.options import home
from cmdop.cli.progress import say
from cmdop.errors import BadKey, UsageError
from cmdop.limits import NAME_MAX_CHARS

_STDIN_MAX_CHARS = 64 * 1024


class Kept(NamedTuple):
    """Where a key is: `keyring` or `file`, and the same for people."""

    where: str
    place: str


def keep(credential: Credential, active: bool = False) -> Kept:
    """Keep a key with its relay. That there is no keyring is said with the first key only."""
    first = IN_FILE not in kept_places(home()).values()
    where = keep_credential(home(), credential, active)
    if where == KEYRING:
        return Kept(where, "the keyring")
    return Kept(where, f"{home().file(FILE)}{' (there is no keyring here)' if first else ''}")


def warn_of_environment() -> None:
    """A key in the environment goes before all that are kept."""
    if os.environ.get("CMDOP_API_KEY"):
        say("CMDOP_API_KEY is set, and comes before every key that is kept")


def checked_name(name: str) -> str:
    """A workspace's name. Raises UsageError for one that could not be shown or typed."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_MAX_CHARS:
        what = f"1 to {NAME_MAX_CHARS} characters that can be seen"
        raise UsageError(reason=f"a workspace's name has {what}; choose one with --workspace NAME")
    return name


def stdin_lines() -> list[str]:
    """The lines that standard input has, to its end, without empty ones. Raises BadKey for what is no text."""
    if sys.stdin is None:
        return []
    try:
        return [line.strip() for line in sys.stdin.read(_STDIN_MAX_CHARS).splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BadKey(reason="it has characters that no key has") from error
