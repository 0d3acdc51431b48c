"""The machines of a workspace: what the store remembers and what presence knows."""

from __future__ import annotations

from cmdop.limits import DIRECTORY_MAX_BYTES, KIB
from cmdop.relay.presence import Presence, Seen
from cmdop.store.interface import MachineRow, Store
from cmdop.wire.relay_messages import RELAY_MESSAGES, MachineRecord, Machines

_ROOM_BYTES = DIRECTORY_MAX_BYTES - 16 * KIB
"""For the records in one message, the rest of the message left out."""


class Directory:
    """Answers who is there. `now` is on presence's clock, `unix_now` the date, in seconds."""

    def __init__(self, store: Store, presence: Presence) -> None:
        self._store, self._presence = store, presence

    def machines(self, workspace: str, now: float, unix_now: float) -> tuple[MachineRecord, ...]:
        """All machines of a workspace; as many as one message holds. Raises StoreUnusable."""
        rows = self._store.machines(workspace)
        return fitting(tuple(_record(row, self._presence.seen(row.machine_id), now, unix_now) for row in rows))

    def absence(self, workspace: str, machine_id: str, now: float, unix_now: float) -> tuple[str, str] | None:
        """Why no stream can be opened to a machine: error code and reason; None when it is online.

        A machine of another workspace does not exist. Raises StoreUnusable.
        """
        row = self._store.machine(machine_id)
        if row is None or row.workspace != workspace:
            return "no-such-machine", f"this workspace has no machine {machine_id}"
        record = _record(row, self._presence.seen(machine_id), now, unix_now)
        if record.online:
            return None
        return "machine-offline", why_offline(record, self._presence.seen(machine_id))


def why_offline(record: MachineRecord, seen: Seen | None) -> str:
    """When a machine was last heard, and how it left."""
    ago = f"{readable_age(record.heartbeat_age_seconds)} ago"
    if seen is not None and seen.connected:
        return f"it was last heard {ago}"
    return f"it stopped cleanly {ago}" if record.stopped_cleanly else f"its connection broke off {ago}"


def readable_age(seconds: float) -> str:
    """A length of time in its largest unit: 12 s, 3 min, 2 h, 5 days."""
    whole = int(seconds)
    for unit, length, end in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 2 * 86400)):
        if whole < end:
            return f"{whole // length} {unit}"
    return f"{whole // 86400} days"


def fitting(records: tuple[MachineRecord, ...], room_bytes: int = _ROOM_BYTES) -> tuple[MachineRecord, ...]:
    """As many records, from the first, as `room_bytes` hold."""
    if len(RELAY_MESSAGES.encode(Machines(records))) <= room_bytes:
        return records
    used, kept = 0, 0
    one = len(RELAY_MESSAGES.encode(Machines(())))
    for record in records:
        used += len(RELAY_MESSAGES.encode(Machines((record,)))) - one
        if used > room_bytes:
            break
        kept += 1
    return records[:kept]


def _record(row: MachineRow, seen: Seen | None, now: float, unix_now: float) -> MachineRecord:
    # A date can lie in the future when the host's clock was put back.
    age = max(0.0, unix_now - row.last_seen if seen is None else now - seen.heard)
    return MachineRecord(
        machine_id=row.machine_id,
        hostname=row.hostname,
        name=row.name,
        online=seen is not None and seen.online(now),
        heartbeat_age_seconds=round(age, 3),
        last_seen=round(max(0.0, unix_now - age), 3),
        stopped_cleanly=row.stopped_cleanly if seen is None else seen.stopped_cleanly,
        agent_version=row.agent_version,
        session=seen.session if seen is not None and seen.online(now) else None,
    )
