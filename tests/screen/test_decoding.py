"""Reading the library's snapshots: what is not as expected is refused, never misread."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.screen.decoding import decode
from tests.screen.oracle import CORPUS, SIZE, library, terminal

FINISH_BYTES = 10
"""The record at the end, which holds nothing."""


def encoded(output: bytes) -> bytes:
    """A snapshot as the library writes it."""
    lib, handle = library(), ctypes.c_void_p()
    place, length = ctypes.c_void_p(), ctypes.c_size_t()
    lib.new(None, ctypes.byref(handle), SIZE.cols, SIZE.rows)
    lib.write(handle, output, len(output))
    lib.encode(handle, None, ctypes.byref(place), ctypes.byref(length))
    try:
        return ctypes.string_at(place, length.value)
    finally:
        lib._release(None, place, length)
        lib.free(handle)


WHOLE = encoded(CORPUS["shell"])


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="known format"):
        decode(WHOLE[:8] + b"\x02\x00" + WHOLE[10:])


@given(st.integers(0, len(WHOLE) - FINISH_BYTES * 6))
def test_a_part_of_a_snapshot_is_refused(length: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (which part is missing is no matter)
        decode(WHOLE[:length])


@given(st.integers(10, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_a_broken_snapshot_is_refused_or_read_as_something(place: int, noise: bytes) -> None:
    try:
        decode(WHOLE[:place] + noise + WHOLE[place + len(noise) :])
    except ValueError:
        pass


def test_everything_is_read() -> None:
    state = terminal(
        b"\x1b]2;title\x07\x1b]7;file:///x\x07\x1b[?2004h\x1b[>5u\x1b[>4;2m\x1b[2;4r\x1b[5 q"
        b"\x1b]8;id=a;http://x\x07\x1b[1;31;48;2;1;2;3ml\xc3\xa9\x1b7\x1b[3g\x1b[4G\x1bH\x1b(0\x1b[?1002h\x1b[?1006h"
    ).state()
    assert (state.title, state.folder, state.tab_stops) == (b"title", b"file:///x", {3})
    assert (state.region.top, state.region.bottom, state.modify_other_keys) == (1, 3, True)
    assert (state.mouse, state.mouse_format, state.cursor_shaped) == (3, 2, True)
    screen = state.primary
    assert (screen.keyboard, screen.charsets.slots, screen.shape) == ((0, 5), (3, 0, 0, 0), 0)
    assert screen.link is not None
    assert (screen.link.uri, screen.link.identity) == (b"http://x", b"a")
    assert screen.saved is not None
    assert (screen.saved.row, screen.saved.col, screen.saved.style) == (0, 2, screen.style)
