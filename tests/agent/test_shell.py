"""One session: every byte out once and in order, every byte in once and in order, and its end."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from cmdop.agent import called, pump, workings
from cmdop.agent import shell as shell_module
from cmdop.agent.called import Opened
from cmdop.agent.shell import Shell, ShellOver, new_session_id
from cmdop.agent.viewer import Entry, Viewer
from cmdop.errors import RemoteProtocolError, SessionGone, SessionRefused, TakenOver
from cmdop.limits import CLIENTS_PER_SESSION_MAX, HOLD_SECONDS, INPUT_WINDOW_BYTES, KIB, OFFSET_MAX, RING_BYTES
from cmdop.ptyhost.factory import open_pty
from cmdop.ptyhost.interface import ShellCommand
from cmdop.screen.ring import RingScreen
from cmdop.session import keyboard
from cmdop.session.broadcast import LAG_MAX_BYTES
from cmdop.session.core import Resume
from cmdop.winsize import DEFAULT_WINSIZE, Winsize
from cmdop.wire.session_messages import Answers, Detached, Ended, PeerJoined, PeerLeft, Ready
from tests.agent.fake_pty import TIMEOUT_SECONDS, FakePty
from tests.agent.watcher import Watcher

ENOUGH = OFFSET_MAX // 2
"""A window that is never used up."""


class Session:
    """A session, and whether it said that it is over."""

    def __init__(self, pty: FakePty | None = None) -> None:
        self.pty = pty or FakePty()
        self.over = threading.Event()
        self.stalls = threading.Semaphore(0)
        opened = Opened(new_session_id(), "anna", "a note")
        self.shell = Shell(opened, self.pty, RingScreen(), self._ended, self.stalls.release)

    def _ended(self, shell: Shell) -> None:
        assert shell is self.shell
        assert not self.over.is_set()
        self.over.set()

    def attach(self, watcher: Watcher, created: bool = False) -> Ready:
        """As the agent's stream does it."""
        with watcher.viewer.pumping:
            ready = self.shell.attach(watcher.viewer, Entry(created))
        self.shell.show()
        return ready

    def watch(self, window_bytes: int = ENOUGH, observer: bool = False, winsize: Winsize = DEFAULT_WINSIZE) -> Watcher:
        """Somebody new, attached."""
        watcher = Watcher(window_bytes, observer, winsize)
        self.attach(watcher)
        return watcher


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)
    assert session.pty.misuse == []


def text_of(size: int) -> bytes:
    """That many bytes of which no stretch looks like another one."""
    return random.Random(size).randbytes(size // 2 + 1).hex().encode()[:size]


def in_background(work: Callable[[], None]) -> Callable[[], None]:
    """Run on a thread of its own; call what is returned to wait for it."""
    failures: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failures.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def finished() -> None:
        thread.join(2 * TIMEOUT_SECONDS)
        if not failures.empty():
            raise failures.get()
        assert not thread.is_alive()

    return finished


# -- output -------------------------------------------------------------------------------------


def test_output_reaches_every_client_once_and_in_order(session: Session) -> None:
    watchers = [session.watch() for _ in range(3)]
    said = text_of(300 * KIB)
    session.pty.print(said)
    session.pty.exit(3)
    for watcher in watchers:
        assert watcher.until_finished() == said
        assert watcher.told == [Ended(3, 0, len(said))]
        assert watcher.mistakes == []
        assert watcher.finished == 1


@pytest.mark.parametrize("seed", range(8))
def test_output_is_exact_under_any_credit_and_congestion(session: Session, seed: int) -> None:
    """Clients that grant at random, and a connection that is full at random moments."""
    dice = random.Random(seed)
    said = text_of(200 * KIB)
    watchers = [session.watch(window_bytes=dice.choice([0, 1, 700, 70_000])) for _ in range(4)]

    def read(watcher: Watcher) -> None:
        own = random.Random(seed + id(watcher))
        while not watcher.finished:
            watcher.congested = own.random() < 0.2
            session.shell.grant(watcher.viewer, len(watcher.output) + own.choice([1, 100, 5000, 100_000]))
            watcher.congested = False
            session.shell.pump(watcher.viewer)  # as the writer does when its queue has drained
            seen = len(watcher.output)
            if watcher.viewer.view.credit.limit <= seen:
                continue
            watcher.until(lambda w, seen=seen: len(w.output) > seen or w.finished > 0)  # type: ignore[misc]

    readers = [in_background(lambda watcher=watcher: read(watcher)) for watcher in watchers]  # type: ignore[misc]
    at = 0
    while at < len(said):
        size = dice.choice([1, 10, 1000, 9000])
        session.pty.print(said[at : at + size])
        at += size
    session.pty.exit()
    for finished, watcher in zip(readers, watchers, strict=True):
        finished()
        assert bytes(watcher.output) == said
        assert watcher.mistakes == []
        assert watcher.told == [Ended(0, 0, len(said))]


def test_no_wake_up_is_lost_with_one_byte_of_credit_at_a_time(session: Session) -> None:
    """The client grants as soon as it has the byte: the reading thread is just about to wait."""
    watcher = session.watch(window_bytes=1)
    said = text_of(3000)
    printed = in_background(lambda: session.pty.print(said))
    for size in range(1, len(said) + 1):
        assert watcher.until_shown(size) == said[:size]
        session.shell.grant(watcher.viewer, size + 1)
    printed()
    assert watcher.mistakes == []


def test_no_wake_up_is_lost_between_congestion_and_draining(session: Session) -> None:
    """What one thread finds congested another one pumps on, at whatever moment it drains."""
    watcher = session.watch()
    said = text_of(60 * KIB)

    def print_bit_by_bit() -> None:
        for at in range(0, len(said), 37):
            session.pty.print(said[at : at + 37])

    printed = in_background(print_bit_by_bit)
    while len(watcher.output) < len(said):
        watcher.congested = True
        watcher.congested = False
        session.shell.pump(watcher.viewer)
    printed()
    assert bytes(watcher.output) == said
    assert watcher.mistakes == []


def test_a_congested_connection_gets_nothing_until_it_has_drained(session: Session) -> None:
    watcher = session.watch()
    watcher.congested = True
    session.pty.print(b"later")
    session.pty.until_idle(reading=True)
    assert watcher.output == b""
    watcher.congested = False
    session.shell.pump(watcher.viewer)
    assert watcher.output == b"later"


def test_the_program_blocks_while_no_client_has_credit(session: Session) -> None:
    watcher = session.watch(window_bytes=10)
    session.pty.print(b"0123456789")
    watcher.until_shown(10)
    session.pty.until_idle(reading=False)
    session.pty.print(b"abc")
    assert watcher.output == b"0123456789"
    session.shell.grant(watcher.viewer, 12)
    assert watcher.until_shown(12) == b"0123456789ab"


def test_the_program_runs_on_while_nobody_is_attached(session: Session) -> None:
    watcher = session.watch(window_bytes=0)
    session.pty.until_idle(reading=False)
    session.shell.detach(watcher.viewer, left=True)
    session.pty.print(text_of(2 * RING_BYTES))
    session.pty.until_idle(reading=True)
    assert watcher.output == b""


def test_the_program_waits_a_while_for_a_client_that_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back soon, and has missed nothing however much there was."""
    clock = Clock()
    for module in (called, pump, shell_module, workings):
        monkeypatch.setattr(module, "time", clock)
    session = Session()
    watcher = session.watch()
    session.shell.detach(watcher.viewer)
    said = text_of(2 * RING_BYTES)
    printed = in_background(lambda: session.pty.print(said))
    session.pty.until(lambda pty: pty.waiting == (False, False))
    again, _ = resume(session, watcher)
    printed()
    assert again.until_shown(len(said)) == said
    session.shell.detach(again.viewer)
    printed = in_background(lambda: session.pty.print(said))
    session.pty.until(lambda pty: pty.waiting == (False, False))
    clock.now += HOLD_SECONDS
    assert session.shell.due_in_seconds()[1] == 0.0
    session.shell.move_on()
    printed()
    assert session.shell.due_in_seconds()[1] is None
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


def test_a_window_beyond_the_ring_makes_it_grow(session: Session) -> None:
    watcher = session.watch(window_bytes=0)
    session.shell.grant(watcher.viewer, 3 * RING_BYTES)
    said = text_of(3 * RING_BYTES)
    session.pty.print(said)
    watcher.until_shown(len(said))
    session.shell.detach(watcher.viewer)
    lost, _ = resume(session, Watcher())
    assert lost.until_shown(len(said)) == said


def test_a_stalled_client_holds_up_neither_the_others_nor_the_program(session: Session) -> None:
    stalled = session.watch(window_bytes=5)
    current = session.watch()
    said = text_of(2 * RING_BYTES)
    session.pty.print(said)
    assert current.until_shown(len(said)) == said
    assert bytes(stalled.output) == said[:5]
    session.shell.detach(stalled.viewer)
    session.pty.exit()
    assert current.until_finished() == said


@pytest.mark.parametrize("congested", [True, False])
def test_a_client_that_was_too_slow_goes_on_from_what_is_shown_now(session: Session, congested: bool) -> None:
    """It is told where; nothing is asked of its terminal again, and from there on it misses nothing."""
    stalled = session.watch(window_bytes=5)
    current = session.watch()
    said = text_of(RING_BYTES + 100 * KIB) + b"\r\nwhere?\x1b[6n\r\n"
    session.pty.print(said)
    current.until_shown(len(said))
    assert bytes(stalled.output) == said[:5]
    if congested:
        stalled.congested = True
        session.shell.grant(stalled.viewer, 1000)
        assert stalled.skips == []
        stalled.congested = False
    session.shell.grant(stalled.viewer, 1000)
    assert stalled.skips == [len(said)]
    assert bytes(stalled.replay).endswith(b"where?\x18\r\n")
    session.pty.print(b"alive!")
    assert stalled.until_shown(5) == b"alive"  # the first window anew, that came with the skip
    session.pty.exit()
    current.until_finished()
    session.shell.grant(stalled.viewer, len(said) + 6)
    assert stalled.until_finished() == b"alive!"
    assert stalled.told == [Ended(0, 0, len(said) + 6)]
    assert stalled.mistakes == []


def test_a_client_may_be_too_slow_again_and_again(session: Session) -> None:
    slow, current = session.watch(window_bytes=10), session.watch()
    printed = 0
    for number in range(1, 4):
        session.pty.print(text_of(RING_BYTES + 10 * KIB) + b"\r\n%d" % number)
        printed += RING_BYTES + 10 * KIB + 3
        current.until_shown(printed)
        session.shell.grant(slow.viewer, slow.viewer.view.cursor + 10)
        assert slow.skips[-1] == printed
        assert bytes(slow.replay).endswith(b"\x1b[J%d" % number)  # from the first line end that is kept
        session.shell.grant(slow.viewer, printed + 10)
    assert len(slow.skips) == 3
    assert slow.mistakes == []


def test_the_program_waits_for_a_lagging_client_when_it_is_the_only_one(session: Session) -> None:
    """Its connection is full, so nothing is thrown away for want of a ring that is long enough."""
    watcher = session.watch()
    watcher.congested = True
    said = text_of(2 * RING_BYTES)
    printed = in_background(lambda: session.pty.print(said))
    session.pty.until(lambda pty: pty.waiting == (False, False))
    with session.shell._work.lock:
        assert LAG_MAX_BYTES <= session.shell._work.core.output.ring.head < RING_BYTES
    watcher.congested = False
    session.shell.pump(watcher.viewer)
    printed()
    assert watcher.until_shown(len(said)) == said
    assert watcher.mistakes == []


def test_nothing_is_sent_to_who_has_detached(session: Session) -> None:
    watcher, other = session.watch(), session.watch()
    session.pty.print(b"before")
    watcher.until_shown(6)
    session.shell.detach(watcher.viewer)
    session.shell.detach(watcher.viewer)
    session.pty.print(b"after")
    other.until_shown(11)
    session.shell.grant(watcher.viewer, 100)
    session.pty.exit()
    other.until_finished()
    assert watcher.output == b"before"
    assert watcher.told == []
    assert session.shell.clients == [other.viewer]


# -- an interrupt -------------------------------------------------------------------------------


def test_after_a_flush_a_client_with_a_backlog_is_skipped_ahead_and_has_credit(session: Session) -> None:
    watcher = session.watch(window_bytes=1000)
    session.pty.print(text_of(1000))
    watcher.until_shown(1000)
    session.pty.until_idle(reading=False)
    session.pty.print(b"never seen")
    session.pty.flush()
    session.shell.grant(watcher.viewer, 1001)
    watcher.until(lambda w: w.skips == [1000])
    session.pty.print(b"$ ")
    assert watcher.until_shown(2) == b"$ "
    assert watcher.mistakes == []


def test_a_flush_changes_nothing_for_who_has_everything(session: Session) -> None:
    watcher = session.watch()
    session.pty.print(b"$ ")
    watcher.until_shown(2)
    session.pty.flush()
    session.pty.print(b"^C")
    assert watcher.until_shown(4) == b"$ ^C"
    assert watcher.skips == []


def test_a_client_that_does_not_answer_is_skipped_once_and_not_again(session: Session) -> None:
    stopped, current = session.watch(window_bytes=100), session.watch()
    for number in range(1, 4):
        session.pty.print(text_of(5000))
        current.until_shown(5000 * number)
        session.pty.flush()
        session.pty.until_idle(reading=True)
    assert len(stopped.skips) == 1
    assert current.skips == []


def test_an_observer_that_takes_nothing_does_not_hold_the_program_up(session: Session) -> None:
    session.shell.detach(session.watch().viewer, left=True)
    observer = session.watch(window_bytes=0, observer=True)
    session.pty.print(text_of(2 * RING_BYTES))
    session.pty.until_idle(reading=True)
    assert observer.output == b""


# -- coming back --------------------------------------------------------------------------------


def back(watcher: Watcher, redraw: bool = False, whole: bool = False) -> tuple[Watcher, Entry]:
    """The same client on a new connection, and how it comes in."""
    got = watcher.starts[0] + len(watcher.output) if watcher.starts else 0
    again = Watcher(ENOUGH)
    again.viewer.client_id = watcher.viewer.client_id
    again.viewer.typist.client_id = watcher.viewer.client_id
    return again, Entry(resume=Resume(got, 0, redraw, whole))


def resume(session: Session, watcher: Watcher, redraw: bool = False, whole: bool = False) -> tuple[Watcher, Ready]:
    again, entry = back(watcher, redraw, whole)
    with again.viewer.pumping:
        ready = session.shell.attach(again.viewer, entry)
    session.shell.show()
    return again, ready


def test_who_comes_back_gets_what_it_missed_and_nothing_twice(session: Session) -> None:
    watcher = session.watch()
    session.pty.print(b"one ")
    watcher.until_shown(4)
    session.shell.type(watcher.viewer, 0, b"abc")
    session.shell.detach(watcher.viewer)
    session.pty.print(b"two ")
    session.pty.until_idle(reading=True)
    again, ready = resume(session, watcher)
    session.pty.print(b"three")
    assert again.until_shown(9) == b"two three"
    assert (ready.output_offset, ready.input_offset) == (4, 3)
    session.shell.type(again.viewer, 1, b"bcd")  # sent again, but for what is new
    assert session.pty.until_typed(4) == b"abcd"
    assert again.replay == b""
    assert again.mistakes == []


def test_who_comes_back_too_late_for_the_ring_gets_a_fresh_screen(session: Session) -> None:
    watcher = session.watch()
    session.pty.print(b"one\r\n")
    watcher.until_shown(5)
    session.watch()  # whom the program need not wait for, with this one here
    session.shell.detach(watcher.viewer)
    session.pty.print(text_of(2 * RING_BYTES) + b"\r\nlast")
    session.pty.until_idle(reading=True)
    again, ready = resume(session, watcher)
    again.until(lambda w: w.replay.endswith(b"last"))
    assert again.skips == [ready.output_offset]
    assert again.mistakes == []


def test_who_wrote_over_its_screen_may_ask_for_a_fresh_one(session: Session) -> None:
    watcher = session.watch()
    session.pty.print(b"one\r\ntwo")
    watcher.until_shown(8)
    session.shell.detach(watcher.viewer)
    session.pty.print(b" three")
    session.pty.until_idle(reading=True)
    again, ready = resume(session, watcher, redraw=True)
    assert ready.output_offset == 8
    again.until(lambda w: w.replay.endswith(b"two three"))
    assert again.starts == [8]  # what it missed came before, for its scrollback
    assert again.skips == [14]


def test_whose_first_replay_never_was_whole_gets_the_scrollback_again(session: Session) -> None:
    session.pty.print(b"".join(b"%d\r\n" % number for number in range(100)))
    session.pty.until_idle(reading=True)
    watcher = session.watch()
    session.shell.detach(watcher.viewer)
    again, _ = resume(session, watcher, redraw=True, whole=True)
    again.until(lambda w: b"\r\n99\r\n" in w.replay)
    assert b"0\r\n1\r\n" in again.replay
    assert again.skips == [again.viewer.view.cursor]


def test_an_older_connection_of_the_same_client_is_closed(session: Session) -> None:
    watcher = session.watch()
    session.pty.print(b"one")
    watcher.until_shown(3)
    again, _ = resume(session, watcher)
    session.pty.print(b"two")
    assert again.until_shown(3) == b"two"
    assert watcher.finished == 1
    assert watcher.output == b"one"
    session.shell.detach(watcher.viewer)  # its stream says so late
    assert session.shell.clients == [again.viewer]


def test_who_comes_back_for_more_than_there_was_is_turned_away(session: Session) -> None:
    watcher = session.watch()
    session.pty.print(b"one")
    watcher.until_shown(3)
    session.shell.detach(watcher.viewer)
    again = Watcher()
    again.viewer.client_id = watcher.viewer.client_id
    with pytest.raises(RemoteProtocolError), again.viewer.pumping:
        session.shell.attach(again.viewer, Entry(resume=Resume(4, 0)))
    assert session.shell.clients == []


def test_who_vanished_gets_the_rest_and_the_end_though_it_is_over(session: Session) -> None:
    watcher = session.watch()
    session.pty.print(b"one")
    watcher.until_shown(3)
    session.shell.detach(watcher.viewer)
    session.pty.print(b"two")
    session.pty.exit(4)
    assert session.over.wait(TIMEOUT_SECONDS)
    assert session.shell.expects_back
    again, _ = resume(session, watcher)
    assert again.until_finished() == b"two"
    assert again.told == [Ended(4, 0, 6)]


def test_who_is_not_known_does_not_come_back_to_what_is_over(session: Session) -> None:
    watcher = session.watch()
    session.shell.detach(watcher.viewer)
    session.pty.exit()
    assert session.over.wait(TIMEOUT_SECONDS)
    with pytest.raises(SessionGone):
        resume(session, Watcher())


def test_who_left_does_not_come_back_to_what_is_over(session: Session) -> None:
    watcher = session.watch()
    session.shell.detach(watcher.viewer, left=True)
    session.pty.exit()
    assert session.over.wait(TIMEOUT_SECONDS)
    assert not session.shell.expects_back
    with pytest.raises(SessionGone):
        resume(session, watcher)


def test_nobody_comes_back_in_the_place_of_another_operator(session: Session) -> None:
    watcher = session.watch()
    session.shell.detach(watcher.viewer)
    again, entry = back(watcher)
    again.viewer.operator = "ben"
    with pytest.raises(SessionRefused, match="somebody else"), again.viewer.pumping:
        session.shell.attach(again.viewer, entry)


# -- several clients ------------------------------------------------------------------------------


def test_clients_hear_of_each_other(session: Session) -> None:
    one, two = session.watch(), session.watch(observer=True)
    one_id, two_id = one.viewer.client_id, two.viewer.client_id
    assert one.peers == [PeerJoined(two_id, "anna", "observer")]
    assert two.peers == [PeerJoined(one_id, "anna", "operator")]
    session.shell.detach(one.viewer)
    assert two.peers[1:] == [PeerLeft(one_id, "anna")]


def test_who_takes_over_sends_the_others_away_and_says_who_it_is(session: Session) -> None:
    others = [session.watch(), session.watch(observer=True)]
    taker = Watcher()
    taker.viewer.operator = "ben"
    with taker.viewer.pumping:
        session.shell.attach(taker.viewer, Entry(takeover=True))
    for other in others:
        assert other.told == [Detached("taken-over", "ben")]
        assert other.finished == 1
    assert session.shell.clients == [taker.viewer]
    with pytest.raises(TakenOver, match="ben"):
        resume(session, others[0])


def test_who_vanished_before_a_takeover_does_not_come_back(session: Session) -> None:
    watcher, taker = session.watch(), Watcher()
    session.shell.detach(watcher.viewer)
    with taker.viewer.pumping:
        session.shell.attach(taker.viewer, Entry(takeover=True))
    with pytest.raises(TakenOver):
        resume(session, watcher)


def test_questions_are_answered_by_who_owns_the_size_from_the_offset_on_that_it_does(session: Session) -> None:
    one = session.watch()
    session.pty.print(b"12345")
    one.until_shown(5)
    two = session.watch()
    two.until(lambda w: len(w.answers) > 0)
    session.shell.type(one.viewer, 0, b"x")
    observer = session.watch(observer=True)
    assert one.answers[-2:] == [Answers(5, False), Answers(5, True)]
    assert one.answers[0].mine
    assert two.answers == [Answers(5, True), Answers(5, False)]
    assert observer.answers == [Answers(5, False)]


def test_a_paste_is_not_torn_by_the_keys_of_others(session: Session) -> None:
    one, two = session.watch(), session.watch()
    session.shell.type(one.viewer, 0, b"\x1b[200~ab")
    session.shell.type(two.viewer, 0, b"XY")
    session.shell.type(one.viewer, 8, b"cd\x1b[201~")
    assert session.pty.until_typed(18) == b"\x1b[200~abcd\x1b[201~XY"


def test_who_leaves_in_the_middle_of_a_paste_does_not_keep_the_others_waiting(session: Session) -> None:
    one, two = session.watch(), session.watch()
    session.shell.type(one.viewer, 0, b"\x1b[200~ab")
    session.shell.type(two.viewer, 0, b"XY")
    session.shell.detach(one.viewer, left=True)
    assert session.pty.until_typed(10) == b"\x1b[200~abXY"


@pytest.mark.parametrize("vanishes", [False, True])
def test_who_waits_for_a_paste_that_does_not_go_on_is_told_of(
    session: Session, monkeypatch: pytest.MonkeyPatch, vanishes: bool
) -> None:
    monkeypatch.setattr(keyboard, "PASTE_STALL_SECONDS", 0.0)
    one, two = session.watch(), session.watch()
    session.shell.type(one.viewer, 0, b"\x1b[200~ab")
    if vanishes:
        session.shell.detach(one.viewer)
    session.shell.type(two.viewer, 0, b"XY")
    assert session.stalls.acquire(timeout=TIMEOUT_SECONDS)
    session.shell.move_on()
    assert session.pty.until_typed(10) == b"\x1b[200~abXY"


# -- joining ------------------------------------------------------------------------------------


def test_who_joins_sees_what_was_there_and_then_goes_on_live(session: Session) -> None:
    session.pty.print(b"one\r\n")
    session.pty.until_idle(reading=True)
    watcher = Watcher()
    ready = session.attach(watcher)
    session.pty.print(b"two\r\n")
    assert watcher.until_shown(5) == b"two\r\n"
    assert watcher.replay == b"one\r\n"
    assert watcher.starts[0] == ready.output_offset == 5
    assert (ready.created, ready.operator, ready.notice) == (False, "anna", "")


def test_an_observer_whose_window_has_another_size_gets_the_screen_where_it_is(session: Session) -> None:
    session.pty.print(b"one\r\n")
    session.pty.until_idle(reading=True)
    larger, same = Watcher(observer=True, winsize=Winsize(30, 80)), Watcher(observer=True)
    for watcher in (larger, same):
        session.attach(watcher)
    session.pty.print(b"two\r\n")
    assert larger.until_shown(5) == same.until_shown(5) == b"two\r\n"
    assert same.replay == b"one\r\n"
    assert larger.replay == b"\r\n" * 30 + b"\x18\x1b\\\x1b[H\x1b[J" + b"one\r\n"


def test_who_opened_it_gets_everything_live_and_the_note(session: Session) -> None:
    session.pty.print(b"prompt\x1b[6n")
    session.pty.until_idle(reading=True)
    watcher = Watcher()
    ready = session.attach(watcher, created=True)
    assert watcher.until_shown(10) == b"prompt\x1b[6n"
    assert watcher.replay == b""
    assert (ready.created, ready.output_offset, ready.notice) == (True, 0, "a note")


@pytest.mark.parametrize("seed", range(4))
def test_between_replay_and_live_there_is_neither_gap_nor_overlap(session: Session, seed: int) -> None:
    """Clients join and leave while the program prints."""
    dice = random.Random(seed)
    said = text_of(400 * KIB)
    printed = in_background(lambda: session.pty.print(said))
    watchers: list[Watcher] = []
    for _ in range(40):
        watcher = session.watch()
        watchers.append(watcher)
        if dice.random() < 0.5:
            gone = watchers.pop(dice.randrange(len(watchers)))
            session.shell.detach(gone.viewer)
            assert said.startswith(bytes(gone.replay + gone.output))
            assert gone.mistakes == []
    printed()
    session.pty.exit()
    for watcher in watchers:
        watcher.until_finished()
        assert bytes(watcher.replay + watcher.output) == said
        assert watcher.mistakes == []


def test_a_question_at_the_very_end_is_not_asked_again_of_who_joins(session: Session) -> None:
    first = session.watch()
    session.pty.print(b"where is the cursor?\x1b[6n")
    first.until_shown(24)
    watcher = session.watch()
    session.pty.print(b".")
    watcher.until_shown(1)
    assert b"\x1b[6n" not in watcher.replay + watcher.output


def test_joining_types_nothing_and_does_not_hurt_a_sequence_that_is_under_way(session: Session) -> None:
    session.pty.print(b"text\x1b[3")
    session.pty.until_idle(reading=True)
    watcher = session.watch()
    session.pty.print(b"1mred")
    watcher.until(lambda w: w.output.endswith(b"red"))
    assert bytes(watcher.replay + watcher.output) == b"text\x1b[31mred"
    assert session.pty.typed == b""


def test_a_session_takes_only_so_many_clients(session: Session) -> None:
    watchers = [session.watch() for _ in range(CLIENTS_PER_SESSION_MAX)]
    with pytest.raises(SessionRefused, match="64 clients"):
        session.watch()
    session.shell.detach(watchers[0].viewer)
    session.watch()


def test_nobody_joins_a_session_that_is_over(session: Session) -> None:
    session.pty.exit()
    assert session.over.wait(TIMEOUT_SECONDS)
    with pytest.raises(ShellOver):
        session.watch()
    assert session.shell.clients == []


def test_who_opened_it_gets_its_output_and_end_though_it_is_over(session: Session) -> None:
    session.pty.print(b"bye")
    session.pty.exit(7)
    assert session.over.wait(TIMEOUT_SECONDS)
    watcher = Watcher()
    session.attach(watcher, created=True)
    assert watcher.until_finished() == b"bye"
    assert watcher.told == [Ended(7, 0, 3)]


@pytest.mark.parametrize("round_number", range(30))
def test_who_joins_while_it_ends_hears_of_the_end_or_is_turned_away(round_number: int) -> None:
    session = Session()
    session.pty.print(b"bye")
    exited = in_background(session.pty.exit)
    watcher = Watcher()
    try:
        session.attach(watcher)
    except ShellOver:
        assert session.over.wait(TIMEOUT_SECONDS)
    else:
        watcher.until_finished()
        assert bytes(watcher.replay + watcher.output) == b"bye"
    exited()
    assert session.shell.join(TIMEOUT_SECONDS)
    assert session.pty.misuse == []


# -- the end ------------------------------------------------------------------------------------


def test_the_end_comes_after_the_last_byte_however_slow_the_client_is(session: Session) -> None:
    watcher = session.watch(window_bytes=2)
    session.pty.print(b"last words")
    session.shell.hang_up()  # with the client out of credit nothing else would be read
    assert session.over.wait(TIMEOUT_SECONDS)
    assert watcher.told == []
    for limit in range(3, 11):
        session.shell.grant(watcher.viewer, limit)
        assert len(watcher.output) == limit
        assert bool(watcher.told) == (limit == 10)
    assert watcher.output == b"last words"
    assert watcher.told == [Ended(0, 1, 10)]


def test_the_end_reaches_a_client_whose_connection_was_full(session: Session) -> None:
    watcher = session.watch()
    watcher.congested = True
    session.pty.print(b"last words")
    session.pty.exit(5)
    assert session.over.wait(TIMEOUT_SECONDS)
    assert watcher.told == []
    watcher.congested = False
    session.shell.pump(watcher.viewer)
    assert watcher.until_finished() == b"last words"
    assert watcher.told == [Ended(5, 0, 10)]


def test_a_program_that_gives_its_terminal_up_ends_the_session(session: Session) -> None:
    watcher = session.watch()
    finished = in_background(lambda: session.pty.until(lambda pty: pty.closed))
    session.pty.lose_terminal()
    session.pty.exit(4)
    finished()
    watcher.until_finished()
    assert watcher.told == [Ended(4, 0, 0)]


def test_kill_ends_what_ignores_a_hangup() -> None:
    session = Session(FakePty(deaf=True))
    watcher = session.watch()
    session.shell.hang_up()
    assert session.pty.signals == ["HUP"]
    assert not session.over.is_set()
    session.shell.kill()
    watcher.until_finished()
    assert watcher.told == [Ended(0, 9, 0)]
    assert session.shell.join(TIMEOUT_SECONDS)


def test_after_the_end_everything_else_is_quiet(session: Session) -> None:
    watcher = session.watch()
    session.pty.exit()
    watcher.until_finished()
    assert session.shell.join(TIMEOUT_SECONDS)
    session.shell.type(watcher.viewer, 0, b"anybody?")
    session.shell.resize(watcher.viewer, Winsize(1, 2))
    session.shell.grant(watcher.viewer, 100)
    session.shell.detach(watcher.viewer)
    session.shell.hang_up()
    session.shell.kill()
    assert session.pty.typed == b""
    assert watcher.finished == 1
    assert session.shell.foreground_command() == ""


# -- input --------------------------------------------------------------------------------------


def test_input_reaches_the_program_once_and_in_order(session: Session) -> None:
    watcher = session.watch()
    said = text_of(3 * INPUT_WINDOW_BYTES)
    for at in range(0, len(said), 1000):
        session.shell.type(watcher.viewer, at, said[at : at + 1000])
        session.shell.type(watcher.viewer, max(0, at - 500), said[max(0, at - 500) : at + 1000])  # sent again
    assert session.pty.until_typed(len(said)) == said


def test_input_waits_for_a_program_that_takes_little_and_is_acknowledged_as_it_takes_it() -> None:
    session = Session(FakePty(room_bytes=0))
    watcher = session.watch()
    said = text_of(INPUT_WINDOW_BYTES)
    session.shell.type(watcher.viewer, 0, said)
    session.pty.until(lambda pty: pty.waiting == (True, True))
    assert watcher.acks == []
    for size in range(4096, len(said) + 1, 4096):
        session.pty.make_room(4096)
        assert session.pty.until_typed(size) == said[:size]
    watcher.until(lambda w: len(w.acks) >= 4)
    assert watcher.acks == sorted(watcher.acks)
    assert watcher.acks[-1] <= len(said)
    session.shell.type(watcher.viewer, len(said), b"more")  # the window is open again
    session.pty.make_room(4)
    assert session.pty.until_typed(len(said) + 4) == said + b"more"
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


def test_keys_behind_others_that_wait_for_the_program_are_not_tried_one_by_one() -> None:
    class Counting(FakePty):
        tries = 0

        def write(self, data: bytes | memoryview) -> int:
            self.tries += 1
            return super().write(data)

    pty = Counting(room_bytes=0)
    session = Session(pty)
    watcher = session.watch()
    session.shell.type(watcher.viewer, 0, b"x")
    pty.until(lambda pty: pty.waiting == (True, True))
    tries = pty.tries
    for offset in range(1, 100):
        session.shell.type(watcher.viewer, offset, b"x")
    assert pty.tries == tries
    pty.make_room(100)
    assert pty.until_typed(100) == b"x" * 100
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


def test_who_comes_back_hears_that_it_is_in_before_its_input_is_acknowledged() -> None:
    session = Session(FakePty(room_bytes=0))
    watcher = session.watch()
    said = text_of(INPUT_WINDOW_BYTES)
    session.shell.type(watcher.viewer, 0, said)
    session.shell.detach(watcher.viewer)
    again, entry = back(watcher)
    with again.viewer.pumping:
        ready = session.shell.attach(again.viewer, entry)
        session.pty.make_room(len(said))
        assert session.pty.until_typed(len(said)) == said
        assert (ready.input_offset, again.acks) == (0, [])
        # That the session has come as far as the ack is not to be seen from here; that it waits is.
        assert not again.until_acked(0.05)
    assert again.until_acked(TIMEOUT_SECONDS)
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


def test_each_client_s_input_keeps_its_own_order() -> None:
    session = Session(FakePty(room_bytes=0))
    watchers = {letter: session.watch() for letter in b"abc"}
    stop = threading.Event()

    def type_all(letter: int, watcher: Watcher) -> None:
        for number in range(400):
            session.shell.type(watcher.viewer, 5 * number, b"%c%03d;" % (letter, number))

    typists = [in_background(lambda i=item: type_all(*i)) for item in watchers.items()]  # type: ignore[misc]

    def take() -> None:
        while not stop.is_set():
            session.pty.make_room(7)

    taker = in_background(take)
    for typed in typists:
        typed()
    words = session.pty.until_typed(3 * 400 * 5).split(b";")[:-1]
    stop.set()
    taker()
    for letter in b"abc":
        own = [word for word in words if word[0] == letter]
        assert own == [b"%c%03d" % (letter, number) for number in range(400)]
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


def test_no_wake_up_is_lost_between_full_and_room() -> None:
    """The program makes room at the very moment when the session finds that it has none."""
    session = Session(FakePty(room_bytes=0))
    watcher = session.watch()
    said = text_of(2000)
    for at in range(len(said)):
        roomier = in_background(lambda: session.pty.make_room(1)) if at % 20 == 0 else None
        session.shell.type(watcher.viewer, at, said[at : at + 1])
        if roomier is None:
            session.pty.make_room(1)
        else:
            roomier()
        session.pty.until_typed(at + 1)
    assert session.pty.typed == said
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


def test_input_that_was_not_taken_is_dropped_when_the_program_ends() -> None:
    session = Session(FakePty(room_bytes=3))
    watcher = session.watch()
    session.shell.type(watcher.viewer, 0, b"abcdef")
    session.pty.exit()
    watcher.until_finished()
    assert session.pty.typed == b"abc"
    assert session.shell.join(TIMEOUT_SECONDS)
    assert session.pty.misuse == []


def test_what_was_typed_before_leaving_is_still_typed() -> None:
    session = Session(FakePty(room_bytes=0))
    watcher = session.watch()
    session.shell.type(watcher.viewer, 0, b"make &\n")
    session.shell.detach(watcher.viewer)
    session.pty.make_room(100)
    assert session.pty.until_typed(7) == b"make &\n"
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


@pytest.mark.parametrize(
    ("offset", "size"), [(1, 1), (0, INPUT_WINDOW_BYTES + 1), (5, INPUT_WINDOW_BYTES)], ids=["gap", "window", "both"]
)
def test_input_that_breaks_its_rules_is_refused_and_not_typed(offset: int, size: int) -> None:
    session = Session(FakePty(room_bytes=0))
    watcher = session.watch()
    with pytest.raises(RemoteProtocolError):
        session.shell.type(watcher.viewer, offset, bytes(size))
    session.pty.make_room(size)
    session.shell.type(watcher.viewer, 0, b"x")
    assert session.pty.until_typed(1) == b"x"
    session.shell.kill()
    assert session.shell.join(TIMEOUT_SECONDS)


# -- sizes --------------------------------------------------------------------------------------


def test_the_size_is_that_of_who_last_typed_attached_or_resized(session: Session) -> None:
    one = session.watch(winsize=Winsize(10, 20))
    two = session.watch(winsize=Winsize(30, 40))
    session.shell.type(one.viewer, 0, b"x")
    session.shell.type(one.viewer, 1, b"x")
    session.shell.resize(two.viewer, Winsize(50, 60))
    session.shell.detach(two.viewer)
    assert session.pty.sizes == [(10, 20), (30, 40), (10, 20), (50, 60), (10, 20)]


def test_an_observer_has_no_say_in_the_size(session: Session) -> None:
    watcher = session.watch(observer=True)
    session.shell.resize(watcher.viewer, Winsize(7, 7))
    assert session.pty.sizes == []


# -- how long it lives --------------------------------------------------------------------------


class Clock:
    """A clock that the test turns, in the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (called, pump, shell_module, workings):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_the_grace_runs_while_nobody_is_attached_and_there_is_a_relay(clock: Clock) -> None:
    session = Session()
    shell = session.shell
    assert shell.due_in_seconds()[0] == 30.0
    watcher = session.watch()
    clock.now += 100
    assert shell.due_in_seconds()[0] is None
    shell.detach(watcher.viewer)
    clock.now += 10
    assert shell.due_in_seconds()[0] == 20.0
    shell.relay_is(False)
    clock.now += 100
    assert shell.due_in_seconds()[0] is None
    shell.relay_is(True)
    clock.now += 19
    assert shell.due_in_seconds()[0] == 1.0
    session.attach(watcher := Watcher())
    shell.detach(watcher.viewer)
    assert shell.due_in_seconds()[0] == 30.0
    shell.kill()
    assert shell.join(TIMEOUT_SECONDS)


# -- with a real PTY ----------------------------------------------------------------------------


def real(script: str, ended: Callable[[Shell], None] = lambda _: None) -> Shell:
    environment = {"PATH": "/usr/bin:/bin", "TERM": "dumb"}
    pty = open_pty(ShellCommand("/bin/sh", ("sh", "-c", script)), environment, "/", Winsize(24, 80))
    return Shell(Opened(new_session_id(), "anna"), pty, RingScreen(), ended, lambda: None)


def attach_to(shell: Shell, viewer: Viewer) -> None:
    with viewer.pumping:
        shell.attach(viewer, Entry(created=True))
    shell.pump(viewer)


def test_a_real_program_is_shown_typed_into_and_ends_with_its_status() -> None:
    shell = real("stty -echo -onlcr; printf 'name? '; read name; printf 'hello %s\\n' $name; exit 3")
    watcher = Watcher()
    attach_to(shell, watcher.viewer)
    watcher.until_shown(6)
    shell.type(watcher.viewer, 0, b"anna\n")
    assert watcher.until_finished() == b"name? hello anna\n"
    assert watcher.told == [Ended(3, 0, 17)]
    assert shell.join(TIMEOUT_SECONDS)


def test_a_megabyte_through_a_real_pty_is_exact_for_a_client_that_grants_bit_by_bit() -> None:
    shell = real("stty raw -echo; seq 150000; printf end")
    watcher = Watcher(window_bytes=50_000)
    attach_to(shell, watcher.viewer)
    while not watcher.finished:
        shown = len(watcher.output)
        shell.grant(watcher.viewer, shown + 50_000)
        watcher.until(lambda w, shown=shown: len(w.output) > shown or w.finished > 0)  # type: ignore[misc]
    assert bytes(watcher.output) == b"".join(b"%d\n" % number for number in range(1, 150_001)) + b"end"
    assert watcher.mistakes == []
    assert shell.join(TIMEOUT_SECONDS)


def test_a_real_flood_is_ended_at_once_though_nobody_takes_it() -> None:
    shell = real("yes")
    watcher = Watcher(window_bytes=1000)
    attach_to(shell, watcher.viewer)
    watcher.until_shown(1000)
    shell.hang_up()
    assert shell.join(TIMEOUT_SECONDS)
    session_end = watcher.viewer.view.credit.limit
    assert len(watcher.output) == session_end == 1000
