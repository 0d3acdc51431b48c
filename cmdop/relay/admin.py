"""What an admin does with a relay's records: workspaces, keys, machines.

Functions over a store; a relay that is running is told by relay/control.py.
"""

from __future__ import annotations

from typing import TypeVar

from cmdop.auth.keys import (
    ApiKey,
    Role,
    half_hash,
    half_matches,
    key_id_in,
    new_key_id,
    new_relay_half,
    new_workspace_key,
)
from cmdop.errors import KeyRefused, NoSuchRecord, TooManyKeys, UsageError
from cmdop.limits import KEYS_PER_WORKSPACE_MAX, UUID_PREFIX_MIN_CHARS
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
    TooManyKeys, KeyRefused or RoleTooLow when `admin` is no valid admin key of it.
    """
    check_chosen("label", label)
    if store.workspace(workspace) is None:
        raise NoSuchRecord(kind="workspace", name=workspace)
    key = admin.for_role(role, new_key_id(), new_relay_half())
    _check_admin(store, admin, workspace)
    add_key(store, _record(key, workspace, label, unix_now))
    return key


def add_key(store: Store, record: KeyRecord) -> None:
    """Keep a key. Raises UsageError for a label that cannot be one, TooManyKeys, RecordExists."""
    check_chosen("label", record.label)
    if len(store.keys(record.workspace)) >= KEYS_PER_WORKSPACE_MAX:
        raise TooManyKeys(workspace=record.workspace, most=KEYS_PER_WORKSPACE_MAX)
    store.add_key(record)


def find_key(store: Store, text: str, workspace: str | None = None) -> KeyRecord:
    """The key of this id, masked or not, or of the one id that begins so; a whole key will do.

    Of all keys, or of those of one workspace. Raises NoSuchRecord, and UsageError when
    several begin so.
    """
    wanted = key_id_in(text)
    exact = store.key(wanted)
    if exact is not None and workspace in (None, exact.workspace):
        return exact
    found = [key for key in store.keys(workspace) if key.key_id.startswith(wanted)]
    return _only("key", text, wanted, found)


def revoke_key(store: Store, text: str, unix_now: float) -> tuple[KeyRecord, bool]:
    """Revoke the key that `find_key` finds; its record, and whether admin keys are left.

    One that was revoked before stays so. Raises what `find_key` raises.
    """
    key = find_key(store, text)
    store.revoke_key(key.key_id, unix_now)
    revoked = store.key(key.key_id)
    assert revoked is not None
    return revoked, bool(valid_admin_keys(store, key.workspace))


def valid_admin_keys(store: Store, workspace: str) -> list[KeyRecord]:
    """The admin keys of a workspace that were not revoked."""
    return [key for key in store.keys(workspace) if key.role == Role.ADMIN.value and key.revoked_at is None]


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


def _only(kind: str, text: str, prefix: str, found: list[R]) -> R:
    if not found or len(prefix) < UUID_PREFIX_MIN_CHARS:
        raise NoSuchRecord(kind=kind, name=text)
    if len(found) > 1:
        raise UsageError(reason=f'"{text}" begins {len(found)} {kind}s: type more characters')
    return found[0]
