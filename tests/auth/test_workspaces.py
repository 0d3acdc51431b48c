"""The workspaces that this client knows."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import DEFAULT_WORKSPACE, FILE, KnownRelay, Workspaces, changing_workspaces, load_workspaces
from cmdop.errors import ConfigCorrupt, NoSuchWorkspace
from cmdop.home import Home

WRITERS, WRITES = 2, 15


def test_at_first_nothing_is_known(home: Home) -> None:
    assert load_workspaces(home) == Workspaces(DEFAULT_WORKSPACE, {})
    assert not home.path.exists()


def test_the_first_workspace_becomes_active_and_the_next_does_not() -> None:
    one = Workspaces(DEFAULT_WORKSPACE, {}).with_relay("home", KnownRelay("ws://one"))
    assert one == Workspaces("home", {"home": KnownRelay("ws://one")})
    two = one.with_relay("work", KnownRelay("wss://two"))
    assert two == Workspaces("home", {"home": KnownRelay("ws://one"), "work": KnownRelay("wss://two")})
    assert two.with_relay("home", KnownRelay("ws://three")).servers["home"] == "ws://three"
    assert one.servers == {"home": "ws://one"}


HOME_AND_WORK = Workspaces("home", {"home": KnownRelay("ws://one"), "work": KnownRelay("wss://two")})


def test_another_one_is_made_active(home: Home) -> None:
    assert HOME_AND_WORK.with_active("work") == Workspaces("work", HOME_AND_WORK.relays)
    with pytest.raises(NoSuchWorkspace, match='there is no workspace "third" here') as caught:
        HOME_AND_WORK.with_active("third")
    assert caught.value.next_step.startswith("known here: home, work;")


def test_when_the_active_one_goes_the_only_one_left_is_active_or_none() -> None:
    three = HOME_AND_WORK.with_relay("third", KnownRelay("ws://three"))
    assert HOME_AND_WORK.without("home") == Workspaces("work", {"work": KnownRelay("wss://two")})
    assert HOME_AND_WORK.without("work") == Workspaces("home", {"home": KnownRelay("ws://one")})
    assert three.without("home").active == DEFAULT_WORKSPACE
    assert HOME_AND_WORK.without("home").without("work") == Workspaces(DEFAULT_WORKSPACE, {})
    with pytest.raises(NoSuchWorkspace):
        HOME_AND_WORK.without("third")


def test_what_was_changed_in_one_is_put_back_and_what_others_changed_stays() -> None:
    changed = (
        HOME_AND_WORK.with_relay("work", KnownRelay("ws://new"))
        .with_active("work")
        .with_relay("third", KnownRelay("ws://three"))
    )
    back = changed.put_back("work", HOME_AND_WORK)
    assert back == Workspaces(
        "home", {"home": KnownRelay("ws://one"), "third": KnownRelay("ws://three"), "work": KnownRelay("wss://two")}
    )
    assert changed.put_back("third", HOME_AND_WORK).servers == {"home": "ws://one", "work": "ws://new"}


def test_where_something_is_raised_nothing_is_written(home: Home) -> None:
    def use_another_one() -> None:
        with changing_workspaces(home) as file:
            file.known = file.known.with_relay("home", KnownRelay("ws://one"))
            file.known.with_active("other")

    with pytest.raises(NoSuchWorkspace):
        use_another_one()
    assert not home.file(FILE).exists()


def test_what_is_not_changed_is_not_written(home: Home) -> None:
    with changing_workspaces(home) as file:
        file.known = HOME_AND_WORK
    before = home.file(FILE).stat().st_ino
    with changing_workspaces(home) as file:
        file.known = file.known.with_active("home")
    assert home.file(FILE).stat().st_ino == before


def test_processes_that_add_at_once_lose_nothing(home: Home) -> None:
    processes = multiprocessing.get_context("spawn")
    start = processes.Barrier(WRITERS)
    writers = [processes.Process(target=_add, args=(home.path, number, start)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    names = {f"{writer}-{number}" for writer in range(WRITERS) for number in range(WRITES)}
    assert set(load_workspaces(home).servers) == names
    assert {name for name in names if Vault(home).get(name) == name} == names


def _add(path: Path, writer: int, start: Any) -> None:
    home = Home(path)
    start.wait(30)
    for number in range(WRITES):
        name = f"{writer}-{number}"
        with changing_workspaces(home) as file:
            file.known = file.known.with_relay(name, KnownRelay("ws://one"))
        Vault(home).keep(name, name)


def test_what_is_saved_is_loaded(home: Home) -> None:
    known = Workspaces("größe", {"größe": KnownRelay("ws://one"), "work": KnownRelay("wss://two")})
    with changing_workspaces(home) as file:
        file.known = known
    assert load_workspaces(home) == known
    assert home.read_json(FILE) == {
        "active": "größe",
        "workspaces": {"größe": {"server": "ws://one"}, "work": {"server": "wss://two"}},
    }


def test_whom_to_trust_goes_with_the_relay(home: Home) -> None:
    with changing_workspaces(home) as file:
        file.known = file.known.with_relay("home", KnownRelay("wss://one", Path("/ca.pem")))
    known = load_workspaces(home)
    assert home.read_json(FILE)["workspaces"] == {"home": {"server": "wss://one", "ca_file": "/ca.pem"}}
    assert known.ca_file("home", "wss://one") == Path("/ca.pem")
    assert known.ca_file("home", "wss://two") is None
    assert known.ca_file("work", "wss://one") is None


def test_what_a_newer_cmdop_adds_to_an_entry_does_no_harm(home: Home) -> None:
    home.write_json(FILE, {"active": "a", "workspaces": {"a": {"server": "ws://one", "colour": "red"}}, "new": 1})
    assert load_workspaces(home) == Workspaces("a", {"a": KnownRelay("ws://one")})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"active": "a"},
        {"active": None, "workspaces": {}},
        {"active": "a", "workspaces": []},
        {"active": "a", "workspaces": {"a": "ws://one"}},
        {"active": "a", "workspaces": {"a": {}}},
        {"active": "a", "workspaces": {"a": {"server": 5}}},
        {"active": "a", "workspaces": {"a": {"server": "ws://one"}, "b": None}},
    ],
)
def test_a_file_that_makes_no_sense_is_set_aside_and_said(home: Home, fields: dict[str, Any]) -> None:
    home.write_json(FILE, fields)
    with pytest.raises(ConfigCorrupt) as caught:
        load_workspaces(home)
    assert f"{FILE}.corrupt-1" in caught.value.next_step
    assert load_workspaces(home) == Workspaces(DEFAULT_WORKSPACE, {})


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)
    )
)
def test_no_content_raises_anything_else(fields: Any) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.write_json(FILE, {"active": "a", "workspaces": fields})
        try:
            assert load_workspaces(home).active == "a"
        except ConfigCorrupt:
            assert home.file(f"{FILE}.corrupt-1").exists()
