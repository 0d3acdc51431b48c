"""Every command that the documents show is run as they say: with a real relay, real agents, at a terminal."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_docs import DOCS, ROOT, Block, blocks
from tests_e2e.conftest import clean_environment
from tests_e2e.reader import NOT_RUN, PLACES, Reader, pattern, set_up_everyday, steps

OF_A_SHELL = ("sh", "console")
ONLY_WHERE_IT_IS = ("git", "htop", "make", "rsync")
"""Programs that documents use and that may not be installed."""
ALONE = ("", "on a new machine", "in the clone")
"""Places where a block stands for itself; elsewhere it goes on with the one before."""


def place_of(block: Block) -> str:
    return block.info.partition(" ")[2]


def of_a_shell(path: Path) -> list[tuple[int, Block]]:
    """The blocks of a document that are typed somewhere."""
    found = enumerate(blocks(path.read_text(encoding="utf-8")))
    return [(n, block) for n, block in found if block.info.split(" ")[0] in OF_A_SHELL]


def needs(text: str) -> None:
    """Skip the test where a program is missing."""
    for program in ONLY_WHERE_IT_IS:
        if re.search(rf"(^|[\s|]){program}\s", text, re.M) and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("everyday")
    reader = Reader(folder, clean_environment_of(folder))
    try:
        set_up_everyday(reader)
        yield reader
    finally:
        reader.close()


def clean_environment_of(folder: Path) -> dict[str, str]:
    """One without CMDOP_HOME: each place has the usual one."""
    return {name: value for name, value in clean_environment(folder).items() if name != "CMDOP_HOME"}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody who begins with nothing."""
    somebody = Reader(tmp_path, clean_environment_of(tmp_path))
    yield somebody
    somebody.close()


@pytest.mark.parametrize(
    ("path", "number"),
    [pytest.param(path, number, id=f"{path.name}-{number}") for path in DOCS for number, _ in of_a_shell(path)],
)
def test_a_block_says_where_it_is_run_or_why_it_is_not(path: Path, number: int) -> None:
    place = place_of(dict(of_a_shell(path))[number])
    assert place in PLACES or (place.startswith(NOT_RUN) and len(place) > len(NOT_RUN) + 10)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_command_hides_in_another_block(path: Path) -> None:
    others = [block for block in blocks(path.read_text(encoding="utf-8")) if block.info.split(" ")[0] not in OF_A_SHELL]
    hidden = r"^(\$ |sudo |\./dev |cmdop |git |rsync |pipx? |apt-get |systemctl |export )"
    assert [block.text for block in others if re.search(hidden, block.text, re.M)] == []


@pytest.mark.parametrize(
    ("path", "number"),
    [
        pytest.param(path, number, id=f"{path.name}-{number}")
        for path in DOCS
        for number, block in of_a_shell(path)
        if place_of(block) in ALONE
    ],
)
def test_what_a_block_shows_runs(path: Path, number: int, request: pytest.FixtureRequest) -> None:
    block = dict(of_a_shell(path))[number]
    needs(block.text)
    if place_of(block) == "in the clone" and not sys.prefix.startswith(str(ROOT)):
        pytest.skip("these tests run in an environment of their own, and ./dev would set up another")
    reader: Reader = request.getfixturevalue("reader" if place_of(block) == "on a new machine" else "laptop")
    reader.read(block.info.split(" ")[0], place_of(block), block.text)


STORIES = [path for path in DOCS if any(place_of(b) in set(PLACES) - set(ALONE) for _, b in of_a_shell(path))]


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.name)
def test_what_a_document_tells_from_beginning_to_end_runs(path: Path, reader: Reader) -> None:
    for _, block in of_a_shell(path):
        if place_of(block) in set(PLACES) - set(ALONE):
            reader.read(block.info.split(" ")[0], place_of(block), block.text)


def test_what_is_shown_may_be_another_the_next_time_in_its_numbers_alone() -> None:
    shown = "[connect] resolving office ... ok (id 8f23a4b0, online 3s)"
    seen = b"[connect] resolving office ... ok (id 00ff12ab, online 12s)"
    assert re.fullmatch(pattern(shown), seen)
    assert not re.fullmatch(pattern(shown), seen.replace(b"office", b"other"))
    assert not re.fullmatch(pattern(shown), seen.replace(b"ok", b"failed"))
    assert re.fullmatch(pattern("its key is SHA256:abc"), b"its key is SHA256:x/y+z")


def test_what_is_typed_and_what_is_seen_are_told_apart() -> None:
    shown = "$ cmdop connect office\n[connect] attached\noffice $ ^D\n"
    assert [(step.do, step.text) for step in steps("console", shown)] == [
        ("run", "cmdop connect office"),
        ("see", "[connect] attached"),
        ("type", "^D"),
    ]
