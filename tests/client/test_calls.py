"""Calls on one machine: each is asked and answered, split where it has to be, and cannot hang."""

from __future__ import annotations

import pytest

from cmdop.client import calls as calls_module
from cmdop.client.calls import STALE_SECONDS, MachineCalls, answer_in
from cmdop.client.passwords import MachinePass, Offer, Passwords, Source
from cmdop.client.stream import MachineStream
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    PasswordRefused,
    RemoteProtocolError,
    SessionGone,
    SessionRefused,
    TimedOut,
    TokenMissing,
)
from cmdop.limits import CALL_DATA_MAX_BYTES, LINK_DEAD_SECONDS, RING_BYTES, RING_MAX_BYTES, SESSIONS_MAX
from cmdop.winsize import Winsize
from cmdop.wire.call_messages import (
    CALL_MESSAGES,
    Authenticate,
    CloseSession,
    CreateSession,
    Done,
    GetOutput,
    ListSessions,
    Output,
    SendInput,
    SendResize,
    SendSignal,
    SessionRecord,
    Sessions,
)
from cmdop.wire.message import Message, padded
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, AuthSuccess, Detach, Notice, Refused
from tests.client.called import Answer, CalledMachine
from tests.client.far_end import TIMEOUT_SECONDS

ID = "abcd1234abcd1234"
RECORDS = tuple(SessionRecord(f"{number:016x}", "anna", 1.0, 24, 80) for number in range(5))


class Client:
    """Calls on machines that all answer alike; one for each time that a stream is opened."""

    def __init__(self, answer: Answer, token: str = "", passwords: Passwords | None = None) -> None:
        self.machines: list[CalledMachine] = []
        self._answer = answer
        self.passwords = passwords or Passwords()
        if token:
            self.passwords.tokens.keep("machine", "key", token, 60.0)
        self.calls = MachineCalls(self._open, MachinePass(self.passwords, "machine", "key", "prod"))

    def _open(self) -> MachineStream:
        self.machines.append(CalledMachine(self._answer))
        return self.machines[-1].stream

    @property
    def called(self) -> list[Message]:
        return [call for machine in self.machines for call in machine.calls]


def client(*answers: Message, token: str = "", passwords: Passwords | None = None) -> Client:
    """A client whose calls are answered with these, in order."""
    waiting = list(answers)
    return Client(lambda _: waiting.pop(0), token, passwords)


# -- what is asked ------------------------------------------------------------------------------


def test_nothing_is_opened_before_the_first_call() -> None:
    made = client()
    made.calls.close()
    made.calls.close()
    assert made.machines == []


def test_sessions_are_listed_page_by_page() -> None:
    made = client(Sessions(RECORDS[:3], more=True), Sessions(RECORDS[3:]), token="t")
    assert made.calls.sessions() == list(RECORDS)
    assert made.called == [ListSessions(0, "t"), ListSessions(3, "t")]


@pytest.mark.parametrize("records", [(), RECORDS], ids=["empty", "full"])
def test_pages_without_end_are_no_pages(records: tuple[SessionRecord, ...]) -> None:
    made = Client(lambda _: Sessions(records, more=True))
    with pytest.raises(RemoteProtocolError, match="without end"):
        made.calls.sessions()
    assert len(made.called) <= SESSIONS_MAX // len(RECORDS) + 1


def test_a_session_is_created_as_it_is_wanted() -> None:
    wanted = CreateSession(name="build", idle_seconds=60.0, command=("make",))
    made = client(Sessions(RECORDS[:1]))
    assert made.calls.create(wanted) == RECORDS[0]
    assert made.called == [wanted]


def test_two_sessions_for_one_break_the_protocol() -> None:
    with pytest.raises(RemoteProtocolError, match="2 sessions for one"):
        client(Sessions(RECORDS[:2])).calls.create(CreateSession())


@pytest.mark.parametrize("size", [0, 1, CALL_DATA_MAX_BYTES, CALL_DATA_MAX_BYTES + 1, 3 * CALL_DATA_MAX_BYTES])
def test_input_goes_in_pieces_that_fit_and_every_byte_once(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    made = Client(lambda _: Done(), "t")
    made.calls.send_input(ID, data)
    pieces = [call for call in made.called if isinstance(call, SendInput)]
    assert b"".join(piece.data for piece in pieces) == data
    assert {(piece.session, piece.session_token) for piece in pieces} == {(ID, "t")}
    assert len(pieces) == max(1, -(-size // CALL_DATA_MAX_BYTES))


def test_the_other_calls_say_what_they_are_for() -> None:
    made = Client(lambda _: Done(), "t")
    made.calls.resize(ID, Winsize(50, 132))
    made.calls.signal(ID, "INT")
    made.calls.end(ID)
    assert made.called == [SendResize(ID, 50, 132, "t"), SendSignal(ID, "INT", "t"), CloseSession(ID, "t")]
    assert len(made.machines) == 1


# -- reading ------------------------------------------------------------------------------------------


def kept(data: bytes, tail: int = 0, growing: int = 0) -> Answer:
    """A machine that keeps this output from `tail` on; it grows with every call."""
    state = bytearray(data)

    def answer(call: Message) -> Message:
        assert isinstance(call, GetOutput)
        start = min(max(call.offset, tail), len(state))
        piece = bytes(state[start : start + call.max_bytes])
        state.extend(b"+" * growing)
        return Output(start, piece, max(len(state) - growing, start + len(piece)), truncated=call.offset < tail)

    return answer


LONG = bytes(number % 251 for number in range(RING_BYTES))


@pytest.mark.parametrize("offset", [0, 1, RING_BYTES - 1])
def test_output_is_read_to_its_end_from_anywhere(offset: int) -> None:
    pieces = list(Client(kept(LONG)).calls.read(ID, offset))
    assert b"".join(piece.data for piece in pieces) == LONG[offset:]
    assert not any(piece.truncated for piece in pieces)


@pytest.mark.parametrize("offset", [RING_BYTES, RING_BYTES + 100])
def test_at_the_end_there_is_one_empty_piece(offset: int) -> None:
    assert list(Client(kept(LONG)).calls.read(ID, offset)) == [Output(RING_BYTES, b"", RING_BYTES)]


def test_what_is_gone_is_said() -> None:
    pieces = list(Client(kept(LONG, tail=1000)).calls.read(ID, 10))
    assert (pieces[0].offset, pieces[0].truncated) == (1000, True)
    assert b"".join(piece.data for piece in pieces) == LONG[1000:]


def test_a_program_that_never_stops_does_not_make_reading_endless() -> None:
    pieces = list(Client(kept(LONG[:100_000], growing=10_000)).calls.read(ID, 0))
    assert b"".join(piece.data for piece in pieces) == LONG[:100_000]


def test_pieces_come_as_they_are_asked_for() -> None:
    made = Client(kept(LONG))
    pieces = made.calls.read(ID, 0)
    next(pieces)
    assert len(made.called) == 1


def test_an_end_beyond_what_any_machine_keeps_is_not_believed() -> None:
    made = Client(lambda call: Output(call.offset, b"x" * call.max_bytes, 2**53))  # type: ignore[attr-defined]
    assert sum(len(piece.data) for piece in made.calls.read(ID, 0)) == RING_MAX_BYTES


def test_output_of_another_place_breaks_the_protocol() -> None:
    with pytest.raises(RemoteProtocolError, match="output from 0 and not from 5"):
        list(client(Output(0, b"x", 10)).calls.read(ID, 5))


# -- what goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "kind", "hint"),
    [
        (Refused("session-gone", "session abcd1234 is gone; it was running: vim"), SessionGone, "cmdop connect prod"),
        (Refused("token-missing", "Session requires password."), TokenMissing, "cmdop connect password set prod"),
        (Refused("session-refused", "the machine opened no session"), SessionRefused, "cmdop session list"),
        (Refused("from-the-future", "no"), ConnectionClosed, "try again"),
    ],
)
def test_a_refusal_is_raised_in_the_machine_s_words_and_the_next_call_is_made(
    refused: Refused, kind: type[CmdopError], hint: str
) -> None:
    made = client(refused, Done())
    with pytest.raises(kind) as raised:
        made.calls.end(ID)
    assert refused.reason in raised.value.sentence
    assert hint in raised.value.next_step
    made.calls.end(ID)
    assert len(made.machines) == 1


def test_an_answer_to_something_else_is_none_and_the_stream_is_given_up() -> None:
    made = client(Sessions(), Done())
    with pytest.raises(RemoteProtocolError, match="Sessions for an answer to CloseSession"):
        made.calls.end(ID)
    assert made.machines[0].ended.wait(TIMEOUT_SECONDS)
    made.calls.end(ID)
    assert len(made.machines) == 2


def test_a_machine_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "AUTH_TIMEOUT_SECONDS", 0.05)
    made = Client(lambda _: None)
    with pytest.raises(TimedOut, match="the machine prod did not answer"):
        made.calls.end(ID)
    assert made.machines[0].ended.wait(TIMEOUT_SECONDS)


def test_pings_do_not_count_as_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "AUTH_TIMEOUT_SECONDS", 0.05)
    made = Client(lambda _: made.machines[0].ping())
    with pytest.raises(TimedOut):
        made.calls.end(ID)


def test_the_end_of_the_stream_is_said_at_once() -> None:
    made = Client(lambda _: made.machines[0].close_stream("machine-offline", "last heard 3 s ago"))
    with pytest.raises(CmdopError, match='machine "prod" is offline'):
        made.calls.end(ID)


def test_what_may_be_ignored_is_ignored() -> None:
    def answer(_: Message) -> Message:
        machine = made.machines[0]
        machine.send(0x90, b"of a newer cmdop")
        machine.send(RecordKind.CONTROL, b"\x81\xa2is\xa6Hurrah")
        return Done()

    made = Client(answer)
    made.calls.end(ID)


@pytest.mark.parametrize("message", [Detach(), Notice("hello")])
def test_a_message_of_an_attach_is_no_answer(message: Message) -> None:
    assert answer_in(SESSION_MESSAGES.encode(message)) == message
    with pytest.raises(RemoteProtocolError):
        client(message).calls.end(ID)


def test_both_kinds_of_answers_are_understood_and_nothing_else() -> None:
    assert answer_in(CALL_MESSAGES.encode(Done())) == Done()
    assert answer_in(SESSION_MESSAGES.encode(Refused("c", "r"))) == Refused("c", "r")
    assert answer_in(b"\x81\xa2is\xa6Hurrah") is None
    with pytest.raises(RemoteProtocolError):
        answer_in(b"nonsense")


# -- a stream that was left alone ---------------------------------------------------------------------------


@pytest.mark.parametrize(("stale_seconds", "streams"), [(60.0, 1), (-1.0, 2)])
def test_a_stream_that_was_left_alone_for_long_is_opened_anew(
    monkeypatch: pytest.MonkeyPatch, stale_seconds: float, streams: int
) -> None:
    """Nobody answered the relay's pings meanwhile."""
    monkeypatch.setattr(calls_module, "STALE_SECONDS", stale_seconds)
    made = Client(lambda _: Done())
    made.calls.end(ID)
    made.calls.end(ID)
    assert len(made.machines) == streams
    assert len(made.called) == 2


def test_a_stream_that_ended_meanwhile_is_opened_anew() -> None:
    made = Client(lambda _: Done())
    made.calls.end(ID)
    made.machines[0].connection.close("the network is gone")
    made.calls.end(ID)
    made.machines[1].close_stream("machine-offline", "its connection broke off")
    made.calls.end(ID)
    assert len(made.machines) == 3
    assert len(made.called) == 3


def test_closing_gives_the_descriptor_back() -> None:
    made = Client(lambda _: Done())
    made.calls.end(ID)
    made.calls.close()
    assert made.machines[0].stream.connection.fileno() == -1


def test_what_comes_between_two_calls_is_taken_in() -> None:
    made = Client(lambda _: Done())
    made.calls.end(ID)
    made.machines[0].ping()
    made.machines[0].send(0x90, b"of a newer cmdop")
    made.calls.end(ID)
    assert len(made.machines) == 1


def test_a_stream_is_given_up_before_the_relay_would_close_it() -> None:
    assert STALE_SECONDS < LINK_DEAD_SECONDS


# -- a machine with a password ------------------------------------------------------------------

NO_TOKEN = Refused("token-missing", "Session requires password. Authenticate via ConnectTerminal first.")
WRONG = Refused("wrong-password", "wrong password for the machine")


def knowing(*texts: str) -> Passwords:
    """Somebody with these passwords, from as many sources."""
    return Passwords([Source(f"source {number}", {"machine": text}.get) for number, text in enumerate(texts)])


def test_without_a_password_the_promised_words_are_raised() -> None:
    with pytest.raises(TokenMissing) as refused:
        client(NO_TOKEN).calls.sessions()
    assert refused.value.sentence == "Session requires password. Authenticate via ConnectTerminal first."


def test_a_password_brings_a_token_that_serves_every_call_from_then_on() -> None:
    made = client(NO_TOKEN, WRONG, AuthSuccess("t0ken", 60.0), Done(), Done(), passwords=knowing("one", "two"))
    made.calls.signal(ID, "INT")
    made.calls.signal(ID, "TERM")
    assert made.called == [
        SendSignal(ID, "INT"),
        padded(Authenticate("password", "one")),
        padded(Authenticate("password", "two")),
        SendSignal(ID, "INT", "t0ken"),
        SendSignal(ID, "TERM", "t0ken"),
    ]
    assert made.passwords.tokens.get("machine", "key") == "t0ken"


def test_a_token_that_was_revoked_is_replaced_with_the_password_that_was_right_before() -> None:
    passwords = knowing()
    passwords.right("machine", Offer("right"))
    made = client(NO_TOKEN, AuthSuccess("new", 60.0), Done(), token="old", passwords=passwords)
    made.calls.end(ID)
    proof = padded(Authenticate("password", "right"))
    assert made.called == [CloseSession(ID, "old"), proof, CloseSession(ID, "new")]


def test_when_all_passwords_are_wrong_that_is_what_is_said() -> None:
    with pytest.raises(PasswordRefused) as refused:
        client(NO_TOKEN, WRONG, passwords=knowing("one")).calls.sessions()
    assert refused.value.sentence == "wrong password for prod"


def test_a_session_is_created_with_the_token_as_well() -> None:
    made = client(Sessions(RECORDS[:1]), token="t")
    made.calls.create(CreateSession(name="build"))
    assert made.called == [CreateSession(name="build", session_token="t")]
