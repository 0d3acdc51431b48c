"""What an admin does with a relay's records: workspaces, keys, machines.

Functions over a store; a relay that is running is told by relay/control.py.
"""

from __future__ import annotations

from typing import TypeVar

from cmdop.auth.keys import (
    PREFIX,
    ApiKey,
    Role,
    half_hash,
    half_matches,
    new_key_id,
    new_relay_half,
    new_workspace_key,
    parse_key,
)
from cmdop.errors import BadKey, KeyRefused, NoSuchRecord, UsageError
from cmdop.limits import UUID_PREFIX_MIN_CHARS
from cmdop.relay.gate import NOT_KNOWN, REVOKED
from cmdop.relay.names import check_chosen
from cmdop.store.interface import KeyRecord, MachineRow, Store, Workspace

R = TypeVar("R", KeyRecord, MachineRow)


def create_workspace(store: Store, name: str, label: str, unix_now: float) -> ApiKey:
    """A new workspace; its first admin key, of which the store keeps no secret.

    Raises UsageError for a name that cannot be one, RecordExists.
    """
    check_chosen("workspace", name)
    key = new_workspace_key()
    store.create_workspace(Workspace(name, unix_now), _record(key, name, check_chosen("label", label), unix_now))
    return key


def create_key(store: Store, admin: ApiKey, workspace: str, label: str, role: Role, unix_now: float) -> ApiKey:
    """A new key of a workspace, its private half derived from that of `admin`.

    Raises UsageError for a label that cannot be one, NoSuchRecord for the workspace,
    KeyRefused or RoleTooLow when `admin` is no valid admin key of it.
    """
    check_chosen("label", label)
    if store.workspace(workspace) is None:
        raise NoSuchRecord(kind="workspace", name=workspace)
    key = admin.for_role(role, new_key_id(), new_relay_half())
    _check_admin(store, admin, workspace)
    store.add_key(_record(key, workspace, label, unix_now))
    return key


def find_key(store: Store, text: str) -> KeyRecord:
    """The key of this id, masked or not, or of the one id that begins so; a whole key will do.

    Raises NoSuchRecord, and UsageError when several begin so.
    """
    wanted = _key_id(text.strip())
    exact = store.key(wanted)
    if exact is not None:
        return exact
    found = [key for key in store.keys(None) if key.key_id.startswith(wanted)]
    return _only("key", text, wanted, found)


def revoke_key(store: Store, text: str, unix_now: float) -> tuple[KeyRecord, bool]:
    """Revoke the key that `find_key` finds; its record, and whether admin keys are left.

    One that was revoked before stays so. Raises what `find_key` raises.
    """
    key = find_key(store, text)
    store.revoke_key(key.key_id, unix_now)
    keys = store.keys(key.workspace)
    left = any(other.role == Role.ADMIN.value and other.revoked_at is None for other in keys)
    return next(other for other in keys if other.key_id == key.key_id), left


def find_machine(store: Store, text: str) -> MachineRow:
    """The machine of this id, or of the one id that begins so. Raises NoSuchRecord, UsageError."""
    wanted = text.strip().lower()
    exact = store.machine(wanted)
    if exact is not None:
        return exact
    found = [machine for machine in store.machines() if machine.machine_id.startswith(wanted)]
    return _only("machine", text, wanted, found)


def remove_machine(store: Store, text: str) -> MachineRow:
    """Forget the machine that `find_machine` finds; as it was. Raises what that raises."""
    machine = find_machine(store, text)
    store.remove_machine(machine.machine_id)
    return machine


def _record(key: ApiKey, workspace: str, label: str, unix_now: float) -> KeyRecord:
    return KeyRecord(key.key_id, workspace, label, key.role.value, half_hash(key.relay_half), unix_now)


def _check_admin(store: Store, admin: ApiKey, workspace: str) -> None:
    """Raises KeyRefused unless it is a valid key of this workspace with the role it says."""
    kept = store.key(admin.key_id)
    reason = None
    if kept is None or not half_matches(admin.relay_half, kept.half_hash) or kept.role != admin.role.value:
        reason = NOT_KNOWN
    elif kept.revoked_at is not None:
        reason = REVOKED
    elif kept.workspace != workspace:
        reason = f"it belongs to the workspace {kept.workspace}"
    if reason is not None:
        raise KeyRefused(server="here", key=admin.masked, reason=reason)


def _key_id(text: str) -> str:
    if not text.startswith(PREFIX):
        return text.rstrip("…").lower()
    try:
        return parse_key(text).key_id
    except BadKey:
        return text.removeprefix(PREFIX).rstrip("….").lower()


def _only(kind: str, text: str, prefix: str, found: list[R]) -> R:
    if not found or len(prefix) < UUID_PREFIX_MIN_CHARS:
        raise NoSuchRecord(kind=kind, name=text)
    if len(found) > 1:
        raise UsageError(reason=f'"{text}" begins {len(found)} {kind}s: type more characters')
    return found[0]
