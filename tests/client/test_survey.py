"""Asking many machines at once: who answers is heard, and who does not spoils nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cmdop.auth.keys import ApiKey, new_workspace_key
from cmdop.auth.known_machines import Sighting
from cmdop.client import question as question_module
from cmdop.client import survey as survey_module
from cmdop.client.passwords import Passwords, Source
from cmdop.client.question import Asker
from cmdop.client.survey import Found, Silent, Survey, Surveyor, one_session
from cmdop.errors import (
    AmbiguousSession,
    CmdopError,
    ConnectionClosed,
    KeyRefused,
    MachineChanged,
    MachineOffline,
    RemoteProtocolError,
    SealRefused,
    SessionGone,
    TimedOut,
    TokenMissing,
    UsageError,
)
from cmdop.wire.call_messages import Authenticate, Done, ListSessions, SessionRecord, Sessions
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, encode_frame
from cmdop.wire.message import Message, padded
from cmdop.wire.relay_messages import Closed
from cmdop.wire.session_messages import AuthSuccess, Refused
from tests.client.far_machines import KEY, Answer, FarMachines, machine, record
from tests.client.trusting import Trusting

DEVICE = b"c" * 32


def told(*session_ids: str) -> Answer:
    """A machine that has these sessions."""
    return lambda _: Sessions(tuple(record(one) for one in session_ids))


class Far(FarMachines):
    """The machines, one link to them, and who asks over it."""

    def __init__(self, answers: dict[str, Answer], key: ApiKey = KEY) -> None:
        super().__init__(answers, key)
        self.link = self.dial()
        self.served = self.connections[0]
        self.surveyor = Surveyor(self.link, Asker(KEY, DEVICE, Trusting()))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for for long."""
    monkeypatch.setattr(question_module, "OPEN_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(question_module, "AUTH_TIMEOUT_SECONDS", 0.1)


def found(surveyed: Survey) -> list[tuple[str, str]]:
    return [(one.machine.name, one.record.session_id) for one in surveyed.found]


ONE, TWO, THREE = machine(1), machine(2), machine(3)
A, B, C = "aaaa000000000001", "aabb000000000002", "cccc000000000003"


# -- asking ---------------------------------------------------------------------------------------


def test_the_sessions_of_all_machines_are_found_in_the_order_of_the_machines() -> None:
    far = Far({ONE.machine_id: told(A), TWO.machine_id: told(), THREE.machine_id: told(C, B)})
    surveyed = far.surveyor.ask([THREE, TWO, ONE])
    assert found(surveyed) == [("name-3", C), ("name-3", B), ("name-1", A)]
    assert surveyed.silent == []


def test_nobody_is_nobody() -> None:
    assert Far({}).surveyor.ask([]) == Survey()


def test_sessions_that_do_not_fit_one_answer_are_asked_for_again() -> None:
    records = [record(f"{number:016x}") for number in range(5)]

    def answer(call: Message) -> Message:
        assert isinstance(call, ListSessions)
        return Sessions(tuple(records[call.first : call.first + 2]), more=call.first + 2 < len(records))

    surveyed = Far({ONE.machine_id: answer}).surveyor.ask([ONE])
    assert [one.record for one in surveyed.found] == records


def test_only_so_many_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "ASKED_MACHINES_MAX", 3)
    machines = [machine(number) for number in range(20)]
    far = Far({m.machine_id: told(f"{at:016x}") for at, m in enumerate(machines)})
    assert len(far.surveyor.ask(machines).found) == 20
    assert far.most_under_way == 3


def test_a_second_round_uses_other_streams_and_the_link_is_as_good_as_before() -> None:
    far = Far({ONE.machine_id: told(A), TWO.machine_id: told(B)})
    far.surveyor.ask([ONE, TWO])
    assert len(far.surveyor.ask([ONE]).found) == 1
    stream = far.link.open(TWO, KEY.role.attaches_as, KEY, DEVICE, Trusting())
    assert stream.about.host == "name-2"


# -- who does not answer -------------------------------------------------------------------------------


def silent(surveyed: Survey) -> dict[str, type[CmdopError]]:
    return {one.machine.name: type(one.error) for one in surveyed.silent}


@pytest.mark.usefixtures("short")
def test_a_machine_that_says_nothing_spoils_nothing() -> None:
    far = Far({ONE.machine_id: told(A), THREE.machine_id: lambda _: None})
    surveyed = far.surveyor.ask([TWO, ONE, THREE])
    assert found(surveyed) == [("name-1", A)]
    assert silent(surveyed) == {"name-2": TimedOut, "name-3": TimedOut}
    assert "the machine name-2 did not answer" in surveyed.silent[0].error.sentence
    far.link.open(ONE, KEY.role.attaches_as, KEY, DEVICE, Trusting())  # the connection is still there


def test_whoever_says_no_is_named() -> None:
    far = Far(
        {
            ONE.machine_id: lambda _: Refused("token-missing", "Session requires password."),
            TWO.machine_id: lambda _: Done(),
        }
    )
    far.closed_with[THREE.machine_id] = Closed("machine-offline", "last heard 3 s ago")
    surveyed = far.surveyor.ask([ONE, TWO, THREE])
    assert silent(surveyed) == {"name-1": TokenMissing, "name-2": RemoteProtocolError, "name-3": MachineOffline}
    assert surveyed.found == []


@pytest.mark.parametrize("answer", [lambda _: Sessions((), more=True), lambda _: Sessions((record(A),) * 9, more=True)])
def test_sessions_without_end_are_none(answer: Answer) -> None:
    assert silent(Far({ONE.machine_id: answer}).surveyor.ask([ONE])) == {"name-1": RemoteProtocolError}


def test_a_machine_that_does_not_hold_the_key_is_named() -> None:
    surveyed = Far({ONE.machine_id: told(A)}, key=new_workspace_key()).surveyor.ask([ONE])
    assert silent(surveyed) == {"name-1": SealRefused}


def test_the_end_of_the_connection_is_raised() -> None:
    def leave(_: Message) -> None:
        far.served.connection.close("the relay went")

    far = Far({ONE.machine_id: leave})
    with pytest.raises(ConnectionClosed, match="the relay went"):
        far.surveyor.ask([ONE])


def test_a_key_that_is_revoked_meanwhile_is_said() -> None:
    def revoke(_: Message) -> None:
        far.served.send(CONNECTION_STREAM, Closed("key-refused", "it was revoked"))

    far = Far({ONE.machine_id: revoke})
    with pytest.raises(KeyRefused, match="revoked"):
        far.surveyor.ask([ONE])


def test_a_ping_is_answered() -> None:
    def ping(_: Message) -> Message:
        far.served.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, b"relay"))
        return Sessions()

    far = Far({ONE.machine_id: ping})
    far.surveyor.ask([ONE])
    far.link.open(ONE, KEY.role.attaches_as, KEY, DEVICE, Trusting())  # the pong was before that
    assert [frame.payload for frame in far.frames if frame.kind == FrameKind.PONG] == [b"relay"]


# -- which one is meant ------------------------------------------------------------------------------------


BUSY, IDLE, GONE = machine(1, A), machine(2), machine(3, C, online=False)


@pytest.fixture(name="far")
def two_machines() -> Iterator[Far]:
    """One machine that has sessions as the relay knows, one that just got one, one that is offline."""
    made = Far({BUSY.machine_id: told(A, B), IDLE.machine_id: told(C)})
    yield made
    made.link.close()


@pytest.mark.parametrize(("wanted", "session_id"), [("aaaa", A), ("aab", B), (B, B), ("AAAA", A), (A.upper(), A)])
def test_a_session_is_located_by_the_beginning_of_its_id(far: Far, wanted: str, session_id: str) -> None:
    located = far.surveyor.locate(wanted, [IDLE, BUSY, GONE])
    assert (located.machine, located.session_id, located.silent) == (BUSY, session_id, ())
    assert IDLE.machine_id not in far.opened


def test_a_whole_id_that_the_relay_knows_needs_no_question(far: Far) -> None:
    assert far.surveyor.locate(A, [IDLE, BUSY, GONE]).machine == BUSY
    assert far.opened == []


def test_a_session_that_the_relay_does_not_know_of_yet_is_found_all_the_same(far: Far) -> None:
    assert far.surveyor.locate("cc", [IDLE, BUSY, GONE]).machine == IDLE
    assert far.opened == [BUSY.machine_id, IDLE.machine_id]


def test_what_begins_several_ids_is_ambiguous_and_says_which(far: Far) -> None:
    with pytest.raises(AmbiguousSession) as raised:
        far.surveyor.locate("aa", [IDLE, BUSY])
    assert raised.value.exit_status == 3
    assert raised.value.next_step.splitlines() == [
        "type more characters: cmdop session list shows them",
        f"  {A}  name-1  anna  vim",
        f"  {B}  name-1  anna  vim",
    ]
    assert raised.value.details["sessions"] == [{"session_id": one, "machine_id": BUSY.machine_id} for one in (A, B)]


def test_an_empty_id_is_wrong_usage_and_nobody_is_asked(far: Far) -> None:
    with pytest.raises(UsageError, match="is empty"):
        far.surveyor.locate("", [IDLE, BUSY])
    assert far.opened == []


@pytest.mark.parametrize("wanted", ["ffff", "nonsense", "a" * 17])
def test_what_begins_no_id_is_gone(far: Far, wanted: str) -> None:
    with pytest.raises(SessionGone) as raised:
        far.surveyor.locate(wanted, [IDLE, BUSY, GONE])
    assert raised.value.exit_status == 6
    assert GONE.machine_id not in far.opened


@pytest.mark.usefixtures("short")
def test_a_session_is_not_said_to_be_gone_when_a_machine_did_not_answer(far: Far) -> None:
    deaf = machine(7, "dddd000000000004")
    with pytest.raises(TimedOut, match="the machine name-7"):
        far.surveyor.locate("ffff", [BUSY, deaf])
    located = far.surveyor.locate("aaaa", [BUSY, deaf])
    assert located.session_id == A
    assert [one.machine for one in located.silent] == [deaf]


def test_candidates_cannot_act_on_the_terminal() -> None:
    nasty = machine(1)
    records = [SessionRecord(one, "\x1b[31m\nann", 1.0, 24, 80, command="\x07\nrm") for one in (A, B)]
    with pytest.raises(AmbiguousSession) as raised:
        one_session("aa", Survey([Found(nasty, one) for one in records], [Silent(nasty, TimedOut())]))
    lines = raised.value.next_step.splitlines()
    assert all(line.isprintable() and not line.startswith(("ann", "rm")) for line in lines)


# -- which machines they are ------------------------------------------------------------------------


class Known(Trusting):
    """One machine has another key than it had before."""

    def check(self, seen: Sighting) -> None:
        if seen.machine_id == ONE.machine_id:
            raise MachineChanged(name=seen.name, host=seen.name)


def test_a_machine_whose_key_has_changed_is_not_asked_and_the_others_are() -> None:
    far = Far({ONE.machine_id: told(A), TWO.machine_id: told(B)})
    known = Known()
    surveyed = Surveyor(far.link, Asker(KEY, DEVICE, known)).ask([ONE, TWO])
    assert found(surveyed) == [(TWO.name, B)]
    (silent,) = surveyed.silent
    assert silent.machine == ONE
    assert isinstance(silent.error, MachineChanged)
    assert [seen.machine_id for seen in known.proven_machines] == [TWO.machine_id]
    # It got the first message of the handshake, and not the third.
    assert len([frame for frame in far.frames if frame.kind == FrameKind.SEALED and frame.stream == 1]) == 1


# -- machines with a password ---------------------------------------------------------------------


def protected(password: str, *session_ids: str) -> tuple[Answer, list[str]]:
    """A machine with a password that has these sessions, and what it is told."""
    tried: list[str] = []

    def answer(call: Message) -> Message | None:
        if isinstance(call, Authenticate):
            assert call == padded(Authenticate("password", call.password)), "its length would tell the password's"
            tried.append(call.password)
            right = call.password == password
            return AuthSuccess("t0ken", 60.0) if right else Refused("wrong-password", "wrong password for the machine")
        assert isinstance(call, ListSessions)
        if call.session_token != "t0ken":
            return Refused("token-missing", "Session requires password. Authenticate via ConnectTerminal first.")
        return told(*session_ids)(call)

    return answer, tried


def asked(far: Far, given: str = "", kept: dict[str, str] | None = None) -> Passwords:
    """Let the machines be asked by somebody with a password of the command line, and kept ones."""
    sources = [Source("--password", lambda _: given), Source("kept", (kept or {}).get, of_machine=True)]
    passwords = Passwords(sources)
    far.surveyor = Surveyor(far.link, Asker(KEY, DEVICE, Trusting(), passwords))
    return passwords


def test_the_one_machine_that_asks_is_told_the_password() -> None:
    answer, tried = protected("right", B)
    far = Far({ONE.machine_id: told(A), TWO.machine_id: answer, THREE.machine_id: told(C)})
    passwords = asked(far, "right")
    surveyed = far.surveyor.ask([ONE, TWO, THREE])
    assert found(surveyed) == [("name-1", A), ("name-2", B), ("name-3", C)]
    assert surveyed.silent == []
    assert passwords.tokens.get(TWO.machine_id, KEY.key_id) == "t0ken"
    far.surveyor.ask([TWO])
    assert tried == ["right"], "the token was good enough"


def test_of_several_that_ask_each_is_told_only_what_is_its_own() -> None:
    (one, tried_one), (two, tried_two) = protected("first", A), protected("second", B)
    far = Far({ONE.machine_id: one, TWO.machine_id: two, THREE.machine_id: protected("third", C)[0]})
    asked(far, "second", {ONE.machine_id: "first"})
    surveyed = far.surveyor.ask([ONE, TWO, THREE])
    assert found(surveyed) == [("name-1", A)]
    assert [silent.error.code for silent in surveyed.silent] == ["token-missing", "token-missing"]
    assert (tried_one, tried_two) == (["first"], [])


def test_a_wrong_password_is_said_of_the_machine() -> None:
    answer, tried = protected("right", A)
    far = Far({ONE.machine_id: answer})
    asked(far, "wrong", {ONE.machine_id: "old"})
    surveyed = far.surveyor.ask([ONE])
    assert [silent.error.sentence for silent in surveyed.silent] == ["wrong password for name-1"]
    assert tried == ["old", "wrong"]


def test_without_any_the_promised_words_are_said() -> None:
    far = Far({ONE.machine_id: protected("right", A)[0]})
    (silent,) = far.surveyor.ask([ONE]).silent
    assert silent.error.sentence == "Session requires password. Authenticate via ConnectTerminal first."
