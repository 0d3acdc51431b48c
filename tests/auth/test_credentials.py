"""Which key is used and with which relay: the first source that has one."""

from __future__ import annotations

import pytest

from cmdop.auth.credentials import Credential, Given, find_credential, secret_name
from cmdop.auth.keys import ApiKey, new_workspace_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import Workspaces, save_workspaces
from cmdop.errors import BadKey, NoApiKey
from cmdop.home import Home
from cmdop.limits import DEFAULT_SERVER

GIVEN, HOME, WORK = new_workspace_key(), new_workspace_key(), new_workspace_key()


def keep(where: Home, workspace: str, key: ApiKey) -> None:
    Vault(where).keep(secret_name(workspace), key.text)


@pytest.fixture
def kept(home: Home) -> Home:
    """Two workspaces with a key each; home is the active one."""
    save_workspaces(home, Workspaces("home", {"home": "ws://one", "work": "wss://two"}))
    keep(home, "home", HOME)
    keep(home, "work", WORK)
    return home


def test_a_key_that_was_given_comes_first(kept: Home) -> None:
    found = find_credential(kept, Given(api_key=GIVEN.text))
    assert found == Credential(GIVEN, "ws://one", "home")


def test_then_comes_the_workspace_that_was_named(kept: Home) -> None:
    assert find_credential(kept, Given(workspace="work")) == Credential(WORK, "wss://two", "work")


def test_then_comes_the_active_workspace(kept: Home) -> None:
    assert find_credential(kept, Given()) == Credential(HOME, "ws://one", "home")


def test_a_relay_that_was_given_comes_before_the_workspace_s(kept: Home) -> None:
    assert find_credential(kept, Given(server="ws://three")).server == "ws://three"
    found = find_credential(kept, Given("ws://three", GIVEN.text, "work"))
    assert found == Credential(GIVEN, "ws://three", "work")


def test_what_is_given_empty_is_not_given(kept: Home) -> None:
    assert find_credential(kept, Given("", "", "")) == Credential(HOME, "ws://one", "home")


def test_a_key_alone_is_enough_and_goes_to_the_usual_relay(home: Home) -> None:
    assert find_credential(home, Given(api_key=f" {GIVEN.text}\n")) == Credential(GIVEN, DEFAULT_SERVER, "default")
    assert not home.path.exists()


@pytest.mark.parametrize(("given", "name"), [(Given(), "default"), (Given(workspace="production"), "production")])
def test_where_no_source_has_one_the_workspace_is_named(home: Home, given: Given, name: str) -> None:
    with pytest.raises(NoApiKey, match=f'no API key for workspace "{name}"') as caught:
        find_credential(home, given)
    assert caught.value.next_step == "run cmdop connect key set KEY, or cmdop login"


def test_the_key_of_another_workspace_is_not_taken_instead(kept: Home) -> None:
    with pytest.raises(NoApiKey, match='"third"'):
        find_credential(kept, Given(workspace="third"))


def test_a_key_that_is_none_is_said_whole_or_kept(kept: Home) -> None:
    with pytest.raises(BadKey):
        find_credential(kept, Given(api_key="ck_nonsense"))
    Vault(kept).keep(secret_name("home"), "nonsense")
    with pytest.raises(BadKey):
        find_credential(kept, Given())


def test_a_credential_shows_no_secret(kept: Home) -> None:
    shown = repr(find_credential(kept, Given()))
    assert HOME.text not in shown
    assert HOME.secret.hex() not in shown
