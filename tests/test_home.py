"""CMDOP_HOME: private, atomic, and never silently replaced."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmdop.errors import ConfigCorrupt, HomeUnusable, UsageError
from cmdop.home import Home, json_bytes, json_fields
from cmdop.limits import COUNT_MAX, HOME_FILE_MAX_BYTES
from tests.disks import small_disk

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-COUNT_MAX, COUNT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@given(st.dictionaries(st.text(), JSON_VALUES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)  # each is an fsync
def test_what_was_written_is_read(home: Home, value: dict[str, Any]) -> None:
    home.write_json("config.json", value)
    assert home.read_json("config.json") == value


def test_nothing_is_created_before_something_is_written(home: Home) -> None:
    assert home.read_bytes("config.json") is None
    assert home.read_json("config.json") is None
    home.remove("config.json")
    assert not home.path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_folders_are_0700_and_files_0600_whatever_the_umask(home: Home, umask: int) -> None:
    before = os.umask(umask)
    try:
        home.write_json("config.json", {"key": "secret"})
        with home.locked("other.json"):
            pass
    finally:
        os.umask(before)
    assert mode(home.path) == 0o700
    assert mode(home.file("config.json")) == 0o600
    assert mode(home.file("other.json.lock")) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_a_file_that_others_could_read_is_private_once_it_is_written(home: Home) -> None:
    home.folder()
    home.file("config.json").write_text("{}")
    home.file("config.json").chmod(0o644)
    home.write_json("config.json", {"key": "secret"})
    assert mode(home.file("config.json")) == 0o600


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "somebody's file"
    target.write_text("untouched")
    home.folder()
    home.file("config.json").symlink_to(target)
    home.write_bytes("config.json", b"ours")
    assert target.read_text() == "untouched"
    assert not home.file("config.json").is_symlink()
    assert home.read_bytes("config.json") == b"ours"


def test_a_write_leaves_nothing_else_behind(home: Home) -> None:
    for number in range(3):
        home.write_bytes("config.json", b"%d" % number)
    assert os.listdir(home.path) == ["config.json"]


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_file(home: Home, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    home.write_bytes("config.json", b"old")
    monkeypatch.setattr(os, step, full)
    with pytest.raises(HomeUnusable, match="No space left on device"):
        home.write_bytes("config.json", b"new")
    assert home.read_bytes("config.json") == b"old"
    assert os.listdir(home.path) == ["config.json"]


def test_a_home_under_a_file_is_unusable_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "cmdop"):
        home = Home(path)
        attempts: list[Callable[[], object]] = [
            home.folder,
            partial(home.read_bytes, "x"),
            partial(home.write_bytes, "x", b""),
            partial(home.remove, "x"),
        ]
        for attempt in attempts:
            with pytest.raises(HomeUnusable) as caught:
                attempt()
            assert str(tmp_path / "file") in caught.value.sentence
            assert "None" not in caught.value.sentence


def test_a_folder_in_place_of_the_file_is_unusable(home: Home) -> None:
    home.folder()
    home.file("config.json").mkdir()
    attempts: list[Callable[[], object]] = [
        partial(home.read_json, "config.json"),
        partial(home.write_json, "config.json", {}),
        partial(home.remove, "config.json"),
    ]
    for attempt in attempts:
        with pytest.raises(HomeUnusable):
            attempt()
    assert os.listdir(home.path) == ["config.json"]


CORRUPT = {
    "empty": b"",
    "half": b'{"workspaces": {"de',
    "list": b"[]",
    "null": b"null",
    "text": b'"x"',
    "zeros": bytes(4096),
    "not utf-8": b'{"a": "\xff"}',
    "too deep": b'{"a":' + b"[" * 100_000,
    "half a character": b'{"a": "\\ud800"}',
    "half a character for a name": b'{"\\udfff": 1}',
    "no number": b'{"a": NaN}',
    "without end": b'{"a": [-Infinity]}',
    "a power without end": b'{"a": 1e999}',
    "a number without end": b'{"a": 1' + b"0" * 400 + b"}",
    "more digits than are read": b'{"a": ' + b"9" * 5000 + b"}",
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_in_place_of_the_file_is_not_waited_for(home: Home) -> None:
    home.folder()
    os.mkfifo(home.file("config.json"))
    with pytest.raises(HomeUnusable, match="it is not a file"):
        home.read_bytes("config.json")
    home.write_bytes("config.json", b"new")
    assert home.read_bytes("config.json") == b"new"


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="nothing without end can be read here")
def test_what_is_no_file_is_not_read_to_its_end(home: Home) -> None:
    home.folder()
    home.file("config.json").symlink_to("/dev/zero")
    with pytest.raises(HomeUnusable, match="it is not a file"):
        home.read_bytes("config.json")


def test_a_file_that_is_too_long_is_left_where_it_is(home: Home) -> None:
    home.folder()
    with home.file("config.json").open("wb") as file:
        file.truncate(HOME_FILE_MAX_BYTES + 1)  # it takes no room: it has no content
    with pytest.raises(HomeUnusable, match="it is longer than 64 MiB"):
        home.read_json("config.json")
    assert os.listdir(home.path) == ["config.json"]


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ud8019.eE-+NaInfity').map(str.encode))
def test_whatever_is_read_can_be_written_again_or_is_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert json_fields(json_bytes(json_fields(data))) == json_fields(data)


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_file_is_set_aside_and_nothing_is_lost(home: Home, content: bytes) -> None:
    home.write_bytes("config.json", content)
    with pytest.raises(ConfigCorrupt) as caught:
        home.read_json("config.json")
    aside = Path(caught.value.details["aside"])
    assert aside.read_bytes() == content
    assert str(aside) in caught.value.next_step
    assert str(home.file("config.json")) in caught.value.sentence
    assert home.read_json("config.json") is None


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("secrets.json", "cmdop connect key set"),
        ("workspaces.json", "cmdop connect key set"),
        ("machine-passwords.json", "cmdop connect password set"),
        ("machine.json", "cmdop agent start"),
        ("agent-start.json", "cmdop agent start"),
        ("device.key", "run the command again"),
    ],
)
def test_what_to_do_next_is_about_the_file_that_was_set_aside(home: Home, name: str, command: str) -> None:
    home.write_bytes(name, b"{")
    assert command in home.set_aside(name, "it is nonsense").next_step


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"a": 1,\n  "b"', "it is not JSON, from line 2 on"),
        (b"\xff\xca\xfe", "it is not text in UTF-8"),
        (b"[]", "it is not a JSON object"),
    ],
)
def test_why_a_file_cannot_be_read_is_said_in_words_of_the_user_s(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        json_fields(content)


def test_what_is_no_text_is_not_written_and_not_shown(home: Home) -> None:
    home.write_json("config.json", {"a": "old"})
    with pytest.raises(UsageError) as refused:
        home.write_json("config.json", {"a": "secret\udcff"})
    assert "secret" not in refused.value.sentence
    assert home.read_json("config.json") == {"a": "old"}


def test_every_corrupt_file_is_kept_under_a_name_of_its_own(home: Home) -> None:
    for number in range(3):
        home.write_bytes("config.json", b"corrupt %d" % number)
        with pytest.raises(ConfigCorrupt):
            home.read_json("config.json")
    aside = home.path.glob("config.json.corrupt-*")
    assert sorted(path.read_bytes() for path in aside) == [b"corrupt 0", b"corrupt 1", b"corrupt 2"]


# -- links, disks, and others who write ------------------------------------------------------------


def test_a_home_behind_a_link_is_a_home(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    home = Home(tmp_path / "link")
    home.write_json("config.json", {"a": 1})
    with home.locked("config.json") as file:
        assert file.read(json_fields) == {"a": 1}
    assert Home(tmp_path / "real").read_json("config.json") == {"a": 1}
    assert (tmp_path / "link").is_symlink()


def test_a_home_behind_a_link_to_nowhere_says_where_that_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    home = Home(tmp_path / "link")
    assert home.read_json("config.json") is None
    with pytest.raises(HomeUnusable, match=f"it is a link to {tmp_path}/nowhere, where there is no folder"):
        home.write_json("config.json", {})


def test_a_lock_file_that_is_a_link_is_not_followed(home: Home, tmp_path: Path) -> None:
    home.folder()
    home.file("config.json.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HomeUnusable, match=r"config\.json\.lock"):
        home.locked("config.json").__enter__()
    assert not (tmp_path / "elsewhere").exists()


def test_what_another_one_mended_meanwhile_is_not_set_aside(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was corrupt when it was read, and no longer when we hold the lock."""
    home.write_bytes("config.json", b"{")
    locked = home.locked

    def mended_first(name: str) -> Any:
        home.write_json(name, {"mended": True})
        return locked(name)

    monkeypatch.setattr(home, "locked", mended_first)
    assert home.read_json("config.json") == {"mended": True}
    assert not list(home.path.glob("*.corrupt-*"))


def test_on_a_full_disk_the_old_file_stays_and_the_reason_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        home = Home(disk.path / "cmdop")
        home.write_json("config.json", {"old": True})
        disk.fill()
        with pytest.raises(HomeUnusable, match="No space left on device"):
            home.write_json("config.json", {"new": True})
        with home.locked("config.json") as file, pytest.raises(HomeUnusable, match="No space left on device"):
            file.write(b"new")
        assert home.read_json("config.json") == {"old": True}
        assert sorted(os.listdir(home.path)) == ["config.json", "config.json.lock"]


def test_on_a_read_only_disk_everything_is_read_and_nothing_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        home = Home(disk.path / "cmdop")
        home.write_json("config.json", {"old": True})
        home.write_bytes("corrupt.json", b"{")
        disk.make_read_only()
        assert home.read_json("config.json") == {"old": True}
        attempts: list[Callable[[], object]] = [
            partial(home.write_json, "config.json", {}),
            partial(home.remove, "config.json"),
            partial(home.read_json, "corrupt.json"),
            home.locked("config.json").__enter__,
            Home(disk.path / "other").folder,
        ]
        for attempt in attempts:
            with pytest.raises(HomeUnusable, match="Read-only file system"):
                attempt()
        assert sorted(os.listdir(home.path)) == ["config.json", "corrupt.json"]


def _count(path: Path, start: Any) -> None:
    start.wait(30)
    for _ in range(WRITES):
        with Home(path).locked("count.json") as file:
            count = (file.read(json_fields) or {"count": 0})["count"]
            file.write(json_bytes({"count": count + 1}))


def test_under_its_lock_a_file_is_changed_by_one_process_at_a_time(home: Home) -> None:
    processes = multiprocessing.get_context("spawn")
    start = processes.Barrier(WRITERS)
    writers = [processes.Process(target=_count, args=(home.path, start)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert home.read_json("count.json") == {"count": WRITERS * WRITES}


WRITERS, WRITES, SIZE = 2, 50, 20_000


def _write_often(path: Path, writer: int, start: Any) -> None:
    start.wait(30)
    for number in range(WRITES):
        Home(path).write_json("config.json", {"writer": writer, "number": number, "rest": str(writer) * SIZE})


def test_two_processes_that_write_at_once_never_mix(home: Home) -> None:
    processes = multiprocessing.get_context("spawn")
    start = processes.Barrier(WRITERS + 1)
    writers = [processes.Process(target=_write_often, args=(home.path, number, start)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    start.wait(30)
    while any(writer.is_alive() for writer in writers):
        value = home.read_json("config.json")  # raises ConfigCorrupt for a half-written one
        assert value is None or set(value["rest"]) == {str(value["writer"])}
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    last = json.loads(home.file("config.json").read_bytes())
    assert last["number"] == WRITES - 1
    assert len(last["rest"]) == SIZE
    assert os.listdir(home.path) == ["config.json"]
