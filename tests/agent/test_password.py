"""A machine with a password, as a stream meets it: who is let in, when, and how many may guess."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from cmdop.agent.password_gate import FILE as GUESSES
from cmdop.agent.password_gate import PasswordGate
from cmdop.auth.guesses import Guesser
from cmdop.auth.machine_password import FILE, MachinePassword, clear_password, set_password
from cmdop.errors import TimedOut, TooManyGuesses
from cmdop.home import Home
from cmdop.limits import AUTH_TIMEOUT_SECONDS, PASSWORD_ANSWER_SECONDS, PASSWORD_TRIES_MAX, WAITING_GUESSES_MAX
from cmdop.wire.call_messages import Authenticate, ListSessions, Sessions
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import AuthChallenge, AuthResponse, AuthSuccess, Ready, Refused
from tests.agent.fake_pty import TIMEOUT_SECONDS
from tests.agent.knocking import Client, Machine, register

RIGHT = "correct horse"
ANNA = Guesser("a" * 64, "key")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmdop.auth.machine_password.SCRYPT_N", 2)
    monkeypatch.setattr("cmdop.auth.guesses.GUESS_WAIT_FIRST_SECONDS", 0.001)


@pytest.fixture
def machine(home: Home) -> Iterator[Machine]:
    """One with a password."""
    set_password(home, RIGHT)
    machine = Machine(home)
    yield machine
    machine.shells.close()


def knock(machine: Machine, **fields: object) -> Client:
    """A client that has registered."""
    client = machine.knock()
    client.shake()
    client.say(register(**fields))
    return client


def answer(client: Client, password: str) -> AuthChallenge:
    challenge = client.hear(AuthChallenge)
    client.say(AuthResponse("password", password))
    return challenge


def enter(machine: Machine, **fields: object) -> tuple[Client, str]:
    """A client that is in, and its token."""
    client = knock(machine, **fields)
    answer(client, RIGHT)
    token = client.hear(AuthSuccess).session_token
    client.ready = client.hear(Ready)
    return client, token


# -- one client ---------------------------------------------------------------------------


def test_who_knows_the_password_is_let_in(machine: Machine) -> None:
    client = knock(machine)
    assert answer(client, RIGHT) == AuthChallenge(("password",), PASSWORD_TRIES_MAX, 0.0)
    success = client.hear(AuthSuccess)
    assert (len(success.session_token), success.ttl_seconds) == (64, 24 * 3600)
    assert client.hear(Ready).created
    client.send(RecordKind.INPUT, 0, b"ls\n")
    assert machine.ptys[0].until_typed(3) == b"ls\n"


def test_before_the_password_nothing_is_started_shown_or_typed(machine: Machine) -> None:
    client = knock(machine)
    client.hear(AuthChallenge)
    client.send(RecordKind.INPUT, 0, b"ls\n")
    assert client.until_closed()[0] == "remote-protocol"
    assert machine.ptys == []


def test_who_was_wrong_may_try_again_until_none_is_left(machine: Machine) -> None:
    client = knock(machine)
    left = [answer(client, f"wrong {number}").tries_left for number in range(PASSWORD_TRIES_MAX)]
    assert left == list(range(PASSWORD_TRIES_MAX, 0, -1))
    assert client.until_closed()[0] == "wrong-password"
    assert machine.ptys == []


def test_the_right_one_counts_after_wrong_ones(machine: Machine) -> None:
    client = knock(machine)
    for password in ("", "wrong", "x" * 4000, RIGHT):
        answer(client, password)
    assert client.hear(Ready).created


def test_an_observer_is_asked_as_well(machine: Machine) -> None:
    enter(machine)
    client = machine.knock("observer")
    client.shake()
    client.say(register())
    answer(client, RIGHT)
    assert not client.hear(Ready).created


@pytest.mark.parametrize("early", [True, False])
def test_an_answer_that_nobody_asked_for_costs_a_client_its_stream(machine: Machine, early: bool) -> None:
    client = machine.knock() if early else enter(machine)[0]
    if early:
        client.shake()
    client.say(AuthResponse("password", RIGHT))
    assert client.until_closed()[0] == "remote-protocol"


def test_another_method_costs_a_client_its_stream(machine: Machine) -> None:
    client = knock(machine)
    client.hear(AuthChallenge)
    client.say(AuthResponse("signature", RIGHT))
    assert client.until_closed()[0] == "remote-protocol"
    assert machine.ptys == []


def test_somebody_who_types_has_time_and_not_for_ever(machine: Machine) -> None:
    client = knock(machine)
    client.hear(AuthChallenge)
    asked_at = time.monotonic()
    client.stream.end_if_idle(asked_at + 5 * AUTH_TIMEOUT_SECONDS)
    assert client.closings == []
    client.stream.end_if_idle(asked_at + PASSWORD_ANSWER_SECONDS + 1)
    assert client.until_closed()[0] == "timed-out"


def test_no_word_of_it_is_in_the_log_but_who_it_was(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = knock(machine)
    for password in ("battery staple", RIGHT):
        answer(client, password)
    token = client.hear(AuthSuccess).session_token
    client.hear(Ready)
    assert "wrong password by anna (key key, from 192.0.2.1)" in caplog.text
    assert not any(secret in caplog.text for secret in ("battery", "horse", token))


# -- tokens -------------------------------------------------------------------------------


def test_a_token_spares_the_question_on_another_stream(machine: Machine) -> None:
    _, token = enter(machine)
    client = knock(machine, session_token=token)
    assert client.hear(AuthSuccess).ttl_seconds <= 24 * 3600
    assert not client.hear(Ready).created


def test_a_client_that_comes_back_with_its_token_is_not_asked(machine: Machine) -> None:
    client, token = enter(machine, client_id="a" * 16)
    again = knock(machine, client_id="a" * 16, resume=True, session=client.ready.session_id, session_token=token)
    assert again.hear(AuthSuccess).session_token == token
    assert again.hear(Ready).session_id == client.ready.session_id


@pytest.mark.parametrize("token", ["", "f" * 64])
def test_without_a_token_or_with_a_made_up_one_everybody_is_asked(machine: Machine, token: str) -> None:
    assert answer(knock(machine, session_token=token), RIGHT)


def test_another_password_revokes_the_tokens_and_leaves_who_is_there(machine: Machine, home: Home) -> None:
    client, token = enter(machine, client_id="a" * 16)
    set_password(home, "another")
    client.send(RecordKind.INPUT, 0, b"x")
    assert machine.ptys[0].until_typed(1) == b"x"
    back = {"client_id": "a" * 16, "resume": True, "session": client.ready.session_id, "session_token": token}
    again = knock(machine, **back)
    answer(again, RIGHT)
    answer(again, "another")
    assert again.hear(AuthSuccess).session_token != token
    assert again.hear(Ready).input_offset == 1


def test_a_revoked_token_still_says_whose_session_it_was(machine: Machine, home: Home) -> None:
    client, _ = enter(machine, client_id="a" * 16)
    back = {"client_id": "a" * 16, "resume": True, "session": client.ready.session_id, "session_token": "f" * 64}
    thief = knock(machine, **back)
    answer(thief, RIGHT)
    assert thief.until_closed()[0] == "session-refused"


def test_a_password_that_is_set_again_revokes_as_well(machine: Machine, home: Home) -> None:
    _, token = enter(machine)
    set_password(home, RIGHT)
    assert answer(knock(machine, session_token=token), RIGHT)


def test_a_machine_whose_password_was_cleared_asks_nobody(machine: Machine, home: Home) -> None:
    client, token = enter(machine, client_id="a" * 16)
    clear_password(home)
    assert not knock(machine).hear(Ready).created
    again = knock(machine, client_id="a" * 16, resume=True, session=client.ready.session_id, session_token=token)
    assert again.hear(Ready)


def test_a_password_that_cannot_be_read_opens_nothing(machine: Machine, home: Home) -> None:
    home.write_bytes(FILE, b"{")
    assert knock(machine).until_closed()[0] == "password-unusable"
    assert machine.ptys == []


# -- calls --------------------------------------------------------------------------------


def caller(machine: Machine) -> Client:
    client = machine.knock()
    client.shake()
    return client


def test_a_call_needs_a_token_and_says_so_in_the_promised_words(machine: Machine) -> None:
    client = caller(machine)
    client.call(ListSessions())
    refused = client.hear(Refused)
    assert refused == Refused("token-missing", "Session requires password. Authenticate via ConnectTerminal first.")
    assert client.closings == []


def test_the_token_of_an_attach_serves_calls_until_the_password_is_another_one(machine: Machine, home: Home) -> None:
    _, token = enter(machine)
    client = caller(machine)
    client.call(ListSessions(session_token=token))
    assert len(client.hear(Sessions).sessions) == 1
    set_password(home, RIGHT)
    client.call(ListSessions(session_token=token))
    assert client.hear(Refused).code == "token-missing"


def test_a_caller_proves_that_it_knows_the_password(machine: Machine) -> None:
    client = caller(machine)
    client.call(Authenticate("password", "wrong"))
    assert client.hear(Refused).code == "wrong-password"
    client.call(Authenticate("password", RIGHT))
    client.call(ListSessions(session_token=client.hear(AuthSuccess).session_token))
    assert client.hear(Sessions).sessions == ()


def test_a_token_for_calls_takes_nobody_s_place(machine: Machine) -> None:
    attached, _ = enter(machine, client_id="a" * 16)
    client = caller(machine)
    client.call(Authenticate("password", RIGHT))
    token = client.hear(AuthSuccess).session_token
    thief = knock(machine, client_id="a" * 16, resume=True, session=attached.ready.session_id, session_token=token)
    assert thief.until_closed()[0] == "session-refused"


# -- many ---------------------------------------------------------------------------------


def test_scrypt_runs_once_at_a_time_however_many_guess(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmdop.auth.guesses.GUESS_WAIT_MAX_SECONDS", 0.001)
    at_once, most = 0, 0
    matches = MachinePassword.matches

    def counting(password: MachinePassword, text: str) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        fits = matches(password, text)
        at_once -= 1
        return fits

    monkeypatch.setattr(MachinePassword, "matches", counting)
    clients = [knock(machine) for _ in range(10)]
    for _ in range(PASSWORD_TRIES_MAX):
        for client in clients:
            answer(client, "wrong")
    assert {client.until_closed()[0] for client in clients} == {"wrong-password"}
    assert most == 1


def test_a_thousand_tries_of_ten_clients_take_as_long_as_the_policy_says_and_a_patient_user_gets_in(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy in milliseconds: nothing but the unit is another one."""
    monkeypatch.setattr("cmdop.auth.guesses.GUESS_WAIT_MAX_SECONDS", 0.002)
    tries, began = 1000, time.monotonic()
    left = iter(range(tries))
    # Guards `left`.
    lock = threading.Lock()
    judged = threading.Event()

    def guess(number: int) -> None:
        client, mine = machine.knock(static=bytes([number + 1]) * 32), 0
        client.shake()
        client.say(register())
        while True:
            with lock:
                if next(left, None) is None:
                    return
            if mine == PASSWORD_TRIES_MAX:
                assert client.until_closed()[0] == "wrong-password"
                client, mine = machine.knock(static=bytes([number + 1]) * 32), 0
                client.shake()
                client.say(register())
            answer(client, "wrong")
            mine += 1
            judged.set()

    guessing = [threading.Thread(target=guess, args=(number,), name=f"guess {number}") for number in range(10)]
    for thread in guessing:
        thread.start()
    assert judged.wait(TIMEOUT_SECONDS)
    enter(machine)
    assert any(thread.is_alive() for thread in guessing), "they were still at it"
    for thread in guessing:
        thread.join(6 * TIMEOUT_SECONDS)
    wrong = sum(count for _, _, count in machine.gate._guesses.rows())
    assert wrong >= tries - len(guessing), "the last of each may be about to be judged"
    assert time.monotonic() - began >= (wrong - 5) * 0.002


def test_wrong_ones_slow_everybody_and_outlive_the_agent(home: Home, machine: Machine) -> None:
    client = knock(machine)
    for _ in range(4):
        answer(client, "wrong")
    client.hear(AuthChallenge)
    kept = json.loads(home.file(GUESSES).read_text())
    assert [count for _, _, count in kept["wrong"]] == [4]
    gate = PasswordGate(home, lambda: kept["last_at"])
    assert gate.wait_seconds(ANNA) == pytest.approx(0.002, rel=0.01)


def test_another_password_begins_the_count_anew(home: Home, machine: Machine) -> None:
    client = knock(machine)
    for _ in range(4):
        answer(client, "wrong")
    client.hear(AuthChallenge)
    assert [count for _, _, count in machine.gate._guesses.rows()] == [4]
    set_password(home, "another")
    client.say(AuthResponse("password", "wrong"))
    client.hear(AuthChallenge)
    for gate in (machine.gate, PasswordGate(home)):
        gate.password()
        assert [count for _, _, count in gate._guesses.rows()] == [1]


@pytest.mark.parametrize(
    "content",
    [
        b'{"wrong": [5]}',
        b'{"password_id": "", "wrong": [["a", "b", Infinity]], "last_at": 0}',
        b'{"password_id": "", "wrong": [["a", "b", 1]], "last_at": NaN}',
        b'{"password_id": "", "wrong": [["a", "b", 1]], "last_at": 1' + b"0" * 400 + b"}",
    ],
)
def test_a_count_that_makes_no_sense_is_begun_anew(
    home: Home, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    home.write_bytes(GUESSES, content)
    assert PasswordGate(home).wait_seconds(ANNA) == 0
    assert "counted anew" in caplog.text


def test_a_home_that_cannot_be_written_to_is_no_way_in(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    set_password(home, RIGHT)
    gate = PasswordGate(home)
    home.file(GUESSES).mkdir()
    for _ in range(4):
        assert gate.proves(gate.queue(ANNA), "wrong") is None
    assert gate.proves(gate.queue(ANNA), RIGHT)


def test_who_leaves_while_its_answer_waits_holds_up_nobody(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmdop.auth.guesses.FREE_GUESSES_MAX", 0)
    monkeypatch.setattr("cmdop.auth.guesses.GUESS_WAIT_FIRST_SECONDS", 3600.0)
    monkeypatch.setattr("cmdop.auth.guesses.GUESS_WAIT_MAX_SECONDS", 3600.0)
    client = knock(machine)
    answer(client, "wrong")
    answer(client, "waits")
    judging = [thread for thread in threading.enumerate() if thread.name == "admit 1"]
    client.stream.closed()
    for thread in judging:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()
    assert client.closings == []
    assert machine.gate._guesses._waiting == []


def test_more_than_may_wait_are_turned_away(home: Home) -> None:
    set_password(home, RIGHT)
    gate = PasswordGate(home)
    for _ in range(WAITING_GUESSES_MAX):
        gate.queue(ANNA)
    with pytest.raises(TooManyGuesses):
        gate.queue(ANNA)


def test_an_answer_whose_turn_does_not_come_is_turned_away(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    set_password(home, RIGHT)
    monkeypatch.setattr("cmdop.agent.password_gate.GUESS_QUEUED_SECONDS", 0.01)
    gate = PasswordGate(home)
    gate.queue(ANNA)  # and nobody has it judged
    second = gate.queue(ANNA)
    with pytest.raises(TimedOut):
        gate.proves(second, RIGHT)
