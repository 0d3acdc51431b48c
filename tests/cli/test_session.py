"""`cmdop session` as it is typed, with machines that the test plays."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cmdop.auth.credentials import Given
from cmdop.auth.known_machines import KnownMachines, Sighting
from cmdop.auth.workspaces import DEFAULT_WORKSPACE
from cmdop.cli import connect as connect_module
from cmdop.cli.connect import ConnectOptions
from cmdop.cli.root import run
from cmdop.client import calls as calls_module
from cmdop.client import question as question_module
from cmdop.client import reach as reach_module
from cmdop.home import Home
from cmdop.limits import CALL_DATA_MAX_BYTES, DEFAULT_SERVER, IDLE_MAX_SECONDS, IDLE_SECONDS
from cmdop.seal.noise import public_key
from cmdop.transport.way import Way
from cmdop.wire.call_messages import (
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
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import Closed
from cmdop.wire.session_messages import Refused
from tests.client.far_machines import KEY, MACHINE_KEY, FarMachines, machine

Said = pytest.CaptureFixture[str]
Bytes = pytest.CaptureFixture[bytes]
A, B = "abcd1234abcd1234", "ffff1234abcd1234"
PROD, VPS = machine(1, A), machine(2, B)
IDLE, OFF = machine(3), machine(4, "0123456789abcdef", online=False)
SINCE = time.time() - 3.5 * 86_400
CLIENT = ClientRecord("00112233445566ff", "bob", "observer", 50, 132, SINCE)
RECORDS = {
    PROD.machine_id: SessionRecord(
        A, "anna", 1790000000.0, 24, 80, "build", (CLIENT,), "vim notes.txt", 61.0, None, 4096
    ),
    VPS.machine_id: SessionRecord(B, "bob", 1790000000.0, 24, 80, command="-bash", grace_seconds_left=12.25),
}


class Played(FarMachines):
    """`name-1` and `name-2` with a session each, `name-3` with none, `name-4` that is offline."""

    def __init__(self) -> None:
        machines = (PROD, VPS, IDLE, OFF)
        super().__init__({one.machine_id: self._answering(one.machine_id) for one in machines}, machines=machines)
        self.calls: list[tuple[str, Message]] = []
        self.output = b""
        self.tail = 0
        self.refusal: Refused | None = None

    def _answering(self, machine_id: str) -> Callable[[Message], Message]:
        def answer(call: Message) -> Message:
            self.calls.append((machine_id, call))
            return self._answer(machine_id, call)

        return answer

    def _answer(self, machine_id: str, call: Message) -> Message:
        records = (RECORDS[machine_id],) if machine_id in RECORDS else ()
        if isinstance(call, ListSessions):
            return Sessions(records)
        if self.refusal is not None:
            return self.refusal
        if isinstance(call, CreateSession):
            made = SessionRecord("0011223344556677", "anna", 1790000000.0, call.rows, call.cols, call.name)
            return Sessions((made,))
        if isinstance(call, GetOutput):
            start = min(max(call.offset, self.tail), len(self.output))
            piece = self.output[start : start + call.max_bytes]
            return Output(start, piece, len(self.output), truncated=call.offset < self.tail)
        return Done()

    def done(self) -> list[Message]:
        """What was asked for but lists."""
        return [call for _, call in self.calls if not isinstance(call, ListSessions)]


@pytest.fixture
def far(home: Home, monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played()
    monkeypatch.setattr(reach_module, "reach_relay", lambda *_, **__: played.dial())
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    monkeypatch.setenv("CMDOP_API_KEY", KEY.text)
    # Known from before: the first sight of a machine has a line of its own.
    seen = [Sighting(one.machine_id, one.name, public_key(MACHINE_KEY)) for one in played.machines]
    KnownMachines(home, DEFAULT_SERVER, DEFAULT_WORKSPACE).proven(*seen)
    return played


def document(said: Said) -> Any:
    """The one JSON document, and nothing else anywhere."""
    shown = said.readouterr()
    assert shown.err == ""
    return json.loads(shown.out)


def error_code(said: Said) -> str:
    return str(document(said)["error"]["code"])


# -- create ---------------------------------------------------------------------------------------


def test_create_prints_the_beginning_of_the_id_and_nothing_else(far: Played, capsys: Said) -> None:
    assert run(["session", "create", "name-3"]) == 0
    said = capsys.readouterr()
    assert said.out == "00112233\n"
    assert said.err.endswith("cmdop session attach 00112233\n")
    assert "30m" in said.err
    ((where, wanted),) = far.calls
    assert where == IDLE.machine_id
    assert isinstance(wanted, CreateSession)
    assert (wanted.name, wanted.idle_seconds, wanted.command) == ("", IDLE_SECONDS, ())


@pytest.mark.parametrize(
    "words",
    [
        ["name-3", "--name", "build", "--idle", "90s", "--json", "--", "make", "--json", "all"],
        ["--idle=90", "--name=build", "--json", "name-3", "--", "make", "--json", "all"],
        ["--host", "name-3", "--name", "build", "--json", "--idle", "1.5m", "--", "make", "--json", "all"],
    ],
)
def test_create_takes_its_options_on_both_sides_of_the_host(far: Played, capsys: Said, words: list[str]) -> None:
    assert run(["session", "create", *words]) == 0
    made = document(capsys)
    assert made["session_id"] == "0011223344556677"
    assert made["machine_id"] == IDLE.machine_id
    assert (made["name"], made["operator"], made["idle_limit_seconds"]) == ("build", "anna", 90.0)
    assert made["created"] == "2026-09-21T14:13:20Z"
    (wanted,) = far.done()
    assert isinstance(wanted, CreateSession)
    assert (wanted.idle_seconds, wanted.command) == (90.0, ("make", "--json", "all"))


def test_a_created_session_knows_the_user_s_terminal(far: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm-kitty", "COLORTERM": "truecolor", "LC_ALL": "de_DE.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    assert run(["session", "create", "name-3"]) == 0
    (wanted,) = far.done()
    assert isinstance(wanted, CreateSession)
    assert (wanted.term, wanted.colorterm, wanted.locale) == ("xterm-kitty", "truecolor", "de_DE.UTF-8")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([], 2, "host-missing"),
        (["--", "make"], 2, "host-missing"),
        (["name-1", "name-2"], 2, "usage"),
        (["name-1", "--host", "name-2"], 2, "usage"),
        (["name-3", "--idle", "soon"], 2, "usage"),
        (["name-3", "--idle", "0"], 2, "usage"),
        (["name-3", "--idle", f"{IDLE_MAX_SECONDS + 1:.0f}"], 2, "usage"),
        (["name-3", "--name", "\x1b[31m"], 2, "usage"),
        (["name-3", "--name", "n" * 256], 2, "usage"),
        (["nowhere"], 3, "no-such-machine"),
        (["name"], 3, "ambiguous-machine"),
        (["name-4"], 4, "machine-offline"),
    ],
)
def test_create_says_what_is_wrong(far: Played, capsys: Said, words: list[str], status: int, code: str) -> None:
    assert run(["session", "create", "--json", *words]) == status
    assert error_code(capsys) == code
    assert far.done() == []


def test_a_machine_that_is_full_is_a_sentence(far: Played, capsys: Said) -> None:
    far.refusal = Refused("session-refused", "the machine opened no session: it has 64 sessions already")
    assert run(["session", "create", "name-3"]) == 6
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "cmdop: the machine opened no session: it has 64 sessions already"
    assert said[1] == "see what runs there: cmdop session list"


# -- list --------------------------------------------------------------------------------------------


def test_list_shows_the_sessions_of_all_machines_and_their_clients(far: Played, capsys: Said) -> None:
    far.machines = far.machines[::-1]
    assert run(["session", "list"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        "ID        MACHINE  NAME   OPERATOR  CLIENTS  COMMAND        IDLE  LEFT",
        "abcd1234  name-1   build  anna      1        vim notes.txt  1m    -",
        "  bob (observer), 50 rows, 132 cols, for 3d",
        "ffff1234  name-2   -      bob       0        -bash          0s    12s",
    ]
    assert {where for where, _ in far.calls} == {PROD.machine_id, VPS.machine_id}


def test_the_document_of_list_has_exactly_the_keys_that_scripts_rely_on(far: Played, capsys: Said) -> None:
    assert run(["session", "list", "--json"]) == 0
    first, second = document(capsys)
    since = first["clients"][0].pop("since")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", since)
    assert first == {
        "session_id": A,
        "machine_id": PROD.machine_id,
        "name": "build",
        "operator": "anna",
        "created": "2026-09-21T14:13:20Z",
        "clients": [
            {
                "client_id": "00112233445566ff",
                "operator": "bob",
                "role": "observer",
                "winsize": {"rows": 50, "cols": 132},
            }
        ],
        "command": "vim notes.txt",
        "idle_seconds": 61.0,
        "grace_seconds_left": None,
    }
    assert (second["clients"], second["grace_seconds_left"]) == ([], 12.25)


@pytest.mark.parametrize("words", [["name-2"], ["--host", "name-2"]])
def test_list_of_one_host_asks_only_that(far: Played, capsys: Said, words: list[str]) -> None:
    assert run(["session", "list", "--json", *words]) == 0
    assert [one["session_id"] for one in document(capsys)] == [B]
    assert far.opened == [VPS.machine_id]


def test_a_host_is_asked_though_the_relay_knows_of_no_session(far: Played, capsys: Said) -> None:
    assert run(["session", "list", "name-3"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "no sessions on name-3\nopen one: cmdop session create name-3\n")
    assert far.opened == [IDLE.machine_id]


def test_no_sessions_are_an_empty_list(far: Played, capsys: Said) -> None:
    far.machines = (IDLE, OFF)
    assert run(["session", "list", "--json"]) == 0
    assert document(capsys) == []
    assert run(["session", "list"]) == 0
    assert capsys.readouterr().err.startswith('no sessions in workspace "home"\n')


def test_a_machine_that_does_not_answer_is_named_and_spoils_nothing(
    far: Played, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question_module, "OPEN_TIMEOUT_SECONDS", 0.1)
    del far.answers[VPS.machine_id]
    assert run(["session", "list", "--json"]) == 4
    said = capsys.readouterr()
    assert [one["session_id"] for one in json.loads(said.out)] == [A]
    assert said.err == (
        "cmdop: the machine name-2 did not answer within 0.1 s\ntry again; cmdop connect --list shows what is online\n"
    )


def test_a_machine_that_wants_a_password_is_named_with_what_to_do(far: Played, capsys: Said) -> None:
    far.answers[VPS.machine_id] = lambda _: Refused(
        "token-missing", "Session requires password. Authenticate via ConnectTerminal first."
    )
    assert run(["session", "list"]) == 5
    said = capsys.readouterr()
    assert A[:8] in said.out
    first, hint = said.err.splitlines()
    assert first == "cmdop: Session requires password. Authenticate via ConnectTerminal first."
    assert hint.endswith("or keep it: cmdop connect password set name-2")


def test_a_machine_is_named_where_its_error_names_none(far: Played, capsys: Said) -> None:
    far.closed_with[VPS.machine_id] = Closed("connection-closed", "it was closed")
    assert run(["session", "list"]) == 4
    assert capsys.readouterr().err.startswith("cmdop: name-2: the connection was closed")


def test_one_host_that_does_not_answer_is_an_error(far: Played, capsys: Said) -> None:
    far.closed_with[VPS.machine_id] = Closed("machine-offline", "last heard 3 s ago")
    assert run(["session", "list", "name-2", "--json"]) == 4
    assert error_code(capsys) == "machine-offline"


def test_a_long_command_is_cut_in_the_table_only(far: Played, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    record = RECORDS[PROD.machine_id]
    long = SessionRecord(A, "anna", record.created, 24, 80, command="x" * 500)
    monkeypatch.setitem(RECORDS, PROD.machine_id, long)
    assert run(["session", "list"]) == 0
    assert "x" * 39 + "…  " in capsys.readouterr().out
    assert run(["session", "list", "--json"]) == 0
    assert document(capsys)[0]["command"] == "x" * 500


# -- which session -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["abcd1234", "a", A, A.upper()])
def test_a_session_is_named_by_its_id_or_the_beginning_of_it(far: Played, wanted: str) -> None:
    assert run(["session", "close", wanted]) == 0
    assert far.done() == [CloseSession(A)]


@pytest.mark.parametrize(
    "verb", [["send", "x"], ["read"], ["resize", "1", "1"], ["signal", "INT"], ["close"], ["attach"]]
)
def test_one_that_is_not_there_is_gone_for_every_verb(far: Played, capsys: Said, verb: list[str]) -> None:
    assert run(["session", verb[0], "eeee", *verb[1:], "--json"]) == 6
    shown = document(capsys)["error"]
    assert (shown["code"], shown["message"]) == ("session-gone", "session eeee is gone")
    assert far.done() == []


def test_an_ambiguous_beginning_says_which_there_are(far: Played, capsys: Said) -> None:
    twin = SessionRecord("abcdffffffffffff", "carl", 1.0, 24, 80, command="htop")
    far.answers[VPS.machine_id] = lambda _: Sessions((twin,))
    assert run(["session", "close", "abcd"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert said[0] == 'cmdop: several sessions begin with "abcd"'
    assert said[2:] == [f"  {A}  name-1  anna  vim notes.txt", "  abcdffffffffffff  name-2  carl  htop"]
    assert run(["session", "close", "abcd", "--host", "name-1"]) == 0
    assert far.done() == [CloseSession(A)]


def test_what_the_machine_says_meanwhile_is_what_the_user_reads(far: Played, capsys: Said) -> None:
    far.refusal = Refused("session-gone", "session abcd1234 is gone; it was running: vim")
    assert run(["session", "send", A, "x"]) == 6
    said = capsys.readouterr().err.splitlines()
    assert said == ["cmdop: session abcd1234 is gone; it was running: vim", "open a new one: cmdop connect name-1"]


def test_every_connection_is_given_back(far: Played) -> None:
    for words in (["create", "name-3"], ["list"], ["send", A, "x"], ["read", "abcd"], ["close", "eeee"]):
        run(["session", *words])
    for connection in far.connections:
        assert connection.ended.wait(10.0)


# -- attach ----------------------------------------------------------------------------------------------


def asked_to_attach(monkeypatch: pytest.MonkeyPatch, status: int) -> list[ConnectOptions]:
    """What an attach is asked for, in the place of one."""
    asked: list[ConnectOptions] = []

    def attach_with(options: ConnectOptions, *_: object) -> int:
        asked.append(options)
        return status

    monkeypatch.setattr(connect_module, "attach_with", attach_with)
    return asked


def test_attach_is_an_attach_to_that_session(far: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_to_attach(monkeypatch, 7)
    assert run(["session", "attach", "abcd", "--insecure", "--json", "-s", "ws://relay"]) == 7
    given = Given("ws://relay", environment_key=KEY.text)
    assert asked == [
        ConnectOptions("name-1", given, as_json=True, no_interactive=True, session=A, way=Way(insecure=True))
    ]


def test_attach_names_the_machine_by_its_id_when_its_name_means_another(
    far: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_to_attach(monkeypatch, 0)
    namesake = machine(9)
    far.machines = (PROD, type(namesake)(namesake.machine_id, "name-1", "x", True, 1.0, 1.0))
    assert run(["session", "attach", A]) == 0
    assert asked[0].host == PROD.machine_id


# -- send ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["echo hi\n", "", "größe", "\x03", " "])
def test_send_types_exactly_these_bytes(far: Played, capsys: Said, text: str) -> None:
    assert run(["session", "send", A, text]) == 0
    assert far.done() == [SendInput(A, text.encode())]
    assert capsys.readouterr() == ("", "")


def test_send_types_what_is_no_text(far: Played) -> None:
    assert run(["session", "send", A, os.fsdecode(b"\xff\xfe")]) == 0
    assert far.done() == [SendInput(A, b"\xff\xfe")]


def test_what_begins_with_a_dash_stands_behind_the_dashes(far: Played) -> None:
    assert run(["session", "send", A, "--", "-l"]) == 0
    assert far.done() == [SendInput(A, b"-l")]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """What is on standard input: many bytes, in many pieces."""
    data = bytes(range(256)) * 800
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    with os.fdopen(reader, "r") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield data
    thread.join(10.0)


def typed(far: Played) -> bytes:
    pieces = [call.data for call in far.done() if isinstance(call, SendInput)]
    assert max(map(len, pieces)) <= CALL_DATA_MAX_BYTES
    return b"".join(pieces)


def test_a_dash_types_what_is_on_standard_input(far: Played, capsys: Said, stdin: bytes) -> None:
    assert run(["session", "send", A, "-", "--json"]) == 0
    assert typed(far) == stdin
    assert document(capsys) == {"session_id": A, "machine_id": PROD.machine_id, "sent_bytes": len(stdin)}
    assert len(far.connections) == 1


@pytest.mark.parametrize("module", [calls_module, reach_module])
def test_standard_input_may_come_slowly(
    far: Played, stdin: bytes, monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    """A connection that was left alone for too long is given back, and there is another one."""
    monkeypatch.setattr(module, "STALE_SECONDS", -1.0)
    assert run(["session", "send", A, "-"]) == 0
    assert typed(far) == stdin
    assert len(far.connections) > 1
    assert all(connection.ended.wait(10.0) for connection in far.connections)


# -- read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_read_prints_the_bytes_and_nothing_else(far: Played, capfdbinary: Bytes, size: int) -> None:
    far.output = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert run(["session", "read", A]) == 0
    assert capfdbinary.readouterr() == (far.output, b"")


def test_read_goes_on_where_it_is_told(far: Played, capfdbinary: Bytes) -> None:
    far.output = b"0123456789"
    assert run(["session", "read", A, "--since", "7"]) == 0
    assert capfdbinary.readouterr().out == b"789"


def test_read_says_what_is_gone_beside_the_output(far: Played, capfdbinary: Bytes) -> None:
    far.output, far.tail = b"0123456789", 4
    assert run(["session", "read", A]) == 0
    said = capfdbinary.readouterr()
    assert (said.out, said.err) == (b"456789", b"the output before offset 4 is not kept any more\n")


@pytest.mark.parametrize(
    ("output", "shown", "next_offset"),
    [
        (b"hi\n", {"data": "hi\n"}, 3),
        (b"", {"data": ""}, 0),
        ("größe".encode(), {"data": "größe"}, 7),
        ("gr😀".encode()[:5], {"data": "gr"}, 2),
        (b"\xc3", {"data": ""}, 0),
        (b"\xffab", {"data_base64": "/2Fi"}, 3),
        (b"a\xc3(", {"data_base64": "YcMo"}, 3),
        (b"\xff\xc3", {"data_base64": "/8M="}, 2),
        (b"\x1b[0m\x9b", {"data_base64": "G1swbZs="}, 5),
    ],
)
def test_the_document_of_read_has_text_where_it_is_text(
    far: Played, capsys: Said, output: bytes, shown: dict[str, str], next_offset: int
) -> None:
    far.output = output
    assert run(["session", "read", A, "--json"]) == 0
    assert document(capsys) == {
        "session_id": A,
        "machine_id": PROD.machine_id,
        "offset": 0,
        "truncated": False,
        "next_offset": next_offset,
        **shown,
    }


def test_reading_on_from_the_next_offset_gives_every_byte_once(far: Played, capsys: Said) -> None:
    """However the output comes, and though characters are cut."""
    whole = "aé😀" * 30
    text, offset = "", 0
    for end in range(0, len(whole.encode()) + 1, 5):
        far.output = whole.encode()[: end + 5]
        assert run(["session", "read", A, "--since", str(offset), "--json"]) == 0
        shown = document(capsys)
        text, offset = text + shown["data"], shown["next_offset"]
    assert text == whole


def test_what_is_gone_is_marked_in_the_document(far: Played, capsys: Said) -> None:
    far.output, far.tail = b"0123456789", 4
    assert run(["session", "read", A, "--since", "1", "--json"]) == 0
    shown = document(capsys)
    assert (shown["data"], shown["offset"], shown["truncated"], shown["next_offset"]) == ("456789", 4, True, 10)


# -- resize, signal, close -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "call", "shown"),
    [
        (["resize", A, "50", "132"], SendResize(A, 50, 132), {"winsize": {"rows": 50, "cols": 132}}),
        (["signal", A, "INT"], SendSignal(A, "INT"), {"signal": "INT"}),
        (["close", A], CloseSession(A), {"closed": True}),
    ],
)
def test_what_needs_no_words_has_none_and_a_document_on_request(
    far: Played, capsys: Said, words: list[str], call: Message, shown: dict[str, object]
) -> None:
    assert run(["session", *words]) == 0
    assert far.done() == [call]
    assert capsys.readouterr() == ("", "")
    assert run(["session", *words, "--json"]) == 0
    assert document(capsys) == {"session_id": A, "machine_id": PROD.machine_id, **shown}


@pytest.mark.parametrize(
    "words",
    [
        ["resize", A, "0", "80"],
        ["resize", A, "24", "10001"],
        ["resize", A, "24"],
        ["signal", A, ""],
        ["signal", A, "x" * 300],
        ["signal", A],
        ["read", A, "--since", "-1"],
        ["read", A, "--since", str(2**53 + 1)],
        ["send", A],
        ["send", A, "two", "words"],
        ["close"],
        ["nonsense", A],
    ],
)
def test_wrong_usage_reaches_no_machine(far: Played, capsys: Said, words: list[str]) -> None:
    assert run(["session", *words, "--json"]) == 2
    assert error_code(capsys) == "usage"
    assert far.connections == []


# -- the credential -------------------------------------------------------------------------------------------


def test_the_options_lead_to_the_relay(far: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[tuple[str, str, bool]] = []

    def reach(credential: Any, way: Way, **_: object) -> object:
        reached.append((credential.server, credential.key.text, way.insecure))
        return far.dial()

    monkeypatch.setattr(reach_module, "reach_relay", reach)
    monkeypatch.delenv("CMDOP_API_KEY")
    assert run(["session", "list", "-s", "ws://other", "-k", KEY.text, "--insecure", "-q"]) == 0
    assert reached == [("ws://other", KEY.text, True)]


def test_without_a_key_it_is_said(far: Played, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CMDOP_API_KEY")
    assert run(["session", "list", "--workspace", "work", "--json"]) == 5
    assert error_code(capsys) == "no-api-key"
