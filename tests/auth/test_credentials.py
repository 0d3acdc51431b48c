"""Which key is used and with which relay: the first source that has one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keyring
import pytest

from cmdop.auth.credentials import (
    SOURCES,
    Credential,
    Given,
    find_credential,
    forget_key,
    keep_credential,
    kept_places,
    secret_name,
)
from cmdop.auth.keys import ApiKey, new_workspace_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import KnownRelay, Workspaces, changing_workspaces, load_workspaces
from cmdop.errors import BadKey, HomeUnusable, KeyringUnusable, NoApiKey
from cmdop.home import Home
from cmdop.limits import DEFAULT_SERVER
from tests.auth.keyrings import MemoryKeyring
from tests.disks import Disk, small_disk

GIVEN, HOME, WORK = new_workspace_key(), new_workspace_key(), new_workspace_key()


def keep(where: Home, workspace: str, key: ApiKey) -> None:
    Vault(where).keep(secret_name(workspace), key.text)


@pytest.fixture
def kept(home: Home) -> Home:
    """Two workspaces with a key each; home is the active one."""
    two_workspaces(home)
    return home


def two_workspaces(home: Home) -> None:
    with changing_workspaces(home) as file:
        file.known = Workspaces("home", {"home": KnownRelay("ws://one"), "work": KnownRelay("wss://two")})
    keep(home, "home", HOME)
    keep(home, "work", WORK)


def test_a_key_that_was_given_comes_first(kept: Home) -> None:
    found = find_credential(kept, Given(api_key=GIVEN.text))
    assert found == Credential(GIVEN, "ws://one", "home")


def test_the_command_line_comes_before_the_environment_and_that_before_what_is_kept(kept: Home) -> None:
    assert find_credential(kept, Given(api_key=GIVEN.text, environment_key=WORK.text)).key == GIVEN
    assert find_credential(kept, Given(environment_key=GIVEN.text, workspace="work")).key == GIVEN


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


COMMANDS = "run cmdop connect key set KEY, or cmdop login"
NAMED = "run cmdop connect key set KEY --workspace production, or cmdop login --workspace production"


@pytest.mark.parametrize(
    ("given", "name", "commands"),
    [(Given(), "default", COMMANDS), (Given(workspace="production"), "production", NAMED)],
)
def test_where_no_source_has_one_the_workspace_and_the_commands_that_help_are_named(
    home: Home, given: Given, name: str, commands: str
) -> None:
    with pytest.raises(NoApiKey) as caught:
        find_credential(home, given)
    assert caught.value.sentence == f'no API key for workspace "{name}"'
    assert caught.value.next_step == commands


def reasons(where: Home, given: Given) -> dict[str, str]:
    """Why each source did not serve, in their order."""
    with pytest.raises(NoApiKey) as caught:
        find_credential(where, given)
    return {each["source"]: each["reason"] for each in caught.value.details["sources"]}


def test_every_source_says_why_it_did_not_serve(home: Home) -> None:
    assert reasons(home, Given()) == {
        "--api-key": "not given",
        "CMDOP_API_KEY": "not set",
        "--workspace": "not given",
        'active workspace "default"': "no key is kept for it",
    }
    assert list(reasons(home, Given(workspace="production")).items())[2:] == [
        ('--workspace "production"', "no key is kept for it"),
        ("active workspace", '"default" is not asked, as another one was named'),
    ]
    assert len(SOURCES) == 4


def odd(where: Home, given: Given) -> list[str]:
    """What the user reads beside the commands."""
    with pytest.raises(NoApiKey) as caught:
        find_credential(where, given)
    return caught.value.next_step.splitlines()[1:]


def test_what_a_user_may_not_expect_is_said_beside_the_commands(kept: Home) -> None:
    assert odd(kept, Given(workspace="third")) == [
        '--workspace "third": there is no such one here; there are: home, work'
    ]
    forget_key(kept, "home")
    assert odd(kept, Given()) == []
    assert odd(kept, Given(environment_key=" ")) == ["CMDOP_API_KEY: it is empty"]
    assert odd(kept, Given(api_key="")) == ["--api-key: it is empty"]


def test_a_keyring_that_has_lost_the_key_is_said(kept: Home) -> None:
    before = keyring.get_keyring()
    ring = MemoryKeyring()
    keyring.set_keyring(ring)
    try:
        keep(kept, "home", HOME)
        ring.kept.clear()
        assert odd(kept, Given()) == ['active workspace "home": the keyring has its key no more']
    finally:
        keyring.set_keyring(before)


def test_the_key_of_another_workspace_is_not_taken_instead(kept: Home) -> None:
    with pytest.raises(NoApiKey, match='"third"'):
        find_credential(kept, Given(workspace="third"))


def test_a_key_that_is_none_is_said_whole_or_kept(kept: Home) -> None:
    with pytest.raises(BadKey, match=r"too short \(it came from --api-key\)$"):
        find_credential(kept, Given(api_key="ck_nonsense"))
    with pytest.raises(BadKey, match=r"\(it came from CMDOP_API_KEY\)$"):
        find_credential(kept, Given(environment_key="ck_nonsense"))
    Vault(kept).keep(secret_name("home"), "nonsense")
    with pytest.raises(BadKey, match=r'\(it came from the workspace "home"\)$'):
        find_credential(kept, Given())


def test_a_credential_shows_no_secret(kept: Home) -> None:
    shown = repr(find_credential(kept, Given()))
    assert HOME.text not in shown
    assert HOME.secret.hex() not in shown
    assert HOME.text not in repr(Given(api_key=HOME.text, environment_key=HOME.text))


# -- keeping and forgetting -----------------------------------------------------------------


def test_what_is_kept_is_found(home: Home) -> None:
    first, second = Credential(HOME, "ws://one", "home"), Credential(WORK, "wss://two", "work")
    assert keep_credential(home, first) == "file"
    assert find_credential(home, Given()) == first
    keep_credential(home, second)
    assert find_credential(home, Given()) == first
    keep_credential(home, second, active=True)
    assert find_credential(home, Given()) == second
    assert kept_places(home) == {"home": "file", "work": "file"}


@pytest.mark.parametrize("workspace", ["home", "work", "third"])
@pytest.mark.parametrize(
    "stop", [KeyringUnusable(reason="locked"), HomeUnusable(path="x", reason="full"), KeyboardInterrupt()]
)
def test_a_key_that_cannot_be_kept_changes_nothing(
    kept: Home, monkeypatch: pytest.MonkeyPatch, stop: BaseException, workspace: str
) -> None:
    """Or else an old key would be shown to another relay."""

    def fail(*_: object) -> str:
        raise stop

    before = load_workspaces(kept)
    with monkeypatch.context() as patch:
        patch.setattr(Vault, "keep", fail)
        with pytest.raises(type(stop)):
            keep_credential(kept, Credential(GIVEN, "ws://new", workspace), active=True)
    assert load_workspaces(kept) == before
    assert find_credential(kept, Given(workspace="work")) == Credential(WORK, "wss://two", "work")


@pytest.mark.parametrize("harm", [Disk.fill, Disk.make_read_only], ids=["full", "read-only"])
@pytest.mark.parametrize("workspace", ["home", "work", "third"])
def test_a_disk_that_takes_nothing_loses_nothing(tmp_path: Path, harm: Callable[[Disk], None], workspace: str) -> None:
    with small_disk(tmp_path / "disk") as disk:
        where = Home(disk.path / "cmdop")
        two_workspaces(where)
        harm(disk)
        with pytest.raises(HomeUnusable):
            keep_credential(where, Credential(GIVEN, "ws://new", workspace), active=True)
        with pytest.raises(HomeUnusable):
            forget_key(where, "home")
        assert find_credential(where, Given()) == Credential(HOME, "ws://one", "home")
        assert find_credential(where, Given(workspace="work")) == Credential(WORK, "wss://two", "work")


def test_a_key_is_forgotten_once_and_said_which(kept: Home) -> None:
    assert forget_key(kept, "home") == HOME
    assert load_workspaces(kept).servers["home"] == "ws://one"
    with pytest.raises(NoApiKey, match='"home"') as caught:
        forget_key(kept, "home")
    assert caught.value.next_step == COMMANDS
    assert find_credential(kept, Given(workspace="work")).key == WORK


def test_a_key_that_is_none_is_forgotten_too(kept: Home) -> None:
    Vault(kept).keep(secret_name("home"), "nonsense")
    assert forget_key(kept, "home") is None
    assert kept_places(kept) == {"work": "file"}
