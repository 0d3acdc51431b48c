"""What the relay keeps, and what every store of it promises.

Times are Unix seconds. No secret is ever kept: of a key's relay half and of a
machine's token there is only the SHA-256.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Workspace:
    """A group of keys and machines; `name` is unique on a relay."""

    name: str
    created: float


@dataclass(frozen=True)
class KeyRecord:
    """A key as the relay knows it.

    `label` is its operator's name, `role` a value of auth.keys.Role, `half_hash` the
    SHA-256 of its relay half. `revoked_at` and `last_used` are None for never.
    """

    key_id: str
    workspace: str
    label: str
    role: str
    half_hash: bytes
    created: float
    revoked_at: float | None = None
    last_used: float | None = None


@dataclass(frozen=True)
class MachineRow:
    """An enrolled machine.

    `static_key` is its 32-byte public key, `token_hash` the SHA-256 of its token,
    `enrolled_with` the id of the key it was enrolled with. `stopped_cleanly` tells
    whether the last connection ended with a goodbye.
    """

    machine_id: str
    workspace: str
    hostname: str
    name: str
    static_key: bytes
    agent_version: str
    token_hash: bytes
    enrolled_with: str
    last_seen: float
    stopped_cleanly: bool
    created: float


class Heard(NamedTuple):
    """When a machine was last heard, and whether it said goodbye."""

    last_seen: float
    stopped_cleanly: bool


class Store(ABC):
    """The records of one relay, usable from any thread and by several processes.

    A change is kept whole or not at all, and is kept when the call returns. Every
    method raises StoreUnusable when the records cannot be read or written, and
    nothing else but what it names.
    """

    @abstractmethod
    def create_workspace(self, workspace: Workspace, first_key: KeyRecord) -> None:
        """A workspace together with its first key. Raises RecordExists."""

    @abstractmethod
    def workspace(self, name: str) -> Workspace | None:
        """The workspace of that name, or None."""

    @abstractmethod
    def workspaces(self) -> list[Workspace]:
        """All workspaces, by name."""

    @abstractmethod
    def add_key(self, key: KeyRecord) -> None:
        """Keep a new key. Raises RecordExists, or NoSuchRecord for its workspace."""

    @abstractmethod
    def key(self, key_id: str) -> KeyRecord | None:
        """The key of that id, revoked or not, or None."""

    @abstractmethod
    def keys(self, workspace: str | None = None) -> list[KeyRecord]:
        """All keys, or those of one workspace, oldest first, revoked ones included."""

    @abstractmethod
    def revoke_key(self, key_id: str, at: float) -> None:
        """Mark a key as revoked; the first time stays. Raises NoSuchRecord."""

    @abstractmethod
    def enroll_machine(self, machine: MachineRow) -> None:
        """Keep a machine, in place of the same machine of the same workspace.

        `created` of a machine that was there stays. Raises RecordExists when the
        machine belongs to another workspace, NoSuchRecord when there is no such workspace.
        """

    @abstractmethod
    def update_machine(
        self, machine_id: str, *, hostname: str, name: str, static_key: bytes, agent_version: str
    ) -> None:
        """Keep what an enrolled machine says of itself now. Raises NoSuchRecord."""

    @abstractmethod
    def machine(self, machine_id: str) -> MachineRow | None:
        """The machine of that id, or None."""

    @abstractmethod
    def machines(self, workspace: str | None = None) -> list[MachineRow]:
        """All machines, or those of one workspace, by name and then id."""

    @abstractmethod
    def count_machines(self, workspace: str) -> int:
        """How many machines a workspace has."""

    @abstractmethod
    def remove_machine(self, machine_id: str) -> None:
        """Forget a machine and with it its token. Raises NoSuchRecord."""

    @abstractmethod
    def note(self, keys_used: Mapping[str, float], machines_heard: Mapping[str, Heard]) -> None:
        """When keys (by id) were used and machines (by id) heard; unknown ids are ignored."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the records. Twice is quiet; any other call after it raises StoreUnusable."""
