"""A model kept while its process becomes another program: the same as one that stayed."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if not Path("/proc/self/fd").exists():
    pytest.skip("counts descriptors in /proc", allow_module_level=True)

from cmdop.limits import MODEL_EARLY_BYTES
from cmdop.screen.factory import open_screen, take_over_screen
from cmdop.screen.interface import ScreenModel, Snapshot
from cmdop.screen.isolated import IsolatedScreen
from cmdop.screen.ring import RingScreen
from cmdop.winsize import Winsize
from tests.screen.oracle import CORPUS, SIZE, terminal

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 30.0


@pytest.fixture
def model() -> Iterator[ScreenModel]:
    screen = open_screen(SIZE)
    yield screen
    screen.close()


def renewed(
    before: str, after: str, model: str = "isolated", keeps_worker: bool = True
) -> tuple[list[Snapshot], bytes]:
    """Do both on one model with an exec between; with scrollback and without, and the answers."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.screen.renewed", model, before, after],
        cwd=ROOT,
        capture_output=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["same"], told["inherited"]) == (True, [])
    assert (told["left"], told["leaked"]) == ([], 0)
    return [Snapshot(*(part.encode("latin-1") for part in parts)) for parts in told["snapshots"]], told[
        "answers"
    ].encode("latin-1")


def expected(*steps: bytes | Winsize) -> list[Snapshot]:
    here = terminal()
    for step in steps:
        if isinstance(step, bytes):
            here.feed(step)
        else:
            here.resize(step)
    return [here.snapshot(), here.snapshot(history=False)]


@pytest.mark.parametrize("started", ["screen.snapshot()", "pass"])
def test_cells_scrollback_and_modes_are_those_of_a_model_that_stayed(started: str) -> None:
    before = (
        f"screen.feed(CORPUS['shell']); screen.resize(Winsize(30, 90)); screen.feed(CORPUS['vim'][:500]); {started}"
    )
    after = "screen.feed(CORPUS['vim'][500:]); screen.feed(CORPUS['modes'])"
    found, _ = renewed(before, after)
    assert found == expected(CORPUS["shell"], Winsize(30, 90), CORPUS["vim"], CORPUS["modes"])


def test_what_was_fed_last_is_seen_though_the_model_is_behind() -> None:
    line = b"\x1b[31msome line\x1b[m of output\r\n"
    found, _ = renewed(f"screen.feed({line!r} * 20000)", "screen.feed(b'end')")
    assert found == expected(line * 20000, b"end")


def test_questions_go_on_being_answered_each_once() -> None:
    before = "screen.answer(True); screen.feed(b'ab\\x1b[6n')"
    _, answers = renewed(before, "screen.feed(b'cd\\x1b[6n')")
    assert answers == b"\x1b[1;3R\x1b[1;5R"


def test_a_question_torn_by_the_exec_is_answered() -> None:
    _, answers = renewed("screen.answer(True); screen.feed(b'ab\\x1b[6')", "screen.feed(b'n')")
    assert answers == b"\x1b[1;3R"


def test_a_snapshot_that_was_not_taken_disturbs_no_later_one() -> None:
    before = "screen.feed(CORPUS['colours']); captures = [screen.capture() for _ in range(3)]"
    found, _ = renewed(before, "screen.feed(b'mo'); screen.feed(b're')")
    assert found == expected(CORPUS["colours"], b"more")


def test_a_snapshot_that_is_being_drawn_is_not_torn() -> None:
    before = (
        "screen.feed(CORPUS['colours'] * 20); "
        "[threading.Thread(target=screen.capture().draw, daemon=True).start() for _ in range(5)]"
    )
    found, _ = renewed(before, "screen.feed(b'more')")
    assert found == expected(CORPUS["colours"] * 20, b"more")


def test_a_ring_goes_on_with_what_it_has() -> None:
    ring = RingScreen()
    ring.feed(CORPUS["git_log"] + b"more")
    found, _ = renewed("screen.feed(CORPUS['git_log'])", "screen.feed(b'more')", model="ring")
    assert found == [ring.snapshot()] * 2


def test_a_ring_that_was_cut_is_shown_from_a_line_s_start_after_it_too() -> None:
    ring = RingScreen()
    ring.feed(b"line\r\n" * 300_000)
    kept = take_over_screen(*ring.hand_over())
    assert kept.snapshot() == ring.snapshot()
    assert kept.snapshot().data.startswith(b"line\r\n")


def test_without_an_exec_it_goes_on_as_before(model: ScreenModel) -> None:
    model.feed(b"before")
    capture = model.capture()
    state, _ = model.hand_over()
    drawn: list[Snapshot] = []
    thread = threading.Thread(target=lambda: drawn.append(capture.draw()))
    thread.start()
    select.select([state["worker"]["fd"]], [], [], WAIT_SECONDS)
    thread.join(0.05)
    assert not drawn  # what has come is for the next program, all of it or none
    model.keep()
    model.keep()
    thread.join(WAIT_SECONDS)
    assert drawn == [terminal(b"before").snapshot()]
    assert not os.get_inheritable(state["worker"]["fd"])
    model.feed(b" after")
    assert model.snapshot() == terminal(b"before after").snapshot()


def test_a_worker_of_another_version_is_ended_and_the_last_output_shown(model: ScreenModel) -> None:
    model.feed(CORPUS["shell"])
    model.snapshot()
    state, blobs = model.hand_over()
    state["worker"]["fd"] = os.dup(state["worker"]["fd"])
    kept = take_over_screen({**state, "format": -1}, blobs)
    with pytest.raises(ChildProcessError):
        os.waitpid(state["worker"]["pid"], os.WNOHANG)
    assert kept.snapshot() == terminal(CORPUS["shell"]).snapshot()
    kept.close()
    model.keep()


def test_a_worker_that_died_meanwhile_is_replaced_by_the_ring(caplog: pytest.LogCaptureFixture) -> None:
    for worker in ({"pid": 0x7FFFFFFF, "fd": 999_999}, None):
        screen = IsolatedScreen(SIZE, ["/no/such/program"])
        screen.feed(b"text" + b"x" * MODEL_EARLY_BYTES)
        state, blobs = screen.hand_over()
        kept = take_over_screen({**state, "worker": worker}, blobs)
        assert kept.snapshot().data.startswith(b"textxxx")
        kept.close()
    assert "its terminal model is lost" in caplog.text
