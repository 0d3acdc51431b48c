"""This client device's own key."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from cmdop.auth.device import FILE, device_key
from cmdop.errors import ConfigCorrupt, HomeUnusable
from cmdop.home import Home
from cmdop.seal.noise import public_key

RUNS = 3


def test_it_is_made_once_and_is_the_same_ever_after(home: Home) -> None:
    key = device_key(home)
    assert len(key) == 32
    assert device_key(home) == key
    assert len(public_key(key)) == 32


def test_it_is_for_its_owner_only(home: Home) -> None:
    device_key(home)
    if os.name == "posix":
        assert home.file(FILE).stat().st_mode & 0o777 == 0o600


def test_every_home_has_another_one(home: Home) -> None:
    assert device_key(home) != device_key(Home(home.path / "other"))


def _first_run(path: Path, start: Any, made: Any) -> None:
    start.wait(30)
    made.put(device_key(Home(path)))


def test_first_runs_at_once_make_one_key(home: Home) -> None:
    processes = multiprocessing.get_context("spawn")
    start, made = processes.Barrier(RUNS), processes.Queue()
    runs = [processes.Process(target=_first_run, args=(home.path, start, made)) for _ in range(RUNS)]
    for run in runs:
        run.start()
    keys = {made.get(timeout=60) for _ in runs}
    for run in runs:
        run.join(60)
    assert keys == {device_key(home)}


def test_a_key_that_another_run_makes_meanwhile_is_ours(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was none when we looked, and there is one when we hold the lock."""
    locked = home.locked

    def made_first(name: str) -> Any:
        home.write_bytes(name, bytes(range(32)))
        return locked(name)

    monkeypatch.setattr(home, "locked", made_first)
    assert device_key(home) == bytes(range(32))
    assert home.read_bytes(FILE) == bytes(range(32))


@pytest.mark.parametrize("content", [b"", b"short", bytes(31), bytes(33)])
def test_a_torn_file_is_set_aside_and_said(home: Home, content: bytes) -> None:
    home.write_bytes(FILE, content)
    with pytest.raises(ConfigCorrupt, match=f"it has {len(content)} bytes"):
        device_key(home)
    assert home.file(f"{FILE}.corrupt-1").read_bytes() == content
    assert len(device_key(home)) == 32


def test_a_home_that_cannot_be_made_is_said(home: Home) -> None:
    home.path.write_bytes(b"a file in its place")
    with pytest.raises(HomeUnusable):
        device_key(home)
