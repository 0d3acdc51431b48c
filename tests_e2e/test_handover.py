"""From replay to live output at exactly the right byte, through the real session and the real client.

tests/screen/ shows that a model and its replay are alike. Here the replay is made by a
session while its program prints, and what counts is that the client's terminal is like
one that was given the program's output directly: cells, colours, cursors, modes, strings
and scrollback. CMDOP_TEST_LONG=1 joins at more places.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from cmdop.client import connect as connect_module
from cmdop.limits import CLIENTS_PER_SESSION_MAX
from cmdop.transport.backoff import Backoff
from tests.screen.oracle import CORPUS
from tests_e2e import recital
from tests_e2e.conftest import Join, User, as_operator
from tests_e2e.exchange import Recital
from tests_e2e.in_memory import TIMEOUT_SECONDS, Client, Machine
from tests_e2e.picture import Picture, difference, everything
from tests_e2e.pieces import mark, pieces
from tests_e2e.stack import Stack
from tests_e2e.timing import LONG, LONG_SECONDS, rounds

pytestmark = pytest.mark.timeout(LONG_SECONDS if LONG else 120)

SHORT_BYTES = 300
END = b"\x18\x1b]7777;the end\x07"
"""Ends whatever is unfinished (ECMA-48 8.3.6), and shows nothing."""
AT_ONCE = CLIENTS_PER_SESSION_MAX - 4


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(Backoff, "next_seconds", lambda _: 0.0)
    machine = Machine()
    monkeypatch.setattr(connect_module, "connect_relay", machine.connect_relay)
    yield machine
    machine.close()


def is_like(client: Client, wanted: Picture) -> None:
    """In the end this terminal is as it should be."""
    said = ""

    def alike(shown: bytearray) -> bool:
        nonlocal said
        said = difference(wanted, everything(bytes(shown)))
        return not said

    client.output.until(alike, lambda: said)


def batches() -> Iterator[tuple[str, list[int]]]:
    """Places in each recording: every one in the short ones, so many as may be attached at once."""
    for name, output in CORPUS.items():
        every = range(len(output) + 1)
        places = list(every) if len(output) <= SHORT_BYTES else random.Random(name).sample(every, rounds(12, 300))
        places.sort()
        yield from ((name, places[first : first + AT_ONCE]) for first in range(0, len(places), AT_ONCE))


@pytest.mark.parametrize(("name", "places"), list(batches()))
def test_a_terminal_that_joined_anywhere_is_like_one_that_was_always_there(
    machine: Machine, name: str, places: list[int]
) -> None:
    """Every second one of those that came to a long recording leaves when the next one comes."""
    output, at = CORPUS[name] + END, 0
    clients = [Client(machine)]
    for place in places:
        machine.pty.print(output[at:place])
        machine.pty.until_idle(reading=True)
        at = place
        clients.append(Client(machine))
        if len(output) > SHORT_BYTES and len(clients) % 2:
            clients.pop(1).leave()
    machine.pty.print(output[at:])
    wanted = everything(output)
    for client in clients:
        is_like(client, wanted)
        client.leave()


class Printer:
    """Prints the corpus over and over, in pieces of any size, until it is stopped.

    Each recording on a terminal that was reset (RIS): of what one that is torn off leaves on an
    alternate screen that is not shown, or at margins, a replay knows less (screen/drawing.py).
    The thread `print` waits for the session to read each piece.
    """

    def __init__(self, machine: Machine, seed: int) -> None:
        self.printed = bytearray()
        self._machine, self._dice = machine, random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="print", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            output = b"\x18\x1bc" + self._dice.choice(list(CORPUS.values()))
            at = 0
            while at < len(output) and not self._stopping.is_set():
                piece = output[at : at + self._dice.choice([1, 7, 100, 3000])]
                self._print(piece)
                at += len(piece)
        self._print(END)

    def _print(self, piece: bytes) -> None:
        self.printed += piece
        self._machine.pty.print(piece)
        self._machine.pty.until_idle(reading=True)

    def stop(self) -> bytes:
        """All that was printed, END last."""
        self._stopping.set()
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()
        return bytes(self.printed)


@pytest.mark.parametrize("seed", range(rounds(2, 40)))
def test_joins_leaves_and_cuts_while_the_program_prints_change_nothing(machine: Machine, seed: int) -> None:
    dice = random.Random(seed)
    always = Client(machine)
    printer = Printer(machine, seed)
    clients: list[Client] = []
    for _ in range(20):
        clients.append(Client(machine))
        dice.choice(clients).cut()  # the newest one, maybe, before it was shown anything
        always.cut()
        if dice.random() < 0.3:
            clients.pop(dice.randrange(len(clients))).leave()
    output = printer.stop()
    shown = always.output.until(lambda so_far: END in so_far)
    assert shown.endswith(output), "every byte once, over all of its connections"
    wanted = everything(output)
    for client in [always, *clients]:
        is_like(client, wanted)
        client.leave()


@pytest.mark.parametrize("name", CORPUS if LONG else ["vim", "wide", "tmux_left"])
def test_terminals_behind_real_processes_are_like_one_that_was_given_the_output(
    user: User, own_stack: Stack, join: Join, name: str
) -> None:
    """RIS comes first (xterm ctlseqs): nothing of the shell is left."""
    joins = rounds(3, 20)
    said = [piece + mark(number) for number, piece in enumerate(pieces(name, joins))]
    said[0] = b"\x1bc" + said[0]
    first = join(as_operator(user, own_stack), "alpha")
    Recital(first, [*said, b"the rest" + mark(joins)])
    guests = []
    for number in range(joins):
        first.person.until_seen(mark(number))
        guests.append(join(user, "alpha"))
        if number == 1:
            guests.pop(0).leave()
        first.person.type(recital.NEXT)
    for client in (first, *guests):
        client.person.until_like(b"".join(said) + b"the rest", history=True)
