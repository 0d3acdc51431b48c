"""A stream's calls: what each does, who may make it, and that a slow one holds up nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from cmdop.agent.admission import Guest
from cmdop.agent.calls import RULES, Calls, page
from cmdop.errors import (
    AmbiguousSession,
    PasswordRefused,
    RemoteProtocolError,
    SessionGone,
    SessionRefused,
    TimedOut,
    UsageError,
)
from cmdop.limits import (
    CALL_DATA_MAX_BYTES,
    CALL_WAIT_SECONDS,
    DATA_MAX_BYTES,
    NAME_MAX_CHARS,
    SESSIONS_MAX,
    TEXT_MAX_CHARS,
    WAITING_CALLS_MAX,
)
from cmdop.winsize import Winsize
from cmdop.wire.call_messages import (
    CALL_MESSAGES,
    Authenticate,
    ClientRecord,
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
from cmdop.wire.message import Message, Unknown
from cmdop.wire.record import encode_record
from cmdop.wire.session_messages import SESSION_MESSAGES, AuthSuccess, Detach, Refused

M = TypeVar("M", bound=Message)
TIMEOUT_SECONDS = 10.0
ID = "abcd1234abcd1234"
OTHER = "abff1234abcd1234"


@dataclass
class FakeShell:
    """A session that remembers what it was asked for."""

    session_id: str = ID
    asked: list[object] = field(default_factory=list)
    before_type: Callable[[], None] = lambda: None
    heard: bool = True
    over: bool = True

    def record(self) -> SessionRecord:
        return SessionRecord(self.session_id, "anna", 1.0, 24, 80)

    def type_all(self, data: bytes, timeout_seconds: float) -> None:
        self.before_type()
        self.asked.append(("type", data, timeout_seconds))

    def resize_by_call(self, winsize: Winsize) -> None:
        self.asked.append(("resize", winsize))

    def signal(self, name: str) -> bool:
        if name == "NONE":
            raise UsageError(reason='there is no signal "NONE"')
        self.asked.append(("signal", name))
        return self.heard

    def read(self, offset: int, max_bytes: int) -> Output:
        self.asked.append(("read", offset, max_bytes))
        return Output(offset, b"out", offset + 3)

    def end(self) -> None:
        self.asked.append("end")

    def join(self, timeout_seconds: float) -> bool:
        return self.over


@dataclass
class FakeShells:
    """A machine with these sessions."""

    shells: dict[str, FakeShell] = field(default_factory=dict)
    created: list[tuple[CreateSession, str]] = field(default_factory=list)
    full: bool = False
    woken: int = 0

    def find(self, wanted: str) -> FakeShell | None:
        found = [shell for name, shell in self.shells.items() if name.startswith(wanted)]
        if len(found) > 1:
            raise AmbiguousSession(query=wanted)
        if not found:
            raise SessionGone(session=wanted, what="; it was running: vim")
        return found[0]

    def create(self, wanted: CreateSession, operator: str) -> FakeShell:
        if self.full:
            raise SessionRefused(host="the machine", reason="it has 64 sessions already")
        self.created.append((wanted, operator))
        return FakeShell()

    def records(self) -> list[SessionRecord]:
        return [shell.record() for shell in self.shells.values()]

    def wake(self) -> None:
        self.woken += 1


class Stream:
    """What a stream does for its calls, and what its client got."""

    def __init__(self, shells: FakeShells, *, observer: bool = False, token: str | None = None) -> None:
        self.answers: list[Message] = []
        # Guards the answers; told of each.
        self._change = threading.Condition()
        guest = Guest("anna", observer)
        self.calls = Calls(shells, guest, lambda given: token in (None, given), self._prove)

    def _send(self, payload: bytes) -> None:
        answer = CALL_MESSAGES.decode(payload)
        if isinstance(answer, Unknown):
            answer = SESSION_MESSAGES.decode(payload)
        with self._change:
            self.answers.append(answer)
            self._change.notify_all()

    @staticmethod
    def _prove(method: str, password: str) -> AuthSuccess:
        if (method, password) != ("password", "right"):
            raise PasswordRefused(host="the machine")
        return AuthSuccess("t0ken", 5.0)

    def say(self, call: Message) -> None:
        self.says(CALL_MESSAGES.encode(call))

    def says(self, payload: bytes) -> None:
        self.calls.handle(payload, self._send)

    def until_answered(self, times: int) -> list[Message]:
        with self._change:
            assert self._change.wait_for(lambda: len(self.answers) >= times, TIMEOUT_SECONDS), self.answers
            return list(self.answers)

    def answer(self, call: Message, kind: type[M]) -> M:
        """The answer to a call, when nothing else is under way."""
        before = len(self.answers)
        self.say(call)
        answer = self.until_answered(before + 1)[-1]
        assert isinstance(answer, kind), answer
        return answer


@pytest.fixture
def shell() -> FakeShell:
    return FakeShell()


@pytest.fixture
def shells(shell: FakeShell) -> FakeShells:
    return FakeShells({ID: shell})


EVERY_CALL: list[Message] = [
    ListSessions(),
    GetOutput(ID),
    CreateSession(),
    SendInput(ID, b"x"),
    SendResize(ID, 24, 80),
    SendSignal(ID, "INT"),
    CloseSession(ID),
]
each_call = pytest.mark.parametrize("call", EVERY_CALL, ids=lambda call: type(call).__name__)


# -- what each does ---------------------------------------------------------------------------


def test_there_is_a_test_for_every_call() -> None:
    assert {type(call) for call in EVERY_CALL} == {kind for kind, rule in RULES.items() if not rule.free}


def test_sessions_are_listed(shells: FakeShells, shell: FakeShell) -> None:
    assert Stream(shells).answer(ListSessions(), Sessions) == Sessions((shell.record(),))


def test_a_session_is_opened_for_who_asked_and_the_directory_hears_of_it(shells: FakeShells) -> None:
    wanted = CreateSession(name="build", idle_seconds=60.0, command=("make",))
    assert Stream(shells).answer(wanted, Sessions).sessions[0].session_id == ID
    assert shells.created == [(wanted, "anna")]
    assert shells.woken == 1


def test_input_is_typed_and_answered_once_the_program_has_it(shells: FakeShells, shell: FakeShell) -> None:
    Stream(shells).answer(SendInput("abcd", b"\x00\xffls\n"), Done)
    assert shell.asked == [("type", b"\x00\xffls\n", CALL_WAIT_SECONDS)]


def test_a_size_and_a_signal_reach_the_session(shells: FakeShells, shell: FakeShell) -> None:
    stream = Stream(shells)
    stream.answer(SendResize(ID, 50, 132), Done)
    stream.answer(SendSignal(ID, "INT"), Done)
    assert shell.asked == [("resize", Winsize(50, 132)), ("signal", "INT")]


@pytest.mark.parametrize(
    ("asked", "given"), [(0, CALL_DATA_MAX_BYTES), (10, 10), (CALL_DATA_MAX_BYTES + 1, CALL_DATA_MAX_BYTES)]
)
def test_output_is_read_as_much_as_was_asked_for_and_fits(
    shells: FakeShells, shell: FakeShell, asked: int, given: int
) -> None:
    assert Stream(shells).answer(GetOutput(ID, 7, asked), Output) == Output(7, b"out", 10)
    assert shell.asked == [("read", 7, given)]


def test_a_session_is_ended(shells: FakeShells, shell: FakeShell) -> None:
    Stream(shells).answer(CloseSession(ID), Done)
    assert shell.asked == ["end"]


def test_a_session_that_does_not_end_is_not_said_to_be_over(shells: FakeShells, shell: FakeShell) -> None:
    shell.over = False
    assert Stream(shells).answer(CloseSession(ID), Refused).code == TimedOut.code


# -- who may, and what is refused ------------------------------------------------------------------


@each_call
def test_an_observer_lists_and_reads_and_does_nothing_else(shells: FakeShells, shell: FakeShell, call: Message) -> None:
    stream = Stream(shells, observer=True)
    if isinstance(call, ListSessions | GetOutput):
        assert not isinstance(stream.answer(call, Message), Refused)
        return
    refused = stream.answer(call, Refused)
    assert refused.code == "role-too-low"
    assert refused.reason.endswith("needs the role operator, and this key has the role observer")
    assert (shell.asked, shells.created) == ([], [])


@each_call
def test_without_the_password_s_token_nothing_is_done(shells: FakeShells, shell: FakeShell, call: Message) -> None:
    refused = Stream(shells, token="t0ken").answer(call, Refused)
    assert refused.reason == "Session requires password. Authenticate via ConnectTerminal first."
    assert (refused.code, shell.asked, shells.created) == ("token-missing", [], [])


def test_who_knows_the_password_gets_a_token_and_others_may_try_again(shells: FakeShells) -> None:
    stream = Stream(shells, token="t0ken")
    assert stream.answer(Authenticate("password", "wrong"), Refused).code == "wrong-password"
    assert stream.answer(Authenticate("another way", "right"), Refused).code == "wrong-password"
    assert stream.answer(Authenticate("password", "right"), AuthSuccess) == AuthSuccess("t0ken", 5.0)


def test_with_the_token_a_call_is_made(shells: FakeShells) -> None:
    Stream(shells, token="t0ken").answer(SendInput(ID, b"x", "t0ken"), Done)


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        (GetOutput("ff"), "session-gone", "session ff is gone; it was running: vim"),
        (GetOutput(""), "session-gone", "session without an id is gone"),
        (GetOutput("ab"), "ambiguous-session", 'several sessions begin with "ab"'),
        (SendSignal(ID, "NONE"), "usage", 'there is no signal "NONE"'),
    ],
)
def test_what_goes_wrong_is_said_and_the_stream_goes_on(
    shells: FakeShells, call: Message, code: str, reason: str
) -> None:
    shells.shells[OTHER] = FakeShell()
    stream = Stream(shells)
    assert stream.answer(call, Refused) == Refused(code, reason)
    stream.answer(SendInput(ID, b"x"), Done)


def test_a_machine_that_is_full_says_so_in_a_sentence(shells: FakeShells) -> None:
    shells.full = True
    refused = Stream(shells).answer(CreateSession(), Refused)
    assert refused == Refused("session-refused", "the machine opened no session: it has 64 sessions already")


def test_a_signal_that_nobody_gets_is_said(shells: FakeShells, shell: FakeShell) -> None:
    shell.heard = False
    refused = Stream(shells).answer(SendSignal(ID, "INT"), Refused)
    assert refused == Refused("signal-lost", "signal INT reached nobody in session abcd1234")


def test_a_mistake_of_ours_is_an_answer_and_ends_nothing(shells: FakeShells, shell: FakeShell) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    shell.before_type = fail
    stream = Stream(shells)
    refused = stream.answer(SendInput(ID, b"x"), Refused)
    assert refused.code == "local-protocol"
    assert "ZeroDivision" not in refused.reason
    stream.answer(SendResize(ID, 24, 80), Done)


@pytest.mark.parametrize("message", [Sessions(), Done(), Output(0, b"", 0)])
def test_an_answer_from_a_client_breaks_the_protocol(shells: FakeShells, message: Message) -> None:
    with pytest.raises(RemoteProtocolError, match="from a client"):
        Stream(shells).say(message)


def test_a_call_of_a_newer_cmdop_is_ignored_and_a_malformed_one_is_not(shells: FakeShells) -> None:
    stream = Stream(shells)
    stream.says(SESSION_MESSAGES.encode(Detach()))
    with pytest.raises(RemoteProtocolError, match="malformed"):
        stream.says(b"\x81\xa2is\xa9SendInput")
    stream.answer(ListSessions(), Sessions)
    assert len(stream.answers) == 1


# -- waiting -------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(shell: FakeShell) -> threading.Event:
    """A program that reads nothing until this is set."""
    reads = threading.Event()

    def wait() -> None:
        assert reads.wait(TIMEOUT_SECONDS)

    shell.before_type = wait
    return reads


def test_a_call_that_waits_holds_up_neither_the_reader_nor_another_stream(
    shells: FakeShells, stuck: threading.Event
) -> None:
    first, second = Stream(shells), Stream(shells)
    first.say(SendInput(ID, b"x"))
    second.answer(ListSessions(), Sessions)
    assert first.answers == []
    stuck.set()
    assert first.until_answered(1) == [Done()]


def test_calls_are_answered_in_the_order_that_they_came(shells: FakeShells, stuck: threading.Event) -> None:
    stream = Stream(shells)
    for call in (SendInput(ID, b"x"), ListSessions(), GetOutput(ID), SendResize(ID, 1, 1)):
        stream.say(call)
    stuck.set()
    assert [type(answer) for answer in stream.until_answered(4)] == [Done, Sessions, Output, Done]


def test_more_calls_than_may_wait_break_the_protocol(shells: FakeShells, stuck: threading.Event) -> None:
    stream = Stream(shells)
    begun = threading.Event()
    waits = shells.shells[ID].before_type

    def begin() -> None:
        begun.set()
        waits()

    shells.shells[ID].before_type = begin
    stream.say(SendInput(ID, b"x"))
    assert begun.wait(TIMEOUT_SECONDS)
    for _ in range(WAITING_CALLS_MAX):
        stream.say(ListSessions())
    with pytest.raises(RemoteProtocolError, match="before the first was answered"):
        stream.say(ListSessions())
    stuck.set()
    stream.until_answered(1 + WAITING_CALLS_MAX)


def test_what_waits_when_the_stream_is_closed_is_never_begun(
    shells: FakeShells, shell: FakeShell, stuck: threading.Event
) -> None:
    stream = Stream(shells)
    stream.say(SendInput(ID, b"x"))
    stream.say(SendResize(ID, 1, 1))
    stream.calls.close()
    stream.calls.close()
    stream.say(SendResize(ID, 2, 2))
    answering = [thread for thread in threading.enumerate() if thread.name == "calls"]
    stuck.set()
    for thread in answering:
        thread.join(TIMEOUT_SECONDS)
    assert [asked for asked in shell.asked if asked != ("type", b"x", CALL_WAIT_SECONDS)] == []


# -- pages ------------------------------------------------------------------------------------------------


def wordy(number: int) -> SessionRecord:
    """A session about which there is much to say."""
    clients = tuple(ClientRecord(f"{client:016x}", "ü" * 60, "operator", 24, 80, 1.0) for client in range(number % 10))
    return SessionRecord(f"{number:016x}", "ä" * NAME_MAX_CHARS, 1.0, 24, 80, "n", clients, "é" * TEXT_MAX_CHARS)


def test_a_list_comes_in_pages_that_fit_a_record_and_nothing_is_lost() -> None:
    records = [wordy(number) for number in range(SESSIONS_MAX)]
    told: list[SessionRecord] = []
    while True:
        answer = page(records, len(told))
        assert len(encode_record(1, 0, CALL_MESSAGES.encode(answer))) <= DATA_MAX_BYTES
        assert answer.sessions
        told += answer.sessions
        if not answer.more:
            break
    assert told == records


def test_a_page_beyond_the_end_is_empty_and_the_last_one() -> None:
    assert page([wordy(1)], 1) == page([wordy(1)], 99) == page([], 0) == Sessions()


def test_many_usual_sessions_fit_one_page() -> None:
    records = [SessionRecord(f"{n:016x}", "anna", 1.0, 24, 80, command="-bash") for n in range(SESSIONS_MAX)]
    assert page(records, 0) == Sessions(tuple(records))
