"""What every store promises, whichever it is: a new one is one more line in `store`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cmdop.errors import NoSuchRecord, RecordExists, StoreUnusable
from cmdop.store.interface import Heard, KeyRecord, MachineRow, Store, Workspace
from cmdop.store.sqlite import SqliteStore

STORES = {"sqlite": lambda folder: SqliteStore(folder / "relay.db")}
HOME = Workspace("home", 100.0)
FIRST = KeyRecord("aa11", "home", "anna", "admin", b"h" * 32, 100.0)
AGENT = KeyRecord("bb22", "home", "machines", "agent", b"a" * 32, 101.0)
ID = "8f23a4b0-0000-4000-8000-000000000001"
MACHINE = MachineRow(ID, "home", "host", "name", b"s" * 32, "0.1", b"t" * 32, "bb22", 200.0, False, 150.0)


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = STORES[request.param](tmp_path)
    store.create_workspace(HOME, FIRST)
    yield store
    store.close()


def test_a_workspace_comes_with_its_first_key(store: Store) -> None:
    assert store.workspace("home") == HOME
    assert store.keys("home") == [FIRST]


def test_what_was_never_kept_is_none(store: Store) -> None:
    assert store.workspace("away") is None
    assert store.key("ffff") is None
    assert store.machine(ID) is None
    assert store.keys("away") == []
    assert store.machines("away") == []
    assert store.count_machines("away") == 0


def test_workspaces_are_listed_by_name(store: Store) -> None:
    store.create_workspace(Workspace("attic", 99.0), replace(FIRST, key_id="cc33", workspace="attic"))
    assert [workspace.name for workspace in store.workspaces()] == ["attic", "home"]


def test_a_workspace_that_exists_is_not_made_again_and_nothing_of_it_is_kept(store: Store) -> None:
    with pytest.raises(RecordExists):
        store.create_workspace(Workspace("home", 5.0), replace(FIRST, key_id="cc33"))
    assert store.workspace("home") == HOME
    assert store.key("cc33") is None


def test_a_first_key_that_exists_leaves_no_workspace_without_a_key(store: Store) -> None:
    with pytest.raises(RecordExists):
        store.create_workspace(Workspace("attic", 5.0), replace(FIRST, workspace="attic"))
    assert store.workspace("attic") is None


def test_keys_are_listed_oldest_first(store: Store) -> None:
    store.add_key(AGENT)
    store.add_key(replace(AGENT, key_id="0000", created=50.0))
    assert [key.key_id for key in store.keys(None)] == ["0000", "aa11", "bb22"]


def test_a_key_needs_a_workspace_and_an_id_of_its_own(store: Store) -> None:
    with pytest.raises(NoSuchRecord):
        store.add_key(replace(AGENT, workspace="away"))
    with pytest.raises(RecordExists):
        store.add_key(replace(AGENT, key_id="aa11"))
    assert store.keys() == [FIRST]


def test_a_revocation_keeps_its_first_time(store: Store) -> None:
    store.revoke_key("aa11", 300.0)
    store.revoke_key("aa11", 400.0)
    assert store.key("aa11") == replace(FIRST, revoked_at=300.0)


def test_a_key_that_does_not_exist_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(NoSuchRecord):
        store.revoke_key("ffff", 300.0)


def test_a_machine_is_kept_as_it_was_given(store: Store) -> None:
    store.enroll_machine(MACHINE)
    assert store.machine(ID) == MACHINE
    assert store.machines("home") == [MACHINE]
    assert store.machines() == [MACHINE]
    assert store.count_machines("home") == 1


def test_enrolling_again_replaces_everything_but_the_beginning(store: Store) -> None:
    store.enroll_machine(MACHINE)
    again = replace(MACHINE, hostname="new", name="new", token_hash=b"n" * 32, static_key=b"k" * 32, created=900.0)
    again = replace(again, agent_version="2", enrolled_with="cc33", last_seen=901.0, stopped_cleanly=True)
    store.enroll_machine(again)
    assert store.machine(ID) == replace(again, created=150.0)


def test_a_machine_of_another_workspace_cannot_be_taken(store: Store) -> None:
    store.create_workspace(Workspace("attic", 99.0), replace(FIRST, key_id="cc33", workspace="attic"))
    store.enroll_machine(MACHINE)
    with pytest.raises(RecordExists):
        store.enroll_machine(replace(MACHINE, workspace="attic"))
    assert store.machine(ID) == MACHINE


def test_a_machine_needs_a_workspace(store: Store) -> None:
    with pytest.raises(NoSuchRecord):
        store.enroll_machine(replace(MACHINE, workspace="away"))


def test_a_machine_may_change_what_it_says_of_itself(store: Store) -> None:
    store.enroll_machine(MACHINE)
    store.update_machine(ID, hostname="h2", name="n2", static_key=b"2" * 32, agent_version="0.2")
    changed = replace(MACHINE, hostname="h2", name="n2", static_key=b"2" * 32, agent_version="0.2")
    assert store.machine(ID) == changed


def test_a_removed_machine_is_gone(store: Store) -> None:
    store.enroll_machine(MACHINE)
    store.remove_machine(ID)
    assert store.machine(ID) is None
    with pytest.raises(NoSuchRecord):
        store.remove_machine(ID)
    with pytest.raises(NoSuchRecord):
        store.update_machine(ID, hostname="h", name="n", static_key=b"", agent_version="")


def test_notes_change_times_and_ignore_who_is_unknown(store: Store) -> None:
    store.enroll_machine(MACHINE)
    store.note({"aa11": 500.0, "ffff": 1.0}, {ID: Heard(600.0, stopped_cleanly=True), "?": Heard(1.0, False)})
    assert store.key("aa11") == replace(FIRST, last_used=500.0)
    assert store.machine(ID) == replace(MACHINE, last_seen=600.0, stopped_cleanly=True)
    assert store.keys() == [replace(FIRST, last_used=500.0)]


def test_many_threads_may_use_one_store(store: Store) -> None:
    def add(number: int) -> None:
        for count in range(10):
            store.add_key(replace(AGENT, key_id=f"{number}-{count}"))
            assert store.key(f"{number}-{count}") is not None

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.keys()) == 81


def test_a_closed_store_says_so_and_closing_twice_is_quiet(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreUnusable):
        store.workspaces()
    with pytest.raises(StoreUnusable):
        store.revoke_key("aa11", 1.0)


def test_a_text_that_cannot_be_kept_is_no_traceback(store: Store) -> None:
    with pytest.raises(StoreUnusable):
        store.key("\udcff")
