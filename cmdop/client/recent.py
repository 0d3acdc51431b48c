"""Which machines this user was on lately: `recent.json`, for the order of the picker.

It holds machine ids and times by relay and workspace, and no more than
RECENT_MACHINES_MAX of them, the oldest of which are forgotten.
"""

from __future__ import annotations

from typing import Any, Final

from cmdop.home import Home, json_bytes, json_fields
from cmdop.limits import RECENT_MACHINES_MAX

FILE: Final = "recent.json"

_Place = tuple[str, str, str]
"""Relay, workspace, machine id."""


def recently_used(home: Home, relay: str, workspace: str) -> dict[str, float]:
    """Machine id -> when a session there was last joined, in Unix time.

    Raises ConfigCorrupt, after setting the file aside, and HomeUnusable.
    """
    used = home.read(FILE, _parse) or {}
    return {machine_id: when for (at, of, machine_id), when in used.items() if (at, of) == (relay, workspace)}


def note_use(home: Home, relay: str, workspace: str, machine_id: str, now: float) -> None:
    """A session on this machine was joined just now. Raises ConfigCorrupt and HomeUnusable."""
    with home.locked(FILE) as file:
        used = file.read(_parse) or {}
        used[relay, workspace, machine_id] = float(int(now))
        newest = sorted(used.items(), key=lambda item: item[1], reverse=True)[:RECENT_MACHINES_MAX]
        file.write(_encode(dict(newest)))


def _parse(data: bytes) -> dict[_Place, float]:
    found: dict[_Place, float] = {}
    for relay, workspaces in json_fields(data).items():
        for workspace, machines in _object(workspaces).items():
            for machine_id, when in _object(machines).items():
                if not isinstance(when, int | float) or not 0 <= when < 1e11:
                    raise ValueError("a time in it is none")
                found[relay, workspace, machine_id] = float(when)
    return found


def _encode(used: dict[_Place, float]) -> bytes:
    fields: dict[str, dict[str, dict[str, float]]] = {}
    for (relay, workspace, machine_id), when in used.items():
        fields.setdefault(relay, {}).setdefault(workspace, {})[machine_id] = when
    return json_bytes(fields)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is not a list of recent machines")  # noqa: TRY004 - what is wrong is the file, not a call
    return value
