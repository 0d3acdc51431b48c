"""The keys that machines had at first sight: kept, compared, and never replaced without a word."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from cmdop.auth.fingerprint import fingerprint
from cmdop.auth.known_machines import FILE, FirstSight, KnownMachines, MachineKeys, Sighting, all_known, date_of, forget
from cmdop.errors import HomeUnusable, KnownMachinesCorrupt, MachineChanged, MachineUnknown
from cmdop.home import Home

RELAY = "wss://relay.example.org:443"
ID = "8f23a4b0-1111-4222-8333-0123456789ab"
OTHER_ID = "9f23a4b0-1111-4222-8333-0123456789ab"
PROD = Sighting(ID, "prod", b"p" * 32)
CHANGED = Sighting(ID, "prod", b"q" * 32)


def known(
    home: Home, policy: MachineKeys = MachineKeys.ACCEPT_NEW, *, relay: str = RELAY, workspace: str = "home"
) -> KnownMachines:
    machines = KnownMachines(home, relay, workspace, policy)
    machines.load()
    return machines


def seen_before(home: Home, *seen: Sighting) -> None:
    known(home).proven(*seen)


def test_a_fingerprint_is_the_one_that_ssh_would_show() -> None:
    shown = fingerprint(bytes(range(32)))
    assert shown == "SHA256:" + base64.b64encode(hashlib.sha256(bytes(range(32))).digest()).decode()[:43]
    assert len(shown) == 7 + 43


def test_the_first_sight_is_told_and_the_second_is_none(home: Home) -> None:
    machines = known(home)
    assert machines.check(PROD) == FirstSight(ID, "prod", fingerprint(PROD.key))
    machines.proven(PROD)
    assert machines.check(PROD) is None
    assert known(home).check(PROD) is None
    (kept,) = all_known(home)
    assert (kept.relay, kept.workspace, kept.machine_id, kept.name, kept.key) == (RELAY, "home", ID, "prod", PROD.key)


def test_a_machine_that_proved_nothing_is_not_kept(home: Home) -> None:
    known(home).check(PROD)
    assert known(home).check(PROD) is not None
    assert not home.path.exists()


@pytest.mark.parametrize("policy", list(MachineKeys))
def test_another_key_is_refused_and_both_are_shown(home: Home, policy: MachineKeys) -> None:
    seen_before(home, PROD)
    with pytest.raises(MachineChanged) as caught:
        known(home, policy).check(CHANGED)
    (kept,) = all_known(home)
    error = caught.value
    for part in ("the key of prod has CHANGED", fingerprint(PROD.key), fingerprint(CHANGED.key), date_of(kept.since)):
        assert part in error.sentence
    assert "cmdop connect machine accept prod" in error.next_step
    assert error.exit_status == 5
    assert all_known(home) == [kept]


def test_a_name_that_cannot_simply_be_typed_is_not_advised(home: Home) -> None:
    seen_before(home, PROD)
    with pytest.raises(MachineChanged) as caught:
        known(home).check(CHANGED._replace(name="prod; rm -r ~"))
    assert caught.value.next_step.endswith(f"accept {ID}")


def test_strict_lets_in_what_is_known_and_nothing_else(home: Home) -> None:
    seen_before(home, PROD)
    strict = known(home, MachineKeys.STRICT)
    assert strict.check(PROD) is None
    with pytest.raises(MachineUnknown) as caught:
        strict.check(Sighting(OTHER_ID, "new", b"n" * 32))
    assert fingerprint(b"n" * 32) in caught.value.sentence
    assert "cmdop connect machine accept new" in caught.value.next_step


def test_machines_of_other_relays_and_workspaces_are_others(home: Home) -> None:
    seen_before(home, PROD)
    assert known(home, relay="wss://other.example.org").check(CHANGED) is not None
    assert known(home, workspace="away").check(CHANGED) is not None


def test_who_takes_a_known_name_under_another_id_is_noticed(home: Home) -> None:
    seen_before(home, PROD)
    sight = known(home).check(Sighting(OTHER_ID, "prod", b"x" * 32))
    assert sight is not None
    assert sight.namesake is not None
    assert sight.namesake.machine_id == ID
    elsewhere = known(home, workspace="away").check(Sighting(OTHER_ID, "prod", b"x" * 32))
    assert elsewhere is not None
    assert elsewhere.namesake is None


def test_a_machine_that_was_renamed_is_known_by_its_new_name(home: Home) -> None:
    seen_before(home, PROD)
    (before,) = all_known(home)
    renamed = PROD._replace(name="production")
    assert known(home).check(renamed) is None
    seen_before(home, renamed)
    (after,) = all_known(home)
    assert (after.name, after.since) == ("production", before.since)


def test_a_change_that_is_accepted_is_known_from_then_on(home: Home) -> None:
    assert known(home).accept(PROD) is None
    before = known(home).accept(CHANGED)
    assert before is not None
    assert before.key == PROD.key
    assert known(home, MachineKeys.STRICT).check(CHANGED) is None
    with pytest.raises(MachineChanged):
        known(home).check(PROD)


def test_a_machine_that_was_forgotten_is_new_again(home: Home) -> None:
    seen_before(home, PROD, Sighting(OTHER_ID, "other", b"o" * 32))
    kept = next(machine for machine in all_known(home) if machine.machine_id == ID)
    forget(home, kept)
    forget(home, kept)
    assert [machine.name for machine in all_known(home)] == ["other"]
    assert known(home).check(CHANGED) is not None


def test_what_another_process_kept_meanwhile_stays(home: Home) -> None:
    first, second = known(home), known(home)
    first.check(PROD)
    second.check(CHANGED)
    first.proven(PROD)
    second.proven(CHANGED, Sighting(OTHER_ID, "other", b"o" * 32))
    assert {machine.machine_id: machine.key for machine in all_known(home)} == {ID: PROD.key, OTHER_ID: b"o" * 32}


def test_many_who_keep_machines_at_once_lose_none(home: Home) -> None:
    def keep(number: int) -> None:
        for each in range(5):
            known(home).proven(Sighting(f"8f23a4b0-1111-4222-8333-0000000{number:02}{each:03}", "x", b"k" * 32))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(all_known(home)) == 40


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_file_is_its_owners_only(home: Home) -> None:
    old = os.umask(0)
    try:
        seen_before(home, PROD)
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.file(FILE).stat().st_mode) == 0o600


def row(**changed: object) -> bytes:
    fields = {"relay": RELAY, "workspace": "home", "machine_id": ID, "name": "prod", "since": 1.0}
    return json.dumps({"machines": [{**fields, "key": base64.b64encode(PROD.key).decode(), **changed}]}).encode()


def test_a_file_as_it_is_written_can_be_read(home: Home) -> None:
    home.write_bytes(FILE, row())
    assert known(home).check(PROD) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"machines": {}}',
        b'{"machines": [7]}',
        row(key="c2hvcnQ="),
        row(key="no base64!"),
        row(key=7),
        row(since="yesterday"),
        row(since=-1),
        row(since=float("nan")),
        row(since=1e300),
        row(name=None),
        b"\xff\xfe",
    ],
)
def test_a_corrupt_file_is_named_and_set_aside(home: Home, content: bytes) -> None:
    home.write_bytes(FILE, content)
    with pytest.raises(KnownMachinesCorrupt, match=FILE):
        known(home)
    aside = home.file(f"{FILE}.corrupt-1")
    assert aside.read_bytes() == content
    assert not home.file(FILE).exists()


def test_a_file_that_breaks_meanwhile_is_set_aside_too_and_told(home: Home) -> None:
    machines = known(home)
    home.write_bytes(FILE, b"{")
    machines.check(PROD)
    machines.proven(PROD)
    assert isinstance(machines.unkept, KnownMachinesCorrupt)
    assert home.file(f"{FILE}.corrupt-1").read_bytes() == b"{"


def test_a_home_that_cannot_be_written_keeps_nobody_out(tmp_path: Path) -> None:
    machines = known(Home(tmp_path / "home" / "cmdop"))
    (tmp_path / "home").write_text("a folder that cannot be made, for root either")
    assert machines.check(PROD) is not None
    machines.proven(PROD)
    assert isinstance(machines.unkept, HomeUnusable)
