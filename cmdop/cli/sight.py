"""How machines look that were not known here."""

from __future__ import annotations

from cmdop.auth.known_machines import FirstSight, date_of
from cmdop.errors import CmdopError


def first_sight_text(sight: FirstSight) -> str:
    """A machine that was not known, for people."""
    text = f"{sight.name} is new here: its key is {sight.fingerprint}"
    if sight.namesake is None:
        return text
    other = sight.namesake
    return f"{text} — ANOTHER machine has been {other.name} here, id {other.machine_id}, since {date_of(other.since)}"


def unkept_text(error: CmdopError) -> str:
    """That a machine's key could not be kept, for people."""
    return f"the key is not kept: {error.sentence}"
