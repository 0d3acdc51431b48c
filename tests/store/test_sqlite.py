"""What is particular to records in a file."""

from __future__ import annotations

import sqlite3
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cmdop.errors import StoreUnusable
from cmdop.store.interface import KeyRecord, Workspace
from cmdop.store.sqlite import SCHEMA_VERSION, SqliteStore

KEY = KeyRecord("aa11", "home", "anna", "admin", b"h" * 32, 100.0)


def test_records_are_there_after_a_restart(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "relay.db")
    first.create_workspace(Workspace("home", 1.0), KEY)
    first.close()
    assert SqliteStore(tmp_path / "relay.db").key("aa11") == KEY


def test_two_processes_see_each_others_changes(tmp_path: Path) -> None:
    one, other = SqliteStore(tmp_path / "relay.db"), SqliteStore(tmp_path / "relay.db")
    one.create_workspace(Workspace("home", 1.0), KEY)
    other.revoke_key("aa11", 5.0)
    assert one.key("aa11") == replace(KEY, revoked_at=5.0)


def test_the_file_says_which_schema_it_has(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "relay.db").close()
    assert sqlite3.connect(tmp_path / "relay.db").execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_files_are_private_even_where_one_was_not(tmp_path: Path) -> None:
    path = tmp_path / "new" / "relay.db"
    path.parent.mkdir()
    path.touch(0o644)
    store = SqliteStore(path)
    store.create_workspace(Workspace("home", 1.0), KEY)
    files = list(path.parent.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(b"these are not the records you are looking for" * 100)
    with pytest.raises(StoreUnusable, match=r"relay\.db cannot be used: .*not a database"):
        SqliteStore(path)
    assert path.read_bytes().startswith(b"these are not")


def test_a_file_of_a_newer_cmdop_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    SqliteStore(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreUnusable, match="newer cmdop"):
        SqliteStore(path)


def test_a_torn_file_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = SqliteStore(path)
    store.create_workspace(Workspace("home", 1.0), KEY)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(StoreUnusable):
        SqliteStore(path).keys()


@pytest.mark.parametrize("name", [".", "file/relay.db"])
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable):
        SqliteStore(tmp_path / name)


def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    class NearlyFull(SqliteStore):
        def _open(self) -> sqlite3.Connection:
            database = super()._open()
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages}")
            return database

    path = tmp_path / "relay.db"
    whole = SqliteStore(path)
    whole.create_workspace(Workspace("home", 1.0), KEY)
    whole.close()
    store = NearlyFull(path)
    with pytest.raises(StoreUnusable, match="full"):
        store.add_key(replace(KEY, key_id="bb22", label="x" * 100_000))
    assert store.keys() == [KEY]
    store.revoke_key("aa11", 7.0)
    assert store.keys() == [replace(KEY, revoked_at=7.0)]
