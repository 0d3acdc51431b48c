"""What is kept of the machines that were used last."""

from __future__ import annotations

import json
import threading

import pytest

from cmdop.client import recent
from cmdop.client.recent import FILE, note_use, recently_used
from cmdop.errors import ConfigCorrupt
from cmdop.home import Home

RELAY, OTHER = "wss://relay", "wss://other"


def test_what_was_never_used_is_not_known(home: Home) -> None:
    assert recently_used(home, RELAY, "w") == {}
    assert not home.path.exists()


def test_uses_are_kept_by_relay_and_workspace_the_last_of_each_machine(home: Home) -> None:
    note_use(home, RELAY, "w", "one", 100.9)
    note_use(home, RELAY, "w", "two", 200.0)
    note_use(home, RELAY, "w", "one", 300.0)
    note_use(home, RELAY, "v", "one", 400.0)
    note_use(home, OTHER, "w", "one", 500.0)
    assert recently_used(home, RELAY, "w") == {"one": 300.0, "two": 200.0}
    assert recently_used(home, RELAY, "v") == {"one": 400.0}
    assert recently_used(home, OTHER, "w") == {"one": 500.0}


def test_the_file_is_private_and_has_ids_and_times_alone(home: Home) -> None:
    note_use(home, RELAY, "w", "one", 100.0)
    assert home.file(FILE).stat().st_mode & 0o777 == 0o600
    assert json.loads(home.file(FILE).read_text()) == {RELAY: {"w": {"one": 100.0}}}


def test_the_oldest_are_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "RECENT_MACHINES_MAX", 3)
    for number in range(5):
        note_use(home, RELAY, f"w{number % 2}", f"m{number}", 100.0 + number)
    assert recently_used(home, RELAY, "w0") == {"m2": 102.0, "m4": 104.0}
    assert recently_used(home, RELAY, "w1") == {"m3": 103.0}


def test_several_at_once_lose_nothing(home: Home) -> None:
    threads = [threading.Thread(target=note_use, args=(home, RELAY, "w", f"m{n}", 1.0)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert len(recently_used(home, RELAY, "w")) == 8


@pytest.mark.parametrize("data", ["nonsense", "[]", '{"r": 1}', '{"r": {"w": []}}', '{"r": {"w": {"m": "x"}}}',
                                  '{"r": {"w": {"m": -1}}}', '{"r": {"w": {"m": 1e400}}}'])  # fmt: skip
def test_what_makes_no_sense_is_set_aside(home: Home, data: str) -> None:
    home.write_bytes(FILE, data.encode())
    with pytest.raises(ConfigCorrupt):
        recently_used(home, RELAY, "w")
    assert recently_used(home, RELAY, "w") == {}
    note_use(home, RELAY, "w", "one", 100.0)
    assert recently_used(home, RELAY, "w") == {"one": 100.0}
