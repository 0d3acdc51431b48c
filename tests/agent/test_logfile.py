from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from cmdop.agent import logfile
from cmdop.agent.logfile import LOG_FILE, LogLines, LogTail, last_lines, log_beside_host, log_to_file
from cmdop.home import Home


@pytest.fixture
def log(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The agent's logger, into files of a few lines."""
    monkeypatch.setattr(logfile, "LOG_BYTES", 200)
    logger = logging.getLogger("cmdop")
    handler = log_to_file(home)
    handler.setFormatter(logging.Formatter("%(message)s"))
    yield logging.getLogger("cmdop.agent")
    logger.removeHandler(handler)
    handler.close()


def test_it_is_for_its_owner_only_and_rotates(home: Home, log: logging.Logger) -> None:
    for number in range(200):
        log.info("line %d", number)
    files = sorted(file.name for file in home.path.iterdir())
    assert files == ["agent.log", "agent.log.1", "agent.log.2", "agent.log.3", "agent.log.4"]
    assert {file.stat().st_mode & 0o777 for file in home.path.iterdir()} == {0o600}


def test_a_line_has_its_moment_in_utc(home: Home) -> None:
    handler = log_to_file(home)
    try:
        logging.getLogger("cmdop.agent").warning("said")
    finally:
        logging.getLogger("cmdop").removeHandler(handler)
        handler.close()
    line = home.file(LOG_FILE).read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING cmdop\.agent: said\n", line)


def test_the_last_lines_go_back_into_older_files(home: Home, log: logging.Logger) -> None:
    for number in range(60):
        log.info("line %d", number)
    assert last_lines(home, 50) == [f"line {number}" for number in range(10, 60)]
    assert last_lines(home, 0) == []


def test_without_a_log_there_are_no_lines(home: Home) -> None:
    assert last_lines(home, 10) == []
    tail = LogTail(home)
    assert tail.read() == ""
    tail.close()
    tail.close()


def test_following_goes_on_across_rotations_without_a_gap(home: Home, log: logging.Logger) -> None:
    log.info("before")
    tail = LogTail(home)
    seen = ""
    for number in range(100):
        log.info("line %d", number)
        seen += tail.read()
    tail.close()
    assert seen.splitlines() == [f"line {number}" for number in range(100)]


def test_a_log_that_begins_later_is_followed_from_its_beginning(home: Home) -> None:
    tail = LogTail(home)
    assert tail.read() == ""
    home.write_bytes(LOG_FILE, b"first\n")
    assert tail.read() == "first\n"
    tail.close()


def test_the_agents_lines_are_among_the_hosts_whatever_file_it_is_by_now(home: Home, log: logging.Logger) -> None:
    beside = log_beside_host(home)
    beside.setFormatter(logging.Formatter("agent: %(message)s"))
    logging.getLogger("cmdop").removeHandler(beside)
    for number in range(20):
        log.info("line %d", number)
        beside.handle(logging.makeLogRecord({"msg": f"line {number}"}))
    lines = last_lines(home, 40)
    assert lines == [f"{who}line {number}" for number in range(20) for who in ("", "agent: ")]
    assert {file.stat().st_mode & 0o777 for file in home.path.iterdir()} == {0o600}


def test_a_folder_that_is_gone_is_no_reason_to_fail(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = log_beside_host(home)
    try:
        home.path.rmdir()
        logging.getLogger("cmdop.agent").warning("nobody will know")
    finally:
        logging.getLogger("cmdop").removeHandler(handler)
    assert not home.path.exists()


def test_who_looks_on_gets_each_line_without_what_a_terminal_would_act_on() -> None:
    shown: list[str] = []
    LogLines(shown.append).handle(logging.makeLogRecord({"msg": "from %s", "args": ("\x1b[31mthem",)}))
    assert shown == ["from ?[31mthem"]
