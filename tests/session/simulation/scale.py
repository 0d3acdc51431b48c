"""The limits of a session, some thousand times smaller: a few bytes reach every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cmdop import ring
from cmdop.session import broadcast, credit, keyboard, received, typed

RING = 128
RING_MAX = 256
DATA_MAX = 16
LAG_MAX = RING // 2
HELD = 16
WINDOW = 32
WINDOW_FLOOR = 8
WINDOW_MAX = 256
INPUT_WINDOW = 16

_LIMITS = [
    (broadcast, "DATA_MAX_BYTES", DATA_MAX),
    (broadcast, "LAG_MAX_BYTES", LAG_MAX),
    (broadcast, "BACKLOG_BYTES", 8),
    (broadcast, "HELD_BYTES", HELD),
    (broadcast, "MIB", WINDOW),
    (broadcast, "_PIECE_BYTES", 8),
    (broadcast, "RING_MAX_BYTES", RING_MAX),
    (broadcast, "WINDOW_FLOOR_BYTES", WINDOW_FLOOR),
    (credit, "WINDOW_FLOOR_BYTES", WINDOW_FLOOR),
    (credit, "WINDOW_MIN_BYTES", WINDOW),
    (credit, "WINDOW_MAX_BYTES", WINDOW_MAX),
    (credit, "_UNPROVEN_BYTES", 8),
    (keyboard, "_TOGETHER_BYTES", 8),
    (received, "DATA_MAX_BYTES", DATA_MAX),
    (received, "WINDOW_FLOOR_BYTES", WINDOW_FLOOR),
    (received, "WINDOW_MIN_BYTES", WINDOW),
    (received, "WINDOW_MAX_BYTES", WINDOW_MAX),
    (typed, "DATA_MAX_BYTES", DATA_MAX),
]
_DEFAULTS = [
    (ring.RingBuffer.__init__, (RING,)),
    (credit.ReceiveWindow.__init__, (0, WINDOW)),
    (typed.TypedIn.__init__, (INPUT_WINDOW,)),
    (typed.TypedOut.__init__, (INPUT_WINDOW,)),
]


@contextmanager
def small_limits() -> Iterator[None]:
    """Everything in `cmdop.session` is small within this."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in _LIMITS:
            patch.setattr(module, name, value)
        for function, defaults in _DEFAULTS:
            patch.setattr(function, "__defaults__", defaults)
        yield
