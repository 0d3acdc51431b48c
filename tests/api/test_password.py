"""A machine with a password: given once, it is good for every call and attach of the process."""

from __future__ import annotations

from pathlib import Path

import pytest

import cmdop
from cmdop.api import opening as opening_module
from cmdop.auth.kept_passwords import KeptPasswords
from cmdop.auth.machine_password import set_password
from cmdop.auth.token_cache import TokenCache
from cmdop.errors import PasswordMissing, PasswordRefused, TokenMissing, UsageError
from cmdop.home import Home
from cmdop.limits import PASSWORD_MAX_BYTES
from tests.api.conftest import HOST
from tests.network import RunningAgent

PASSWORD = "open sesame"


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> TokenCache:
    """A process of its own."""
    cache = TokenCache()
    monkeypatch.setattr(opening_module, "TOKENS", cache)
    return cache


@pytest.fixture
def locked(agent: RunningAgent, tmp_path: Path) -> RunningAgent:
    set_password(Home(tmp_path / "agent"), PASSWORD)
    return agent


def test_without_a_password_calls_say_what_is_missing(locked: RunningAgent, annas: Home) -> None:
    with cmdop.connect(HOST, home=annas.path) as machine:
        with pytest.raises(TokenMissing) as raised:
            machine.sessions()
        assert raised.value.sentence == "Session requires password. Authenticate via ConnectTerminal first."
        with pytest.raises(TokenMissing):
            machine.execute("true")
        with pytest.raises(PasswordMissing):
            machine.attach()


def test_a_password_that_is_given_opens_calls_and_attaches(locked: RunningAgent, annas: Home) -> None:
    with cmdop.connect(HOST, home=annas.path, password=PASSWORD) as machine:
        made = machine.create_session()
        machine.send_input(made, b"exit 4\n")
        with machine.attach(made) as attached:
            list(attached)
            assert attached.ended == cmdop.Ended(4)
        assert machine.execute("true").status == 0


def test_an_attach_opens_the_calls_of_the_whole_process(locked: RunningAgent, annas: Home) -> None:
    with cmdop.connect(HOST, home=annas.path, password=PASSWORD) as machine:
        machine.attach().detach()
    with cmdop.connect(HOST, home=annas.path) as machine:
        assert len(machine.sessions()) == 1


def test_the_password_that_is_kept_is_tried_where_none_is_given(locked: RunningAgent, annas: Home) -> None:
    machine_id = locked.service.status()["machine_id"]
    KeptPasswords(annas).keep(machine_id, HOST, PASSWORD)
    with cmdop.connect(HOST, home=annas.path) as machine:
        assert machine.sessions() == []


def test_a_wrong_password_is_said(locked: RunningAgent, annas: Home) -> None:
    with cmdop.connect(HOST, home=annas.path, password="wrong") as machine:
        with pytest.raises(PasswordRefused):
            machine.sessions()
    with cmdop.connect(HOST, home=annas.path, password="wrong again") as machine:
        with pytest.raises(PasswordRefused):
            machine.attach()


@pytest.mark.parametrize("password", ["", "x" * (PASSWORD_MAX_BYTES + 1)])
def test_what_is_no_password_is_not_tried(locked: RunningAgent, annas: Home, password: str) -> None:
    with pytest.raises(UsageError):
        cmdop.connect(HOST, home=annas.path, password=password)
