"""Output on its way to the terminal: in order, once, granted as it is written, and undone."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.client.show import Show
from cmdop.errors import RemoteProtocolError, TerminalGone
from cmdop.limits import STDOUT_PIECE_BYTES, WINDOW_MIN_BYTES
from cmdop.session.received import Received
from cmdop.terminal.modes import Asked

TIMEOUT_SECONDS = 10.0


class Screen:
    """A terminal that takes as much as it is told to; None is everything."""

    def __init__(self, room: int | None = None, blind: bool = False) -> None:
        self.room, self.poll_fd = room, None if blind else 1
        self.shown = b""
        self.shown_bytes = 0
        self.writes: list[int] = []

    def try_write(self, data: bytes | memoryview) -> int:
        taken = len(data) if self.room is None else min(self.room, len(data))
        if self.room is not None:
            self.room -= taken
        self.writes.append(len(data))
        self.shown += bytes(data[: min(taken, 1000)])
        self.shown_bytes += taken
        return taken


def show_on(screen: Screen, offset: int = 0) -> Show:
    return Show(screen, Received(offset), 0.001)


def test_output_and_replay_are_shown_in_the_order_they_came() -> None:
    screen = Screen()
    show = show_on(screen, 7)
    show.put_replay(7, b"old ")
    show.put_output(7, b"new ")
    show.put_output(11, b"newer")
    assert show.pending
    show.write()
    assert screen.shown == b"old new newer"
    assert not show.pending


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(0, 60)), st.booleans())
def test_every_byte_is_shown_once_however_little_the_terminal_takes(
    pieces: list[bytes], rooms: list[int], blind: bool
) -> None:
    screen = Screen(0, blind)
    show = show_on(screen)
    offset = 0
    for piece in pieces:
        show.put_output(offset, piece)
        offset += len(piece)
    for room in rooms:
        screen.room = room
        show.write()
    screen.room = None
    while show.pending:
        show.write()
    assert screen.shown == b"".join(pieces)


def test_no_more_is_granted_than_was_written() -> None:
    screen = Screen(0)
    show = show_on(screen)
    dice = random.Random(1)
    limit, offset = WINDOW_MIN_BYTES, 0
    for _ in range(300):
        size = min(limit - offset, dice.randrange(1, 60_000))
        if size:
            show.put_output(offset, bytes(size))
            offset += size
        screen.room = dice.randrange(100_000)
        granted = show.write()
        if granted is not None:
            assert granted > limit
            assert granted <= screen.shown_bytes + show._received._window.window_bytes
            limit = granted
    assert offset > 10 * WINDOW_MIN_BYTES


def test_replay_needs_no_credit_and_earns_none() -> None:
    show = show_on(Screen())
    for _ in range(10):
        show.put_replay(0, bytes(60_000))
    assert show.write() is None


def test_a_replay_may_be_empty() -> None:
    show = show_on(Screen(), 7)
    show.put_replay(7, b"")
    assert not show.pending


def test_what_breaks_the_protocol_is_not_shown() -> None:
    show = show_on(Screen())
    show.put_output(0, b"12345")
    for put in (lambda: show.put_output(6, b"x"), lambda: show.put_replay(4, b"x"), lambda: show.put_flush(3)):
        with pytest.raises(RemoteProtocolError, match="5 was next"):
            put()
    show.write()
    assert show.at_line_start is False
    assert not show.pending


def test_a_flush_drops_what_the_terminal_did_not_take_and_undoes_what_it_did() -> None:
    screen = Screen(6)
    show = show_on(screen)
    show.put_output(0, b"\x1b[?25l\x1b[?1000hdropped")
    show.write()
    show.put_flush(1_000_000)
    show.put_replay(1_000_000, b"screen ")
    show.put_output(1_000_000, b"live")
    screen.room = None
    show.write()
    behind = screen.shown[6:]
    assert behind.endswith(b"screen live")
    assert b"\x1b[?25h" in behind
    assert b"1000" not in behind
    assert b"dropped" not in behind
    assert show.stop(1.0) == b""


def test_a_flush_saves_the_title_again_that_it_put_back() -> None:
    screen = Screen()
    show = show_on(screen)
    show.put_opening()
    show.put_output(0, b"\x1b]2;theirs\x07")
    show.write()
    for offset in (100, 200):
        show.put_flush(offset)
        show.write()
    shown = screen.shown.replace(b"\x1b[22;0t", b"<save>").replace(b"\x1b[23;0t", b"<put back>")
    assert shown.count(b"<save>") == 3
    assert shown.count(b"<put back>") == 2
    assert show.stop(1.0).count(b"\x1b[23;0t") == 1


def test_a_flush_while_another_is_being_undone_undoes_what_is_left() -> None:
    screen = Screen()
    show = show_on(screen)
    show.put_output(0, b"\x1b[?25l\x1b[?1000h")
    show.write()
    show.put_flush(50)
    screen.room = 4
    show.write()
    show.put_flush(60)
    screen.room = None
    show.write()
    assert b"\x1b[?25h" in screen.shown
    assert b"\x1b[?1000l" in screen.shown
    assert show.stop(1.0) == b""


def test_a_redraw_that_was_asked_for_comes_behind_what_the_terminal_did_not_take_yet() -> None:
    screen, received = Screen(6), Received(0, created=True)
    show = Show(screen, received, 0.001)
    show.put_output(0, b"\x1b[?25lkept")
    show.write()
    received.lost()
    assert received.wants_redraw(spoilt=True)
    received.resumed(10, received.credit_bytes)
    show.put_output(10, b" and\x1b[?1000h")
    show.put_flush(22)
    show.put_replay(22, b"screen ")
    show.put_output(22, b"live")
    screen.room = None
    show.write()
    before, _, behind = screen.shown.partition(b"kept and\x1b[?1000h")
    assert before == b"\x1b[?25l"
    assert behind.endswith(b"screen live")
    assert b"\x1b[?25h" in behind
    assert b"\x1b[?1000l" in behind
    assert show.stop(1.0) == b""


def test_an_interrupt_behind_a_redraw_drops_what_waits_for_the_terminal() -> None:
    screen, received = Screen(0), Received(0, created=True)
    show = Show(screen, received, 0.001)
    assert received.wants_redraw(spoilt=True)
    show.put_output(0, b"kept")
    for offset in (4, 4):
        show.put_flush(offset)
        show.put_replay(offset, b"screen")
    screen.room = None
    show.write()
    assert screen.shown == b"screen"


class Listening:
    """Answers that only listen."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int | None]] = []
        self.begun = 0

    def silenced(self, data: bytes, offset: int | None) -> bytes:
        return data.replace(b"\x05", b"\x00")

    def showing(self) -> None:
        self.begun += 1

    def shown(self, asked: Sequence[Asked], offset: int | None) -> None:
        self.heard.append((len(asked), offset))


def test_who_minds_the_answers_is_told_of_every_write_with_the_place_of_what_it_wrote() -> None:
    screen, answers = Screen(3), Listening()
    show = Show(screen, Received(10), 0.001, answers)  # type: ignore[arg-type]
    show.put_replay(10, b"old")
    show.put_output(10, b"a\x05\x1b[6nb")
    show.write()
    screen.room = 4
    show.write()
    screen.room = None
    show.write()
    assert screen.shown == b"olda\x00\x1b[6nb"
    told = [(asked, offset) for asked, offset in answers.heard]
    assert told == [(0, None), (0, 10), (0, 10), (1, 14)]
    assert answers.begun == len(told)


def test_what_cannot_say_whether_it_blocks_gets_one_small_piece_at_a_time() -> None:
    screen = Screen(blind=True)
    show = show_on(screen)
    show.put_output(0, bytes(3 * STDOUT_PIECE_BYTES))
    for pieces in (1, 2, 3):
        show.write()
        assert screen.writes == [STDOUT_PIECE_BYTES] * pieces
    assert not show.pending


def test_the_opening_comes_before_everything_else_and_whole() -> None:
    screen = Screen(3)
    show = show_on(screen)
    show.put_opening()
    show.put_output(0, b"text")
    show.write()
    assert screen.shown == b"\x1b[2"
    screen.room = None
    show.write()
    assert screen.shown == b"\x1b[22;0ttext"


def test_only_the_modes_that_the_terminal_took_are_undone() -> None:
    screen = Screen(8)
    show = show_on(screen)
    show.put_output(0, b"\x1b[?1049h\x1b[?1000h")
    show.write()
    undo = show.stop(1.0)
    assert b"\x1b[?1049l" in undo
    assert b"1000" not in undo


def test_after_the_stop_nothing_is_written() -> None:
    screen = Screen()
    show = show_on(screen)
    show.put_opening()
    show.put_output(0, b"too late")
    show.stop(1.0)
    show.write()
    assert screen.shown == b""


def test_the_stop_waits_for_a_write_that_is_under_way_but_not_for_ever() -> None:
    writing, go_on = threading.Event(), threading.Event()

    class Stuck(Screen):
        def try_write(self, data: bytes | memoryview) -> int:
            writing.set()
            assert go_on.wait(TIMEOUT_SECONDS)
            return super().try_write(data)

    show = show_on(Stuck())
    show.put_output(0, b"x")
    writer = threading.Thread(target=show.write, daemon=True)
    writer.start()
    assert writing.wait(TIMEOUT_SECONDS)
    show.stop(0.01)
    go_on.set()
    writer.join(TIMEOUT_SECONDS)
    assert not writer.is_alive()


def test_at_line_start_is_after_a_line_feed_or_nothing_at_all() -> None:
    show = show_on(Screen())
    assert show.at_line_start
    show.put_output(0, b"$ ")
    show.write()
    assert not show.at_line_start
    show.put_output(2, b"ls\r\n")
    show.write()
    assert show.at_line_start


def test_a_question_makes_answers_due() -> None:
    show = show_on(Screen())
    assert not show.answers_due
    show.put_output(0, b"\x1b[6n")
    show.write()
    assert show.answers_due


def test_a_terminal_that_is_gone_is_told_to_who_writes() -> None:
    class Gone(Screen):
        def try_write(self, data: bytes | memoryview) -> int:
            raise TerminalGone(reason="it hung up")

    show = show_on(Gone())
    show.put_output(0, b"x")
    with pytest.raises(TerminalGone):
        show.write()
    assert show.stop(1.0) == b""
