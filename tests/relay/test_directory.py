"""The list of machines, and why one is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmdop.limits import DIRECTORY_MAX_BYTES
from cmdop.relay import admin
from cmdop.relay.directory import Directory, fitting, readable_age
from cmdop.relay.presence import Presence
from cmdop.store.interface import MachineRow, Store
from cmdop.wire.frame import FrameKind, encode_frame
from cmdop.wire.relay_messages import RELAY_MESSAGES, MachineRecord, Machines, SessionSummary
from tests.relay.talker import MACHINE_ID, OTHER_ID

ROW = MachineRow(MACHINE_ID, "home", "h", "prod", b"s" * 32, "1", b"t" * 32, "aa11", 5000.0, True, 1.0)


@pytest.fixture
def presence() -> Presence:
    return Presence()


@pytest.fixture
def directory(store: Store, presence: Presence) -> Directory:
    admin.create_workspace(store, "home", "anna", 1.0)
    store.enroll_machine(ROW)
    return Directory(store, presence)


def test_what_was_not_heard_since_the_start_is_as_the_records_have_it(directory: Directory) -> None:
    (record,) = directory.machines("home", now=10.0, unix_now=5012.0)
    assert (record.online, record.heartbeat_age_seconds, record.last_seen) == (False, 12.0, 5000.0)
    assert directory.absence("home", MACHINE_ID, 10.0, 5012.0) == ("machine-offline", "it stopped cleanly 12 s ago")


def test_presence_knows_better_than_the_records(directory: Directory, presence: Presence) -> None:
    presence.hello(MACHINE_ID, 8.0)
    (record,) = directory.machines("home", now=10.0, unix_now=9000.0)
    assert (record.online, record.heartbeat_age_seconds, record.last_seen) == (True, 2.0, 8998.0)
    assert directory.absence("home", MACHINE_ID, 10.0, 9000.0) is None
    presence.broke_off(MACHINE_ID, 9.0)
    assert directory.absence("home", MACHINE_ID, 10.0, 9000.0) == (
        "machine-offline",
        "its connection broke off 1 s ago",
    )


def test_a_clock_that_was_put_back_makes_no_negative_age(directory: Directory) -> None:
    (record,) = directory.machines("home", now=10.0, unix_now=4000.0)
    assert record.heartbeat_age_seconds == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (432_000, "5 days")],
)
def test_ages_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    assert readable_age(seconds) == text


def test_the_longest_list_fits_a_message() -> None:
    wide = "\U0001f600" * 255
    session = SessionSummary("0" * 16, wide, 2**53)
    record = MachineRecord(OTHER_ID, wide, wide, True, 1e12, 1e12, True, wide, session)
    records = fitting((record,) * 10_000)
    message = encode_frame(FrameKind.CONTROL, 0, RELAY_MESSAGES.encode(Machines(records)))
    assert DIRECTORY_MAX_BYTES * 0.99 < len(message) <= DIRECTORY_MAX_BYTES


def test_a_list_that_fits_is_whole(directory: Directory, store: Store) -> None:
    for number in range(50):
        store.enroll_machine(replace(ROW, machine_id=f"{MACHINE_ID[:-2]}{number:02x}"))
    assert len(directory.machines("home", 1.0, 1.0)) == 50
