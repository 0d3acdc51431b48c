"""What an attach says on stderr, in words and in JSON lines."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from cmdop.auth.credentials import Given
from cmdop.cli.attach_told import JsonLines, Words, length_text
from cmdop.cli.connect import ConnectOptions
from cmdop.client.events import Event, GracePassed, LinkDown, LinkLost, Resumed
from cmdop.client.leg import Leg
from cmdop.client.outcome import Detached, Failed, Killed, SessionEnded
from cmdop.errors import MachineOffline, SessionGone
from cmdop.limits import IDLE_SECONDS
from cmdop.wire.session_messages import Ended, Notice, PeerJoined, PeerLeft, Ready
from tests.documents import check_event

Said = pytest.CaptureFixture[str]
READY = Ready("abcd1234abcd1234", 0, 0, created=True, operator="ann")
KEPT = Ready("abcd1234abcd1234", 0, 0, kept_seconds=IDLE_SECONDS)


class Terminal(io.StringIO):
    """A stderr that is a terminal, on which each line is written as it must be when it is raw."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("there is no select for it")


def words(ready: Ready = READY, is_tty: bool = True, watches: bool = False, **options: Any) -> Words:
    told = Words(ConnectOptions("prod", Given(), **options))
    told.joined(ready, is_tty, watches)
    return told


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            LinkDown(Leg.YOU_RELAY, 27.6),
            "[connect] link you↔relay is down — redialling; the session is kept for 28 s, Ctrl-D leaves",
        ),
        (
            LinkDown(Leg.RELAY_MACHINE, 1798.0),
            "[connect] link relay↔machine is down — redialling; the session is kept for 30 min, Ctrl-D leaves",
        ),
        (
            GracePassed(Leg.YOU_RELAY, 30.0),
            "[connect] link you↔relay is still down — redialling; the session may be gone, Ctrl-D leaves",
        ),
    ],
)
def test_a_link_that_is_down_is_one_line_on_a_raw_terminal(
    monkeypatch: pytest.MonkeyPatch, event: Event, line: str
) -> None:
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    told = words()
    told.event(event, True)
    told.event(event, False)
    assert stderr.getvalue() == f"{line}\r\n\r\n{line}\r\n"


def test_the_key_that_leaves_is_the_one_that_was_chosen_and_none_where_nobody_types(capsys: Said) -> None:
    words(detach_keys="ctrl-p,ctrl-q").event(LinkDown(Leg.YOU_RELAY, 28.0), True)
    assert capsys.readouterr().err.endswith("kept for 28 s, ctrl-p,ctrl-q leaves\n")
    words(is_tty=False).event(LinkDown(Leg.YOU_RELAY, 28.0), False)
    said = capsys.readouterr().err
    assert said == "[connect] link you↔relay is down — redialling; the session is kept for 28 s\n"


@pytest.mark.parametrize(
    "event",
    [
        LinkLost(Leg.YOU_RELAY, "reset"),
        Resumed(3.0),
        PeerJoined("b" * 16, "ben", "operator"),
        PeerLeft("b" * 16, "ben"),
        Notice("a note"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_else_is_written_between_the_program_s_bytes(capsys: Said, event: Event) -> None:
    words().event(event, False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (words(), "[connect] detached — the session is kept for 30 s: cmdop connect prod"),
        (words(KEPT), "[connect] detached — the session is kept for 30 min: cmdop connect prod"),
        (words(outlives=False), "[connect] detached"),
    ],
)
def test_leaving_says_how_long_the_session_is_kept(capsys: Said, told: Words, line: str) -> None:
    told.over(Detached())
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (28.4, "28 s"), (119.0, "119 s"), (120.0, "2 min"), (1800.0, "30 min"), (86_400.0, "24 h")],
)
def test_a_length_of_time_is_said_in_a_unit_that_says_enough(seconds: float, text: str) -> None:
    assert length_text(seconds) == text


@pytest.mark.parametrize(
    ("event", "document"),
    [
        (LinkLost(Leg.RELAY_MACHINE, "it left"), {"event": "link_lost", "leg": "relay↔machine", "reason": "it left"}),
        (LinkDown(Leg.YOU_RELAY, 28.0), {"event": "grace", "leg": "you↔relay", "seconds_left": 28.0}),
        (GracePassed(Leg.YOU_RELAY, 30.0), {"event": "grace", "leg": "you↔relay", "seconds_left": 0.0}),
        (Resumed(2.5), {"event": "resumed", "down_seconds": 2.5}),
        (
            PeerJoined("b" * 16, "ben", "observer"),
            {"event": "peer_joined", "client_id": "b" * 16, "operator": "ben", "role": "observer"},
        ),
        (PeerLeft("b" * 16, "ben"), {"event": "peer_left", "client_id": "b" * 16, "operator": "ben"}),
        (Notice("a\nnote"), {"event": "notice", "text": "a\nnote"}),
    ],
)
def test_in_json_each_event_is_an_object_on_a_line_of_its_own(
    capsys: Said, event: Event, document: dict[str, object]
) -> None:
    JsonLines("prod").event(event, False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert json.loads(said.err) == document
    check_event(said.err)


def test_in_json_the_end_is_an_event(capsys: Said) -> None:
    told = JsonLines("prod")
    told.joined(KEPT, True, False)
    told.attached()
    told.put_back(False)
    told.over(Detached())
    told.over(SessionEnded(Ended(0, 9)))
    told.over(Killed(15))
    told.over(Failed(MachineOffline(name="prod")))
    told.failed(SessionGone(session="abcd", what="; it was running make", host="prod"))
    lines = capsys.readouterr().err.splitlines()
    for line in lines:
        check_event(line)
    assert [json.loads(line) for line in lines] == [
        {"event": "attached", "host": "prod"},
        {"event": "detached", "kept_seconds": IDLE_SECONDS},
        {"event": "ended", "exit_status": 137, "signal": 9},
        {"event": "killed", "signal": 15},
        {
            "event": "error",
            "code": "session-gone",
            "message": "session abcd is gone; it was running make",
            "hint": "open a new one: cmdop connect prod",
        },
    ]


def test_in_json_a_step_is_told_once_it_is_done(capsys: Said) -> None:
    told = JsonLines("prod")
    with told.step("resolving prod") as line:
        line.fields = {"name": "prod-api-1"}
        assert capsys.readouterr().err == ""
    assert json.loads(capsys.readouterr().err) == {"event": "resolved", "host": "prod", "name": "prod-api-1"}
    with pytest.raises(MachineOffline), told.step("dialing relay"):
        raise MachineOffline(name="prod")
    assert capsys.readouterr().err == ""
