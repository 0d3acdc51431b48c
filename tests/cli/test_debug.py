"""What CMDOP_DEBUG=1 writes down: tracebacks and log lines, which somebody will look at in a terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cmdop.cli.agent import _log
from cmdop.cli.debug import FILE, _Notes, note

EVIL = "\x1b]0;evil\x07\x9b31m\u202e"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CMDOP_HOME", str(tmp_path / "cmdop"))
    monkeypatch.setenv("CMDOP_DEBUG", "1")
    return tmp_path / "cmdop"


def written(home: Path) -> list[str]:
    return (home / FILE).read_text(encoding="utf-8").splitlines()


def failure(words: str) -> Exception:
    with pytest.raises(LookupError) as caught:
        raise LookupError(words)
    return caught.value


def test_a_traceback_is_written_down_without_what_a_terminal_would_act_on(home: Path) -> None:
    note(failure(f"said {EVIL} so"))
    lines = written(home)
    assert all(line.isprintable() for line in lines)
    assert lines[0].endswith("Traceback (most recent call last):")
    assert lines[-1].startswith("LookupError: said ")
    assert lines[-1].endswith(" so")


def test_so_is_what_loggers_say(home: Path) -> None:
    record = logging.LogRecord("cmdop", logging.INFO, "", 0, "%s joined", (f"anna {EVIL}\nroot",), None)
    _Notes().emit(record)
    lines = written(home)
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert lines[0].endswith("root joined")


@pytest.mark.parametrize(("value", "debug"), [("1", True), ("0", False), ("", False)])
def test_the_agents_log_is_as_detailed_as_the_rest(monkeypatch: pytest.MonkeyPatch, value: str, debug: bool) -> None:
    monkeypatch.setenv("CMDOP_DEBUG", value)
    asked: list[bool] = []
    monkeypatch.setattr("cmdop.agent.logfile.log_beside_host", lambda _home, debug: asked.append(debug))
    _log(detached=True)
    assert asked == [debug]


def test_without_the_variable_nothing_is_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDOP_DEBUG", "0")
    note(failure("nothing"))
    assert not home.exists()
