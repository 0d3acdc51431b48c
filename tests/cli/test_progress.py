"""The `[connect]` lines."""

from __future__ import annotations

import io

import pytest

from cmdop.cli import progress
from cmdop.cli.progress import Banner, Silent, raw_line_end, say
from cmdop.errors import MachineOffline

Said = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("there is no select for it")


def test_a_step_is_begun_before_it_is_done(capsys: Said) -> None:
    with Banner().step("resolving prod") as line:
        assert capsys.readouterr() == ("", "[connect] resolving prod ... ")
        line.detail = "id 8f23..., online 3s"
    assert capsys.readouterr() == ("", "ok (id 8f23..., online 3s)\n")


def test_a_step_without_a_detail_is_just_ok(capsys: Said) -> None:
    with Banner().step("dialing relay"):
        pass
    assert capsys.readouterr().err == "[connect] dialing relay ... ok\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MachineOffline(name="x"), "failed"),
        (ZeroDivisionError(), "failed"),
        (SystemExit(1), "failed"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_a_step_that_fails_ends_its_line_whatever_it_was(capsys: Said, error: BaseException, said: str) -> None:
    with pytest.raises(type(error)), Banner().step("auth"):
        raise error
    assert capsys.readouterr().err == f"[connect] auth ... {said}\n"


def test_a_step_that_was_interrupted_ends_on_a_line_of_its_own(capsys: Said) -> None:
    banner = Banner()
    banner.interrupt("nothing is under way")
    with banner.step("auth") as line:
        banner.interrupt("password required")
        banner.interrupt("once is enough")
        line.detail = "session abcd1234"
    lines = ["[connect] auth ... password required", "[connect] auth ... ok (session abcd1234)"]
    assert capsys.readouterr().err.splitlines() == lines
    with pytest.raises(MachineOffline):  # noqa: PT012 - it is the block that fails
        with banner.step("auth"):
            banner.interrupt("password required")
            raise MachineOffline(name="x")
    assert capsys.readouterr().err.splitlines() == [lines[0], "[connect] auth ... failed"]


def test_for_scripts_nobody_is_told(capsys: Said) -> None:
    with Silent().step("auth") as line:
        line.detail = "x"
    with pytest.raises(MachineOffline), Silent().step("auth"):
        raise MachineOffline(name="x")
    assert capsys.readouterr() == ("", "")


def test_what_a_peer_said_does_not_act_on_the_terminal(capsys: Said) -> None:
    say("a note: \x1b]0;owned\x07\r\n")
    assert capsys.readouterr().err == "a note: ?]0;owned???\n"


class Gone(io.StringIO):
    """A stderr that takes nothing."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_stderr_that_is_gone_is_nobody_s_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stderr in (None, closed, Gone()):
        monkeypatch.setattr("sys.stderr", stderr)
        say("hello")
        with Banner().step("auth"):
            pass


def test_a_terminal_that_was_stopped_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress.select, "select", lambda *_: ([], [], []))
    say("lost")
    monkeypatch.setattr(progress.select, "select", lambda *_: ([], [terminal], []))
    say("shown")
    assert terminal.getvalue() == "shown\n"


def test_where_select_knows_no_terminals_it_is_simply_written(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    say("shown")
    assert terminal.getvalue() == "shown\n"


def test_a_line_ends_as_a_raw_terminal_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    assert raw_line_end() == "\r\n"
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert raw_line_end() == "\n"
    monkeypatch.setattr("sys.stderr", None)
    assert raw_line_end() == "\n"
