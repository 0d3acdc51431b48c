"""Reading a session to its end without a terminal."""

from __future__ import annotations

import threading

import pytest

from cmdop.client import run as run_module
from cmdop.client.connect import Joined
from cmdop.client.run import collect
from cmdop.errors import CmdopError, ConnectionClosed, RemoteProtocolError, SealRefused
from cmdop.limits import DATA_MAX_BYTES, WINDOW_MIN_BYTES
from cmdop.wire.frame import FrameKind, encode_frame
from cmdop.wire.record import RecordKind
from cmdop.wire.relay_messages import MachineRecord
from cmdop.wire.session_messages import Ended, Notice, Refused
from tests.client.far_end import READY, STREAM, TIMEOUT_SECONDS, FarEnd

MACHINE = MachineRecord("8f23a4b0-0000-4000-8000-000000000001", "prod-api-1", "prod", True, 3.0, 0.0)


def joined(far: FarEnd) -> Joined:
    return Joined(far.stream, READY, MACHINE)


def test_everything_is_collected_and_how_it_ended() -> None:
    far = FarEnd()
    far.send(RecordKind.REPLAY, 0, b"generated")
    far.send(RecordKind.OUTPUT, 0, b"one ")
    far.say(Notice("beside it"))
    far.send(0x80, 0, b"from the future")
    far.ping()
    far.send(RecordKind.OUTPUT, 4, b"two")
    far.say(Ended(3, 0, 7))
    far.close_stream()
    assert collect(joined(far)) == (b"one two", Ended(3, 0, 7))
    far.until(lambda far: bool(far.end))


def test_credit_is_given_so_that_much_output_flows() -> None:
    far = FarEnd()
    pieces = 4 * WINDOW_MIN_BYTES // DATA_MAX_BYTES

    def print_all() -> None:
        limit = WINDOW_MIN_BYTES
        for number in range(pieces):
            end = (number + 1) * DATA_MAX_BYTES
            while limit < end:
                far.until(lambda far, limit=limit: bool(far.credits) and far.credits[-1] > limit)  # type: ignore[misc]
                limit = far.credits[-1]
            far.send(RecordKind.OUTPUT, number * DATA_MAX_BYTES, bytes(DATA_MAX_BYTES))
        far.say(Ended(0, 0, pieces * DATA_MAX_BYTES))

    printing = threading.Thread(target=print_all, daemon=True)
    printing.start()
    output, _ = collect(joined(far))
    printing.join(TIMEOUT_SECONDS)
    assert len(output) == pieces * DATA_MAX_BYTES


def test_output_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "COLLECT_MAX_BYTES", 10)
    far = FarEnd()
    far.send(RecordKind.OUTPUT, 0, b"01234567890")
    with pytest.raises(RemoteProtocolError, match="more than 10 bytes"):
        collect(joined(far))
    far.until(lambda far: bool(far.end))


def test_what_ends_it_before_its_end_is_raised() -> None:
    far = FarEnd()
    far.say(Refused("session-refused", "it is full"))
    with pytest.raises(CmdopError, match="it is full"):
        collect(joined(far))
    far = FarEnd()
    far.connection.close("the network is gone")
    with pytest.raises(ConnectionClosed, match="the network is gone"):
        collect(joined(far))
    far = FarEnd()
    far.connection.send(encode_frame(FrameKind.SEALED, STREAM, bytes(50)))
    with pytest.raises(SealRefused):
        collect(joined(far))
    far.until(lambda far: bool(far.end))
