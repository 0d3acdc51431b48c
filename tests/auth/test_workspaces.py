"""The workspaces that this client knows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.auth.workspaces import DEFAULT_WORKSPACE, FILE, Workspaces, load_workspaces, save_workspaces
from cmdop.errors import ConfigCorrupt
from cmdop.home import Home


def test_at_first_nothing_is_known(home: Home) -> None:
    assert load_workspaces(home) == Workspaces(DEFAULT_WORKSPACE, {})
    assert not home.path.exists()


def test_the_first_workspace_becomes_active_and_the_next_does_not() -> None:
    one = Workspaces(DEFAULT_WORKSPACE, {}).with_server("home", "ws://one")
    assert one == Workspaces("home", {"home": "ws://one"})
    two = one.with_server("work", "wss://two")
    assert two == Workspaces("home", {"home": "ws://one", "work": "wss://two"})
    assert two.with_server("home", "ws://three").servers["home"] == "ws://three"
    assert one.servers == {"home": "ws://one"}


def test_what_is_saved_is_loaded(home: Home) -> None:
    known = Workspaces("größe", {"größe": "ws://one", "work": "wss://two"})
    save_workspaces(home, known)
    assert load_workspaces(home) == known
    assert home.read_json(FILE) == {
        "active": "größe",
        "workspaces": {"größe": {"server": "ws://one"}, "work": {"server": "wss://two"}},
    }


def test_what_a_newer_cmdop_adds_to_an_entry_does_no_harm(home: Home) -> None:
    home.write_json(FILE, {"active": "a", "workspaces": {"a": {"server": "ws://one", "colour": "red"}}, "new": 1})
    assert load_workspaces(home) == Workspaces("a", {"a": "ws://one"})


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
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.write_json(FILE, {"active": "a", "workspaces": fields})
        try:
            assert load_workspaces(home).active == "a"
        except ConfigCorrupt:
            assert home.file(f"{FILE}.corrupt-1").exists()
