"""The model in its own process: the same as here, and no harm when it dies."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator

import pytest

from cmdop.errors import ModelUnusable
from cmdop.limits import MODEL_EARLY_BYTES
from cmdop.screen import factory, worker_process
from cmdop.screen.interface import ScreenModel, TerminalModel
from cmdop.screen.isolated import IsolatedScreen
from cmdop.screen.library import library_path
from cmdop.screen.ring import RingScreen
from cmdop.screen.worker_process import worker_command
from cmdop.winsize import Winsize
from tests.screen.oracle import CORPUS, SIZE, terminal

WAIT_SECONDS = 30.0
CRASH = b"\x1b[?1049h\x1b]8;;http://example.org\x07" + b"x" * 1_100_000
"""On a screen of 1,000 rows and columns this is more linked cells than the library can bear."""


@pytest.fixture
def model() -> Iterator[ScreenModel]:
    screen = factory.open_screen(SIZE)
    yield screen
    screen.close()


def test_it_shows_what_a_model_here_does(model: ScreenModel) -> None:
    assert isinstance(model, IsolatedScreen)
    for name in ("vim", "shell", "modes"):
        model.feed(CORPUS[name])
        model.resize(Winsize(30, 90))
    here = terminal()
    for name in ("vim", "shell", "modes"):
        here.feed(CORPUS[name])
        here.resize(Winsize(30, 90))
    assert model.snapshot() == here.snapshot()
    assert model.snapshot(history=False) == here.snapshot(history=False)
    assert model.snapshot(redraw=True) == here.snapshot(redraw=True)


def test_of_sizes_at_which_nothing_was_written_the_process_is_told_the_last(
    model: ScreenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, send = [], worker_process.WorkerProcess.send
    model.feed(b"text")
    model.snapshot()
    with monkeypatch.context() as patch:
        patch.setattr(worker_process.WorkerProcess, "send", lambda to, data: (sent.append(data), send(to, data)))
        for rows in range(1, 100):
            model.resize(Winsize(rows, 90))
        before, shown = len(sent), model.snapshot()
    assert (before, len(sent)) == (0, 2), "the size, and the question for the snapshot"
    here = terminal(b"text")
    here.resize(Winsize(99, 90))
    assert shown == here.snapshot()


def test_a_capture_is_of_its_moment(model: ScreenModel) -> None:
    model.feed(b"before")
    captures = [model.capture() for _ in range(3)]
    model.feed(b" after")
    late = model.snapshot()
    assert [capture.draw() for capture in captures] == [terminal(b"before").snapshot()] * 3
    assert late == terminal(b"before after").snapshot()


def test_many_threads_get_their_own_snapshots(model: ScreenModel) -> None:
    expected = terminal(CORPUS["colours"])
    model.feed(CORPUS["colours"])
    found: list[bool] = []

    def draw(history: bool) -> None:
        found.append(model.snapshot(history=history) == expected.snapshot(history=history))

    threads = [threading.Thread(target=draw, args=(bool(n % 2),)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert found == [True] * 12


def test_questions_are_answered_when_asked_to(model: ScreenModel) -> None:
    model.feed(b"\x1b[c")
    model.answer(True)
    model.feed(b"ab\x1b[6n")
    assert (model.answers(), model.answers()) == (b"\x1b[1;3R", b"")
    waiting = model.capture()
    model.feed(b"\x1b[6n")
    model.answer(False)
    model.feed(b"\x1b[6n")
    assert model.answers() == b"\x1b[1;3R"
    assert waiting.draw().data == terminal(b"ab").snapshot().data


def test_feeding_waits_for_no_answer() -> None:
    screen = IsolatedScreen(SIZE, [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"])
    screen.answer(True)
    for _ in range(10):
        screen.feed(b"\x1b[6n")
    screen.close()
    assert screen.answers() == b""


def test_who_never_takes_the_answers_is_not_in_the_way(model: ScreenModel) -> None:
    model.answer(True)
    for _ in range(300):
        model.feed(b"\x1b[5n")
    assert model.answers() == b"\x1b[0n" * 300


@pytest.mark.parametrize("question", [b"\x1b[6n", b"\x05\x1b[6n", b"\x1bP$qm\x1b\\"])
def test_a_question_torn_anywhere_is_answered_behind_text_that_asks_nothing(
    model: ScreenModel, question: bytes
) -> None:
    here = terminal()
    found: dict[TerminalModel, list[bytes]] = {}
    for each in (model, here):
        each.answer(True)
        pieces = [p for at in range(len(question) + 1) for p in (b"text\r\n", question[:at], question[at:], b"more")]
        found[each] = []
        for piece in pieces:
            each.feed(piece)
            found[each].append(each.answers())
    assert any(found[here])
    assert found[model] == found[here]


def test_text_that_can_ask_nothing_is_not_waited_for(model: ScreenModel) -> None:
    assert isinstance(model, IsolatedScreen)
    model.answer(True)
    model.feed(b"\x1b[m")
    assert model.answers() == b""
    model.feed(b"text\r\n")
    assert model._asked == []


def test_a_report_of_the_size_comes_with_the_next_output(model: ScreenModel) -> None:
    model.answer(True)
    model.feed(b"\x1b[?2048h")
    model.answers()
    model.resize(Winsize(30, 90))
    model.feed(b"text")
    assert model.answers() == b"\x1b[48;30;90;480;720t"


def test_two_joins_at_the_same_moment_are_drawn_once(model: ScreenModel) -> None:
    model.feed(b"text")
    first, second, other = model.capture(), model.capture(), model.capture(history=False)
    assert first is second
    assert first.draw() is second.draw()
    assert other is not first
    model.feed(b" and more")
    assert model.capture().draw() == terminal(b"text and more").snapshot()


def test_a_capture_that_nobody_draws_is_forgotten(model: ScreenModel) -> None:
    assert isinstance(model, IsolatedScreen)
    for _ in range(5):
        model.feed(b"text")
        model.capture()
    model.feed(b"end")
    model.snapshot()
    assert model._worker is not None
    assert (model._worker._replies, model._worker._expected) == ({}, set())


def test_after_a_flood_of_text_the_screen_is_the_same(model: ScreenModel) -> None:
    text = b"".join(b"%d\r\n" % n for n in range(200_000))
    model.feed(b"\x1b[31mbefore")
    model.snapshot()
    for at in range(0, len(text), 60_000):
        model.feed(text[at : at + 60_000])
    model.feed(b"\x1b[mafter")
    assert model.snapshot(history=False) == terminal(b"\x1b[31mbefore" + text + b"\x1b[mafter").snapshot(history=False)
    lines = re.findall(rb"(\d+)[^\d\n]*\r\n", model.snapshot().data)
    assert lines[-10_000:] == [b"%d" % n for n in range(190_000, 200_000)]


def test_no_process_is_started_before_it_is_needed() -> None:
    screen = IsolatedScreen(SIZE, ["/no/such/program"])
    screen.feed(b"x" * (MODEL_EARLY_BYTES // 2))
    screen.answer(False)
    screen.resize(SIZE)
    screen.close()


def test_what_crashes_the_library_crashes_no_session(model: ScreenModel, caplog: pytest.LogCaptureFixture) -> None:
    other = factory.open_screen(SIZE)
    other.feed(b"other")
    other.snapshot()
    model.resize(Winsize(1000, 1000))
    for at in range(0, len(CRASH), 65536):
        model.feed(CRASH[at : at + 65536])
    model.feed(b"\r\nafter")
    snapshot = model.snapshot()
    assert b"after" in snapshot.data
    assert len(caplog.messages) <= 1
    model.feed(b" and on")
    assert b" and on" in model.snapshot().data
    assert other.snapshot() == terminal(b"other").snapshot()
    other.close()


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(1)",
        "import os; os.kill(os.getpid(), 9)",
        "import socket; socket.socket(fileno=0).send(b'what?' * 100)",
        "import socket; socket.socket(fileno=0).recv(9)",
    ],
)
def test_a_process_that_ends_is_replaced_by_the_ring(program: str, caplog: pytest.LogCaptureFixture) -> None:
    screen = IsolatedScreen(SIZE, [sys.executable, "-I", "-S", "-c", program])
    ring = RingScreen()
    for each in (screen, ring):
        each.feed(CORPUS["git_log"])
    assert screen.snapshot() == ring.snapshot()
    screen.answer(True)
    screen.feed(b"\x1b[c")
    assert screen.answers() == b""
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    screen.close()


def test_a_process_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "MODEL_TIMEOUT_SECONDS", 0.05)
    screen = IsolatedScreen(SIZE, [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"])
    screen.feed(b"text")
    assert screen.snapshot().data == b"text"
    screen.close()


def test_a_library_that_cannot_be_loaded_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    screen = IsolatedScreen(SIZE, worker_command("/no/such/library.so"))
    screen.feed(b"text")
    assert screen.snapshot().data == b"text"
    assert "no/such/library.so" in caplog.text
    screen.close()


def test_without_a_wheel_the_ring_is_used_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> str:
        raise ModelUnusable(reason="pyghostty is not installed")

    monkeypatch.setattr(factory, "library_path", missing)
    factory._library.cache_clear()
    try:
        assert [type(factory.open_screen(SIZE)) for _ in range(3)] == [RingScreen] * 3
        assert len(caplog.messages) == 1
    finally:
        factory._library.cache_clear()


def test_closing_wakes_whoever_waits_for_a_snapshot() -> None:
    screen = IsolatedScreen(SIZE, [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"])
    capture = screen.capture()
    drawn: list[bytes] = []
    thread = threading.Thread(target=lambda: drawn.append(capture.draw().data))
    thread.start()
    screen.close()
    thread.join(WAIT_SECONDS)
    assert drawn == [b""]
    screen.close()


def test_the_library_is_found_without_loading_it() -> None:
    assert library_path().endswith((".so", ".dylib"))
