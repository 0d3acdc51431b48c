"""The state of a terminal out of libghostty-vt's binary snapshot, format version 1.

The format is ghostty's `src/terminal/snapshot`, and its `ghostty/vt/snapshot.h`: an
envelope, then records of tag (u16), length (u32), checksum (u32) and payload, all
little-endian. The checksum is not looked at: the bytes come from this process. The
format has no promise of staying as it is: another version, or a record that does not
fit, raises ValueError.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

from cmdop.screen.state import Charsets, Colours, Link, Page, Region, Row, Saved, Screen, Terminal
from cmdop.winsize import Winsize

_MAGIC = b"GHOSTSNP" + struct.pack("<H", 1)
_TERMINAL, _SCREEN, _PAGE, _HISTORY, _READY, _FINISH, _CONTINUATION = range(1, 8)

_RECORD = struct.Struct("<HII")
_TERMINAL_HEADER = struct.Struct("<HHII4HBHHI10B3Q8s8s8sQQ")
_SCREEN_HEADER = struct.Struct("<HHQHHBB16sIHBB8sBBB")
_SAVED_CURSOR = struct.Struct("<HH16sBH")
_PAGE_HEADER = struct.Struct("<6H2I")
_ROW_HEADER = struct.Struct("<BH")
_STYLE = struct.Struct("<H16s")
_SUFFIX = struct.Struct("<3H")

_PALETTE_SIZE = 256
_NO_CODEPOINT = 0xFFFFFFFF


class _Reader:
    """A place in bytes that moves on."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """Exactly so many bytes; struct.error when there are less."""
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise struct.error("the data ends too early")
        return self.data[start : self.at]

    def unpack(self, shape: struct.Struct) -> tuple[int, ...]:
        values: tuple[int, ...] = shape.unpack_from(self.data, self.at)
        self.at += shape.size
        return values

    def counted(self) -> bytes:
        """Bytes behind their length (u32)."""
        return self.take(int.from_bytes(self.take(4), "little"))


class _Found(NamedTuple):
    """The parts of a snapshot, by the screen they belong to (0 primary, 1 alternate)."""

    terminal: bytes
    screens: dict[int, bytes]
    rows: dict[int, list[Row]]


def decode(snapshot: bytes) -> Terminal:
    """The state that a snapshot holds. Raises ValueError when it cannot be read."""
    try:
        return _terminal(_sort(snapshot))
    except (struct.error, LookupError, OverflowError) as error:
        raise ValueError(f"a snapshot that cannot be read: {error}") from error


def region(snapshot: bytes) -> Region | None:
    """The margins alone, None when they cannot be read. The rest is not looked at."""
    with contextlib.suppress(struct.error, ValueError):
        for tag, payload in _records(snapshot):
            if tag == _TERMINAL:
                return Region(*_TERMINAL_HEADER.unpack_from(payload)[4:8])
    return None


def _records(snapshot: bytes) -> Iterator[tuple[int, bytes]]:
    if not snapshot.startswith(_MAGIC):
        raise ValueError("not a snapshot of the known format")
    at = len(_MAGIC)
    while at < len(snapshot):
        tag, length, _ = _RECORD.unpack_from(snapshot, at)
        at += _RECORD.size
        yield tag, snapshot[at : at + length]
        at += length


def _sort(snapshot: bytes) -> _Found:
    """Rows come as the newest pages first, then older and older ones."""
    terminal, key, older = b"", 0, False
    screens: dict[int, bytes] = {}
    pages: dict[int, list[list[Row]]] = {}
    for tag, payload in _records(snapshot):
        if tag == _TERMINAL:
            terminal = payload
        elif tag in (_SCREEN, _HISTORY):
            key, older = int.from_bytes(payload[:2], "little"), tag == _HISTORY
            if tag == _SCREEN:
                screens[key] = payload
        elif tag == _PAGE:
            pages.setdefault(key, []).insert(0 if older else len(pages[key]), _rows(payload))
    return _Found(terminal, screens, {key: [row for page in found for row in page] for key, found in pages.items()})


def _terminal(found: _Found) -> Terminal:
    reader = _Reader(found.terminal)
    header = reader.unpack(_TERMINAL_HEADER)
    size = Winsize(header[1], header[0])
    tab_bits = int.from_bytes(reader.take((size.cols + 7) // 8), "little")
    palette = _palette(reader)
    folder, title = reader.counted(), reader.counted()
    last_printed = header[11]
    shown = header[9]
    return Terminal(
        size=size,
        region=Region(*header[4:8]),
        modes=header[22],
        default_modes=header[24],
        mouse=header[17],
        mouse_format=header[18],
        modify_other_keys=bool(header[16]),
        cursor_shaped=not header[12],
        tab_stops=frozenset(col for col in range(size.cols) if tab_bits >> col & 1),
        colours=Colours(palette, *(_overridden(value) for value in _dynamic(found.terminal))),
        title=title,
        folder=folder,
        prompt_redraw=header[15],
        last_printed="" if last_printed == _NO_CODEPOINT else chr(last_printed),
        primary=_screen(found, 0, size.rows),
        alternate=_screen(found, 1, size.rows) if shown == 1 else None,
    )


def _dynamic(terminal: bytes) -> tuple[bytes, bytes, bytes]:
    """The encoded colours of text, background and cursor."""
    text, background, cursor = (terminal[at : at + 8] for at in (71, 63, 79))
    return text, background, cursor


def _overridden(colour: bytes) -> bytes | None:
    return colour[5:8] if colour[4] else None


def _palette(reader: _Reader) -> dict[int, bytes]:
    reader.take(3 * _PALETTE_SIZE)
    changed = int.from_bytes(reader.take(_PALETTE_SIZE // 8), "little")
    return {index: reader.take(3) for index in range(_PALETTE_SIZE) if changed >> index & 1}


def _screen(found: _Found, key: int, row_count: int) -> Screen:
    reader = _Reader(found.screens[key])
    header = _SCREEN_HEADER.unpack(reader.take(_SCREEN_HEADER.size))
    _, _, _, col, row, shape, flags, style, _, charsets, protection, level, keyboard, _, _, has_saved = header
    saved = _saved(*_SAVED_CURSOR.unpack(reader.take(_SAVED_CURSOR.size))) if has_saved else None
    kind = reader.take(1)[0]
    rows = found.rows[key]
    if len(rows) < row_count:
        raise ValueError("a screen with too few rows")
    return Screen(
        alternate=key == 1,
        history=rows[:-row_count],
        rows=rows[-row_count:],
        row=row,
        col=col,
        shape=shape,
        pending_wrap=bool(flags & 1),
        style=style,
        link=_link(reader, kind) if kind else None,
        protected=bool(flags & 2),
        protection=protection,
        semantic=flags >> 2 & 3,
        input_until_line_end=bool(flags & 16),
        charsets=_charsets(charsets),
        keyboard=_keyboard(keyboard, level),
        saved=saved,
    )


def _saved(col: int, row: int, style: bytes, flags: int, charsets: int) -> Saved:
    return Saved(
        row=row,
        col=col,
        style=style,
        charsets=_charsets(charsets),
        protected=bool(flags & 1),
        pending_wrap=bool(flags & 2),
        origin=bool(flags & 4),
    )


def _charsets(bits: int) -> Charsets:
    single = bits >> 12 & 7
    return Charsets(
        slots=(bits & 3, bits >> 2 & 3, bits >> 4 & 3, bits >> 6 & 3),
        left=bits >> 8 & 3,
        right=bits >> 10 & 3,
        single=single - 1 if single else None,
    )


def _keyboard(flags: bytes, level: int) -> tuple[int, ...]:
    """The library's stack is a ring of eight: what was pushed over its end lies behind `level`."""
    pushed_over = flags[level + 1 :]
    return (*(pushed_over if any(pushed_over) else ()), *flags[: level + 1])


def _link(reader: _Reader, kind: int) -> Link:
    """An identity of the library's own making joins only cells of one run: it is left out."""
    identity = b"" if kind == 1 else reader.counted()
    if kind == 1:
        reader.take(4)
    return Link(uri=reader.counted(), identity=identity)


def _rows(payload: bytes) -> list[Row]:
    reader = _Reader(payload)
    cols, row_count, style_count, link_count, *_ = reader.unpack(_PAGE_HEADER)
    styles: dict[int, bytes] = dict(_STYLE.unpack(reader.take(_STYLE.size)) for _ in range(style_count))
    links = {int.from_bytes(reader.take(2), "little"): _link(reader, reader.take(1)[0]) for _ in range(link_count)}
    page = Page(cols, styles, links, {})
    rows = []
    at = reader.at
    for place in range(row_count):
        flags, count = _ROW_HEADER.unpack_from(payload, at)
        width = 1 << (flags >> 4 & 3)
        start = at + _ROW_HEADER.size
        at = start + count * width
        rows.append(Row(page, place, flags, count, width, payload[start:at]))
    reader.at = at
    for _ in range(int.from_bytes(reader.take(4), "little")):
        place, col, length = reader.unpack(_SUFFIX)
        codepoints = struct.unpack(f"<{length}I", reader.take(4 * length))
        page.suffixes[place, col] = "".join(map(chr, codepoints))
    return rows
