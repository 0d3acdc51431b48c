"""The limits: named with their unit, and consistent with each other and with what is promised."""

from __future__ import annotations

import re
import struct

import pytest

from cmdop import limits
from cmdop.wire.frame import FRAME_OVERHEAD_BYTES
from cmdop.wire.record import RECORD_OVERHEAD_BYTES

NUMBERS = {name: value for name, value in vars(limits).items() if name.isupper() and isinstance(value, (int, float))}
UNITS = ("_BYTES", "_CHARS", "_SECONDS")
SCRYPT = {"SCRYPT_N", "SCRYPT_R", "SCRYPT_P"}
"""Named as in RFC 7914."""
PLAIN = {
    "KIB",
    "MIB",
    "PROTOCOL_VERSION",
    "STREAM_ID_MAX",
    "OFFSET_MAX",
    "COUNT_MAX",
    "WINSIZE_MAX",
    "DEFAULT_PORT",
    *SCRYPT,
}
"""Numbers whose name says what they count."""

NOISE_MESSAGE_MAX_BYTES = 65535
"""The Noise Protocol Framework, revision 34, §3."""
SEAL_TAG_BYTES = 16


@pytest.mark.parametrize("name", NUMBERS)
def test_every_limit_is_positive_and_says_its_unit(name: str) -> None:
    assert NUMBERS[name] > 0
    assert name.endswith(UNITS) or name in PLAIN or re.search(r"S(_PER_\w+)?_MAX$", name)


def test_a_whole_record_fits_a_seal_and_a_frame() -> None:
    sealed = limits.DATA_MAX_BYTES + RECORD_OVERHEAD_BYTES + SEAL_TAG_BYTES
    assert sealed <= NOISE_MESSAGE_MAX_BYTES
    assert sealed + FRAME_OVERHEAD_BYTES <= limits.MESSAGE_MAX_BYTES <= limits.DIRECTORY_MAX_BYTES


def test_ids_and_offsets_fit_their_fields() -> None:
    assert struct.pack("!I", limits.STREAM_ID_MAX) == b"\xff" * 4
    assert struct.unpack("!q", struct.pack("!Q", limits.OFFSET_MAX))[0] == limits.OFFSET_MAX


def test_what_is_promised_to_users_is_what_stands_there() -> None:
    assert limits.GRACE_SECONDS == 30
    assert limits.RING_BYTES == 1024 * 1024
    assert limits.SESSIONS_MAX == 64
    assert (limits.HEARTBEAT_INTERVAL_SECONDS, limits.OFFLINE_AFTER_SECONDS) == (15, 45)
    assert limits.SESSION_TOKEN_SECONDS == 24 * 60 * 60
    assert limits.UUID_PREFIX_MIN_CHARS == 4
    assert limits.RESTORE_WITHIN_SECONDS == 0.15
    assert limits.BACKOFF_MAX_SECONDS == 10


def test_a_lost_link_is_noticed_before_the_machine_counts_as_offline() -> None:
    assert 2 * limits.PING_INTERVAL_SECONDS < limits.LINK_DEAD_SECONDS < 10
    assert limits.LINK_DEAD_SECONDS < limits.GRACE_SECONDS
    assert 2 * limits.HEARTBEAT_INTERVAL_SECONDS < limits.OFFLINE_AFTER_SECONDS


def test_windows_and_queues_hold_at_least_one_record() -> None:
    for smallest in (limits.WINDOW_MIN_BYTES, limits.INPUT_WINDOW_BYTES, limits.UPLINK_LOW_WATER_BYTES):
        assert smallest >= limits.DATA_MAX_BYTES
    assert limits.WINDOW_MIN_BYTES <= limits.WINDOW_MAX_BYTES < limits.CLIENT_QUEUE_MAX_BYTES
    assert limits.DIRECTORY_MAX_BYTES < limits.CLIENT_QUEUE_MAX_BYTES <= limits.AGENT_QUEUE_MAX_BYTES
    assert limits.STDOUT_PIECE_BYTES < limits.WINDOW_MIN_BYTES
