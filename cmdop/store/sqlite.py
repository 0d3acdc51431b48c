"""The relay's records in one SQLite file: the embedded default. Imports sqlite3.

The file is 0600, and so are the write-ahead log and the shared-memory file beside it,
which SQLite makes with the mode of the file itself. A relay and the admin commands
may use it at the same time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, Final

from cmdop.errors import NoSuchRecord, RecordExists, StoreMissing, StoreUnusable
from cmdop.store.interface import Heard, KeyRecord, MachineRow, Store, Workspace

SCHEMA_VERSION: Final = 1
BUSY_TIMEOUT_SECONDS: Final = 5.0
"""How long a write waits for another process that is writing."""

# Columns stand in the order of the dataclass's fields.
_SCHEMA = """
CREATE TABLE workspaces (
    name TEXT PRIMARY KEY,
    created REAL NOT NULL
);
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY,
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    label TEXT NOT NULL,
    role TEXT NOT NULL,
    half_hash BLOB NOT NULL,
    created REAL NOT NULL,
    revoked_at REAL,
    last_used REAL
);
CREATE INDEX keys_of_workspace ON keys (workspace);
CREATE TABLE machines (
    machine_id TEXT PRIMARY KEY,
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    hostname TEXT NOT NULL,
    name TEXT NOT NULL,
    static_key BLOB NOT NULL,
    agent_version TEXT NOT NULL,
    token_hash BLOB NOT NULL,
    enrolled_with TEXT NOT NULL,
    last_seen REAL NOT NULL,
    stopped_cleanly INTEGER NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX machines_of_workspace ON machines (workspace);
"""

_ENROLL = """
INSERT INTO machines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (machine_id) DO UPDATE SET
    hostname = excluded.hostname,
    name = excluded.name,
    static_key = excluded.static_key,
    agent_version = excluded.agent_version,
    token_hash = excluded.token_hash,
    enrolled_with = excluded.enrolled_with,
    last_seen = excluded.last_seen,
    stopped_cleanly = excluded.stopped_cleanly
"""


class SqliteStore(Store):
    """The records in the file `path`; with `create` it is made if need be, its folder too.

    Raises StoreUnusable when the file is no database, was written by a newer cmdop, or
    cannot be read and written.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._create = create
        # Guards the one connection, and a transaction on it from begin to end. SQLite
        # blocks on the disk under it: that is what it is for, and nobody who forwards
        # frames ever takes it.
        self._lock = threading.Lock()
        self._database = self._open()

    def create_workspace(self, workspace: Workspace, first_key: KeyRecord) -> None:
        with self._transaction() as run:
            if run("SELECT 1 FROM workspaces WHERE name = ?", (workspace.name,)):
                raise RecordExists(kind="workspace", name=workspace.name)
            run("INSERT INTO workspaces VALUES (?, ?)", astuple(workspace))
            _insert_key(run, first_key)

    def workspace(self, name: str) -> Workspace | None:
        rows = self._read("SELECT * FROM workspaces WHERE name = ?", (name,))
        return Workspace(*rows[0]) if rows else None

    def workspaces(self) -> list[Workspace]:
        return [Workspace(*row) for row in self._read("SELECT * FROM workspaces ORDER BY name")]

    def add_key(self, key: KeyRecord) -> None:
        with self._transaction() as run:
            _need_workspace(run, key.workspace)
            _insert_key(run, key)

    def key(self, key_id: str) -> KeyRecord | None:
        rows = self._read("SELECT * FROM keys WHERE key_id = ?", (key_id,))
        return KeyRecord(*rows[0]) if rows else None

    def keys(self, workspace: str | None = None) -> list[KeyRecord]:
        if workspace is None:
            rows = self._read("SELECT * FROM keys ORDER BY created, key_id")
        else:
            rows = self._read("SELECT * FROM keys WHERE workspace = ? ORDER BY created, key_id", (workspace,))
        return [KeyRecord(*row) for row in rows]

    def revoke_key(self, key_id: str, at: float) -> None:
        with self._transaction() as run:
            _need(run, "key", "SELECT 1 FROM keys WHERE key_id = ?", key_id)
            run("UPDATE keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL", (at, key_id))

    def enroll_machine(self, machine: MachineRow) -> None:
        with self._transaction() as run:
            _need_workspace(run, machine.workspace)
            known = run("SELECT workspace FROM machines WHERE machine_id = ?", (machine.machine_id,))
            if known and known[0][0] != machine.workspace:
                raise RecordExists(kind="machine", name=machine.machine_id)
            run(_ENROLL, astuple(machine))

    def update_machine(
        self, machine_id: str, *, hostname: str, name: str, static_key: bytes, agent_version: str
    ) -> None:
        with self._transaction() as run:
            _need(run, "machine", "SELECT 1 FROM machines WHERE machine_id = ?", machine_id)
            run(
                "UPDATE machines SET hostname = ?, name = ?, static_key = ?, agent_version = ? WHERE machine_id = ?",
                (hostname, name, static_key, agent_version, machine_id),
            )

    def machine(self, machine_id: str) -> MachineRow | None:
        rows = self._read("SELECT * FROM machines WHERE machine_id = ?", (machine_id,))
        return _machine(rows[0]) if rows else None

    def machines(self, workspace: str | None = None) -> list[MachineRow]:
        if workspace is None:
            rows = self._read("SELECT * FROM machines ORDER BY name, machine_id")
        else:
            rows = self._read("SELECT * FROM machines WHERE workspace = ? ORDER BY name, machine_id", (workspace,))
        return [_machine(row) for row in rows]

    def count_machines(self, workspace: str) -> int:
        count: int = self._read("SELECT COUNT(*) FROM machines WHERE workspace = ?", (workspace,))[0][0]
        return count

    def remove_machine(self, machine_id: str) -> None:
        with self._transaction() as run:
            _need(run, "machine", "SELECT 1 FROM machines WHERE machine_id = ?", machine_id)
            run("DELETE FROM machines WHERE machine_id = ?", (machine_id,))

    def note(self, keys_used: Mapping[str, float], machines_heard: Mapping[str, Heard]) -> None:
        with self._transaction() as run:
            for key_id, used in keys_used.items():
                run("UPDATE keys SET last_used = ? WHERE key_id = ?", (used, key_id))
            for machine_id, heard in machines_heard.items():
                run(
                    "UPDATE machines SET last_seen = ?, stopped_cleanly = ? WHERE machine_id = ?",
                    (heard.last_seen, heard.stopped_cleanly, machine_id),
                )

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _open(self) -> sqlite3.Connection:
        try:
            if self._create:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | (os.O_CREAT if self._create else 0), 0o600))
            os.chmod(self.path, 0o600)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self._create:
                raise StoreMissing(path=self.path) from error
            raise StoreUnusable(path=self.path, reason=error.strerror or str(error)) from error
        with self._translated():
            database = sqlite3.connect(
                self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(database)
            except BaseException:
                database.close()
                raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        # FULL: a revocation that was reported must survive a power cut.
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")  # two processes may open a new file at once
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreUnusable(path=self.path, reason="it was written by a newer cmdop")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self._translated():
            return self._database.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[_Run]:
        """Statements that are kept together; any exception leaves nothing of them."""
        with self._lock, self._translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield _Run(self._database)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a full disk has rolled it back by itself
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise StoreUnusable(path=self.path, reason=str(error)) from error


class _Run:
    """Runs one statement and returns its rows."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __call__(self, sql: str, values: Sequence[Any]) -> list[Any]:
        return self._database.execute(sql, values).fetchall()


def _insert_key(run: _Run, key: KeyRecord) -> None:
    if run("SELECT 1 FROM keys WHERE key_id = ?", (key.key_id,)):
        raise RecordExists(kind="key", name=key.key_id)
    run("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(key))


def _need(run: _Run, kind: str, sql: str, name: str) -> None:
    if not run(sql, (name,)):
        raise NoSuchRecord(kind=kind, name=name)


def _need_workspace(run: _Run, name: str) -> None:
    _need(run, "workspace", "SELECT 1 FROM workspaces WHERE name = ?", name)


def _machine(row: Sequence[Any]) -> MachineRow:
    machine = MachineRow(*row)
    return replace(machine, stopped_cleanly=bool(machine.stopped_cleanly))  # SQLite has no truth values
