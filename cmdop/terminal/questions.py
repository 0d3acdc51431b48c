"""What programs ask a terminal, and the shape of what it answers.

Sources: ECMA-48 8.3 (DA, DSR), xterm's ctlseqs (invisible-island.net/xterm/ctlseqs),
DEC's VT510 manual (vt100.net/docs/vt510-rm); the kitty protocols for the keyboard,
graphics, colours, the clipboard and several cursors (sw.kovidgoyal.net/kitty); Contour's
colour scheme reports and in-band sizes; rockorager.dev for visibility reports.

ENQ is a question as well, but its answer is any text that the user set up: nothing can
tell it from keys, so it must not reach a terminal that is not to answer.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

_ANY_NUMBERS = rb"[0-9;:]*"
_PALETTE_SIZE = 256


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of question, by its answer: `lead`, then numbers, then one of `tails`.

    An answer that is a string (OSC, DCS, APC) goes on behind that, up to its end.
    """

    name: str
    lead: bytes
    tails: tuple[bytes, ...] = (b"",)
    numbers: bytes = _ANY_NUMBERS
    """A regular expression."""
    sure: bool = False
    """Every terminal answers it."""
    in_order: bool = True
    """It is answered before any later question: nobody has to be asked for it first."""
    unasked: bool = False
    """A terminal says the same without having been asked."""
    many: bool = False
    """One question has any number of answers."""

    @property
    def is_string(self) -> bool:
        return self.lead[1:2] != b"["

    def match(self, typed: bytes) -> int:
        """How long the answer is that `typed` begins with, of a string the part before its text; 0 for none."""
        found = _pattern(self).match(typed)
        return found.end() if found else 0

    def may_become(self, typed: bytes) -> bool:
        """Whether `typed`, of which `match` knows nothing, can still grow into such an answer."""
        if not typed.startswith(self.lead):
            return self.lead.startswith(typed)
        rest = typed[len(self.lead) :].lstrip(b"0123456789;:")
        return any(len(rest) < len(tail) and tail.startswith(rest) for tail in self.tails)


@functools.lru_cache(maxsize=256)
def _pattern(kind: Kind) -> re.Pattern[bytes]:
    tails = b"|".join(map(re.escape, kind.tails))
    return re.compile(re.escape(kind.lead) + kind.numbers + b"(?:" + tails + b")")


def _csi(name: str, lead: bytes, tail: bytes, numbers: bytes = _ANY_NUMBERS) -> Kind:
    return Kind(name, b"\x1b[" + lead, (tail,), numbers)


def _dcs(name: str, lead: bytes, tail: bytes) -> Kind:
    return Kind(name, b"\x1bP" + lead, (tail,))


DEVICE = Kind("DA1", b"\x1b[?", (b"c",), sure=True)
STATUS = Kind("DSR 5", b"\x1b[", (b"n",), rb"[03]", sure=True)
CURSOR = Kind("CPR", b"\x1b[", (b"R",), rb"[0-9]+;[0-9]+", sure=True)
_CHECKSUM = _dcs("DECCKSR", b"", b"!~")
_CURSORS = _csi("kitty cursors", b">", b" q")
_COLOUR_SCHEME = _csi("colour scheme", b"?997;", b"n", rb"[0-9]+")
_VISIBILITY = _csi("visibility", b"?999;", b"n", rb"[0-9]+")

_ASKED: dict[tuple[bytes, int | None], Kind] = {
    # prefix, intermediates and final of a control sequence, its first number (None: any other)
    (b"c", None): DEVICE,
    (b">c", None): _csi("DA2", b">", b"c"),
    (b"=c", None): _dcs("DA3", b"", b"!|"),
    (b"n", 5): STATUS,
    (b"n", 6): CURSOR,
    (b"?n", 6): _csi("DECXCPR", b"?", b"R"),
    (b"?n", 62): _csi("DECMSR", b"", b"*{"),
    (b"?n", 63): _CHECKSUM,
    (b"?n", 996): _COLOUR_SCHEME,
    (b"?n", 998): _VISIBILITY,
    (b"?n", None): _csi("DECDSR", b"?", b"n", rb"(?!99[79];)[0-9;]+"),
    (b"$p", None): _csi("DECRQM", b"", b"$y", rb"[0-9]+;[0-9]+"),
    (b"?$p", None): _csi("DECRQM private", b"?", b"$y"),
    (b"x", None): _csi("DECREQTPARM", b"", b"x", rb"[23](?:;[0-9]*){4,}"),
    (b"$w", None): _dcs("DECRQPSR", b"", b"$u"),
    (b"$u", None): _dcs("DECRQTSR", b"", b"$s"),
    (b"&u", None): _dcs("DECRQUPSS", b"", b"!u"),
    (b"*y", None): _CHECKSUM,
    (b'"v', None): _csi("DECRQDE", b"", b'"w'),
    (b"'|", None): Kind("DECRQLP", b"\x1b[", (b"&w",), unasked=True),
    (b"t", 11): _csi("window state", b"", b"t", rb"[12]"),
    (b"t", 13): _csi("window place", b"3;", b"t"),
    (b"t", 14): _csi("window pixels", b"4;", b"t"),
    (b"t", 15): _csi("screen pixels", b"5;", b"t"),
    (b"t", 16): _csi("cell pixels", b"6;", b"t"),
    (b"t", 18): _csi("text size", b"8;", b"t"),
    (b"t", 19): _csi("screen size", b"9;", b"t"),
    (b"t", 20): Kind("icon label", b"\x1b]L", numbers=b""),
    (b"t", 21): Kind("title", b"\x1b]l", numbers=b""),
    (b">q", None): _dcs("XTVERSION", b">", b"|"),
    (b"?S", None): _csi("XTSMGRAPHICS", b"?", b"S"),
    (b"?m", None): _csi("XTQMODKEYS", b">", b"m"),
    (b"?g", None): _csi("XTQFMTKEYS", b">", b"f"),
    (b"#R", None): _csi("XTREPORTCOLORS", b"?", b"#Q"),
    (b"#S", None): _csi("XTTITLEPOS", b"", b"#S"),
    (b"#|", None): _csi("XTREPORTSGR", b"", b"m"),
    (b"?u", None): _csi("kitty keyboard", b"?", b"u"),
    (b"> q", 0): _CURSORS,
    (b"> q", 100): _CURSORS,
    (b"> q", 101): _CURSORS,
}
_REPORTS: dict[int, Kind] = {
    # DEC private modes; some terminals report at once when they are switched on
    1004: Kind("focus", b"\x1b[", (b"I", b"O"), b"", unasked=True),
    2031: Kind("colour scheme report", b"\x1b[?997;", (b"n",), rb"[0-9]+", unasked=True),
    2033: Kind("visibility report", b"\x1b[?999;", (b"n",), rb"[0-9]+", unasked=True),
    2048: Kind("size report", b"\x1b[48;", (b"t",), unasked=True),
}
_CAPABILITIES = _dcs("XTGETTCAP", b"", b"+r")
_SETTING = _dcs("DECRQSS", b"", b"$r")
_GRAPHICS = Kind("kitty graphics", b"\x1b_G", numbers=b"", in_order=False)
_KITTY_COMMAND = Kind("kitty command", b"\x1bP@kitty-cmd", numbers=b"", in_order=False)

_PALETTES = (4, 5)
_DYNAMIC_COLOURS = range(10, 20)
_ITERM = 1337
_KITTY_TRANSFER, _KITTY_CLIPBOARD = 5113, 5522
_UNANSWERED = frozenset((0, 1, 2, 7, 8, 9, 133, 104, 105, *range(110, 120)))
"""OSC that nobody answers, whatever is in them: titles, folders, links, notices, prompts, resets."""
_ITERM_QUESTIONS = (b"ReportCellSize", b"ReportVariable=", b"Capabilities")

Kinds = tuple[Kind, ...]


def asked(signature: bytes, numbers: tuple[int, ...]) -> Kinds:
    """What a control sequence asks. `signature`: its prefix, intermediates and final; `numbers` at least one."""
    if signature == b"?h":
        return tuple(_REPORTS[mode] for mode in numbers if mode in _REPORTS)
    kind = _ASKED.get((signature, numbers[0])) or _ASKED.get((signature, None))
    return (kind,) if kind else ()


def asked_by_string(text: bytes, whole: bool) -> Kinds:
    """What an OSC, DCS or APC asks: `text` from its ESC to before its end, cut if not `whole`."""
    introducer, body = text[1:2], text[2:]
    if introducer == b"]":
        number, _, rest = body.partition(b";")
        return _asked_by_osc(int(number), rest, whole) if number.isdigit() and len(number) <= 5 else ()
    if introducer == b"P":
        if body.startswith(b"+q"):
            return (_CAPABILITIES,) * (1 + body.count(b";"))  # some answer each name, some all at once
        return (_SETTING,) if body.startswith(b"$q") else (_KITTY_COMMAND,) * body.startswith(b"@kitty-cmd")
    return (_GRAPHICS,) if introducer == b"_" and _graphics_answer(body) else ()


def _asked_by_osc(number: int, rest: bytes, whole: bool) -> Kinds:
    if number in _UNANSWERED:
        return ()
    specs = rest.split(b";")
    if number in _DYNAMIC_COLOURS:  # further ones are about the colours that follow
        return tuple(_osc(number + index) for index, spec in enumerate(specs) if spec == b"?")
    if number in _PALETTES:
        return (_osc(number),) * (specs.count(b"?") if whole else _PALETTE_SIZE)
    if number == _KITTY_TRANSFER or (number == _KITTY_CLIPBOARD and rest.startswith(b"type=")):
        return (_osc(number, many=True),)
    if number == _ITERM:
        return (_osc(number),) * rest.startswith(_ITERM_QUESTIONS)
    asks = any(b"?" in (spec[:1], spec[-1:]) for spec in specs)
    return (_osc(number),) if asks else ()


@functools.lru_cache(maxsize=64)
def _osc(number: int, many: bool = False) -> Kind:
    """The question whose answer is an OSC of this number; another program may have to be asked, or the user."""
    return Kind(f"OSC {number}", b"\x1b]%d;" % number, numbers=b"", in_order=False, many=many)


def _graphics_answer(body: bytes) -> bool:
    """Whether a graphics command is answered: it names an image, and is not to be quiet about it."""
    keys = body.removeprefix(b"G").partition(b";")[0].split(b",")
    return body.startswith(b"G") and b"q=2" not in keys and any(key[:2] in (b"i=", b"I=") for key in keys)
