"""Joining types nothing: not at a terminal that answers every question and reports all that it can.

CMDOP_TEST_LONG=1 attaches 1,000 times.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cmdop.client import connect as connect_module
from cmdop.transport.backoff import Backoff
from tests.screen.oracle import CORPUS
from tests_e2e import recital
from tests_e2e.conftest import Join, User, as_operator
from tests_e2e.emulator import Emulator
from tests_e2e.exchange import Recital
from tests_e2e.in_memory import Client, Machine
from tests_e2e.pieces import mark, pieces
from tests_e2e.stack import Stack
from tests_e2e.timing import LONG, LONG_SECONDS, rounds

pytestmark = pytest.mark.timeout(LONG_SECONDS if LONG else 120)

JOINS = rounds(6, 1000 // (2 * len(CORPUS)) + 1)
"""Of each recording, with somebody attached and with nobody."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine()
    monkeypatch.setattr(connect_module, "connect_relay", machine.connect_relay)
    monkeypatch.setattr(Backoff, "next_seconds", lambda _: 0.0)
    yield machine
    machine.close()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (b"\x1b[c", b"\x1b[?62;1;6;22c"),
        (b"text \x1b[6n more\x05", b"\x1b[12;34Ranswerback"),
        (b"\x1b]11;?\x07\x1b]4;7;?\x1b\\", b"\x1b]11;rgb:0000/0000/0000\x1b\\\x1b]4;1;rgb:1111/2222/3333\x1b\\"),
        (b"\x1bP$qm\x1b\\", b"\x1bP1$r0m\x1b\\"),
        (b"\x1b[?1004;2031h", b"\x1b[I\x1b[?997;1n"),
        (b"\x1b[?2004h\x1b[m\x1b]2;title\x07\x1b[1\x18\x1b[3;4H", b""),
    ],
)
def test_the_emulator_answers_at_any_split(question: bytes, answer: bytes) -> None:
    for at in range(len(question)):
        emulator = Emulator()
        assert emulator.feed(question[:at]) + emulator.feed(question[at:]) == answer


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "watched"])
def test_a_join_types_nothing(machine: Machine, name: str, alone: bool) -> None:
    """While nobody is attached the machine's own model answers; that is before the join."""
    other = Client(machine)
    if alone:
        other.leave()
    for number, piece in enumerate(pieces(name, JOINS)):
        machine.pty.print(piece)
        join_silently(machine, number)
    if not alone:
        other.leave()


def join_silently(machine: Machine, number: int) -> None:
    """Attach with the worst of terminals. That it was shown everything is known by a mark behind it."""
    machine.pty.until_idle(reading=True)
    before = bytes(machine.pty.typed)
    client = Client(machine, Emulator().feed)
    machine.pty.print(mark(number))
    client.output.until(lambda shown: mark(number) in shown)
    client.terminal.press(b"k")
    machine.pty.until_typed(len(before) + 1)
    client.leave()
    assert bytes(machine.pty.typed) == before + b"k"


@pytest.mark.parametrize("name", CORPUS if LONG else ["modes", "vim"])
def test_a_join_through_real_processes_types_nothing(user: User, own_stack: Stack, join: Join, name: str) -> None:
    """Nor do the answers to what is asked later, while somebody else is the one to answer."""
    joins = rounds(3, 20)
    said = [piece + mark(number) for number, piece in enumerate(pieces(name, joins))]
    said += [mark(number) for number in range(joins, 2 * joins + 1)]
    owner = join(as_operator(user, own_stack), "alpha")
    recited = Recital(owner, said)
    guests = []
    for number in range(joins):
        owner.person.until_seen(mark(number))
        guests.append(join(user, "alpha", answer=Emulator().feed))
        owner.person.type(recital.NEXT)
    for number, guest in enumerate(guests, joins):
        guest.person.until_seen(mark(number))
        guest.person.type(recital.NEXT)  # it comes behind all that its terminal answered
    owner.person.until_seen(mark(2 * joins))
    owner.person.type(recital.NEXT)
    assert owner.job.wait() == 0
    assert recited.typed == recital.NEXT * (2 * joins + 1)
