from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from cmdop.agent import logfile
from cmdop.agent.logfile import LOG_FILE, LogTail, last_lines, log_to_file
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
