"""Who gets into which session, and what a client may say about itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cmdop.agent.admission import Guest
from cmdop.errors import RoleTooLow, SessionGone, SessionRefused
from cmdop.limits import SESSION_TOKEN_SECONDS, WINDOW_MAX_BYTES
from tests.agent.knocking import Machine, register
from tests.agent.watcher import Watcher

ANNA = Guest("anna", observer=False)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.shells.close()


def test_every_success_has_a_token_of_its_own(machine: Machine) -> None:
    one, two = (machine.admission.success(register(), ANNA) for _ in range(2))
    assert one.session_token != two.session_token
    assert len(bytes.fromhex(one.session_token)) == 32
    assert one.ttl_seconds == SESSION_TOKEN_SECONDS


def test_who_comes_back_shows_the_token_that_it_was_given(machine: Machine) -> None:
    first = register(client_id="a" * 16)
    token = machine.admission.success(first, ANNA).session_token
    again = register(client_id="a" * 16, resume=True, session_token=token)
    assert machine.admission.success(again, ANNA).session_token == token


@pytest.mark.parametrize(
    ("client_id", "operator", "token"),
    [("b" * 16, "anna", None), ("a" * 16, "ben", None), ("a" * 16, "anna", ""), ("a" * 16, "anna", "f" * 64)],
    ids=["another client", "another operator", "no token", "a made-up token"],
)
def test_who_comes_back_without_its_own_token_is_turned_away(
    machine: Machine, client_id: str, operator: str, token: str | None
) -> None:
    given = machine.admission.success(register(client_id="a" * 16), ANNA).session_token
    shell, _, _ = machine.admission.enter(register(client_id="a" * 16), ANNA, Watcher())
    shown, session = given if token is None else token, shell.opened.session_id
    again = register(client_id=client_id, resume=True, session=session, session_token=shown)
    with pytest.raises(SessionRefused):
        machine.admission.success(again, Guest(operator, observer=False))


def test_who_comes_back_to_a_machine_that_crashed_hears_that_the_session_is_gone(machine: Machine) -> None:
    again = register(client_id="a" * 16, resume=True, session="abcd1234abcd1234", session_token="f" * 64)
    with pytest.raises(SessionGone, match="abcd1234"):
        machine.admission.success(again, ANNA)


def test_an_observer_takes_nothing_over(machine: Machine) -> None:
    machine.admission.enter(register(), ANNA, Watcher())
    with pytest.raises(RoleTooLow):
        machine.admission.enter(register(takeover=True), Guest("ben", observer=True), Watcher())


def test_a_guest_becomes_a_viewer_of_the_session(machine: Machine) -> None:
    stream = Watcher()
    shell, viewer, entry = machine.admission.enter(register(rows=5, cols=6, client_id="a" * 16), ANNA, stream)
    assert entry.created
    assert shell.opened.operator == "anna"
    assert (viewer.client_id, viewer.operator, viewer.observer) == ("a" * 16, "anna", False)
    assert viewer.winsize == (5, 6)
    assert viewer.stream is stream
    _, observer, entry = machine.admission.enter(register(), Guest("ben", observer=True), stream)
    assert not entry.created
    assert observer.observer


@pytest.mark.parametrize(("asked", "got"), [(0, 0), (5, 5), (2**53, WINDOW_MAX_BYTES)])
def test_no_window_is_larger_than_the_largest(machine: Machine, asked: int, got: int) -> None:
    _, viewer, _ = machine.admission.enter(register(window_bytes=asked), ANNA, Watcher())
    assert viewer.view.window_bytes == got


def test_who_leaves_is_no_longer_attached_and_twice_is_quiet(machine: Machine) -> None:
    shell, viewer, entry = machine.admission.enter(register(), ANNA, Watcher())
    with viewer.pumping:
        shell.attach(viewer, entry)
    machine.admission.entered()
    assert machine.shells.summaries()[0].clients == 1
    machine.admission.leave(shell, viewer, left=True)
    machine.admission.leave(shell, viewer, left=True)
    assert machine.shells.summaries()[0].clients == 0


def test_a_session_that_is_not_there_is_gone(machine: Machine) -> None:
    with pytest.raises(SessionGone):
        machine.admission.enter(register(session="0123"), ANNA, Watcher())
