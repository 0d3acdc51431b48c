"""The ring's bytes again, without the questions among them.

A program's questions (what are you, where is the cursor, which colour is that) went to
the terminals that were there at the time. Shown again to a terminal that joins, they
would be answered again, and the answers typed into the shell. So they are left out, and
with them everything that is not known to be answered by nobody. Among the questions are:

    CSI c, CSI > c, CSI = c      device attributes (ECMA-48 §8.3.24, xterm ctlseqs)
    CSI n, CSI ? n               device and cursor status reports (ECMA-48 §8.3.35)
    CSI p with $                 mode reports, DECRQM
    CSI > q                      XTVERSION
    CSI x                        DECREQTPARM
    CSI t with 11 to 21          window reports, XTWINOPS
    CSI ? u                      kitty keyboard flags
    CSI ? S, CSI w with $        graphics attributes, DECRQPSR
    ENQ, ESC Z                   answerback, DECID
    CSI ? m, CSI # R S |         modifyOtherKeys, colours, title's place, SGR stack
    CSI ' |, CSI * y             locator's position, checksum of an area
    OSC with a ? parameter       colours, clipboard
    OSC 21, OSC 1337;Report      kitty colours, iTerm2's reports
    DCS $ q, DCS + q             DECRQSS, XTGETTCAP
    APC G                        kitty graphics (which answer)
"""

from __future__ import annotations

import re
from typing import Final

_ENQ: Final = b"\x05"
"""Terminals act on it wherever it stands, within another sequence too; so it goes first."""

_CANCEL: Final = b"\x18"
"""CAN takes the place of a question: without it, what stood on both sides of one could
come together as another. It ends an unfinished sequence, as the question's ESC did."""

# What is known to be answered by nobody is kept, and everything else left out: there are
# too many questions, and each terminal has its own. Controls within a sequence do not end
# it (but CAN, SUB and ESC do), and terminals act on the rest of it as if they were not there.
_CONTROLS: Final = rb"[\x00-\x17\x19\x1c-\x1f\x7f]"
_PLAIN: Final = rb"\[[0-9;:]*[@-HJ-MPSTXZ`abd-hlmrs]"
_TO_JUDGE: Final = re.compile(
    rb"\x1b(?!" + _PLAIN + rb")" + _CONTROLS + rb"*(?:"
    rb"\[[\x00-\x17\x19\x1c-\x3f\x7f]*[@-~]"
    rb"|\][^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)?"
    rb"|[P_^X][^\x18\x1a\x1b]*(?:\x1b\\)?"
    rb"|Z)"
    rb"|\xc2[\x80-\x9f]"
)
"""The last are the 8-bit controls in UTF-8, CSI and DECID among them."""
_HARMLESS: Final = re.compile(
    rb"\x1b(?:"
    + _PLAIN
    + rb"|\[\?(?!(?:[0-9;]*;)?0*(?:1004|2031|2033|2048)(?:;[0-9;]*)?h)[0-9;]*[hlrsJK]"  # those report at once
    rb"|\[(?:u|!p|[0-9;]* q|[0-9;]*\$[rtvxz{]|[0-9;]*\"[pq])"
    rb"|\[(?:>[0-9;:]*[mu]|<[0-9;]*u|=[0-9;]*u|2[23](?:;[0-9;]*)?t)"
    rb"|\](?:[0127]|8|9|133|10[45]|11[0-9])(?:;.*)?"
    rb"|\](?:4|5|1[0-9])(?:;(?![^;]*\?)[^;]*)*"
    rb"|P[0-9;]*q.*"  # sixel
    rb")(?:\x07|\x1b\\)?",
    re.DOTALL,
)
_STRIPPED: Final = re.compile(_CONTROLS + rb"(?!\Z)")


def _judged(found: re.Match[bytes]) -> bytes:
    """A sequence that nobody answers as it is, and CAN in the place of any other."""
    raw = found.group()
    sequence = raw if raw[1:2] in b"]P" else _STRIPPED.sub(b"", raw)
    return raw if _HARMLESS.fullmatch(sequence) else _CANCEL


_TORN_END: Final = re.compile(rb"\x1b(?:[ -/]*|\[[ -?]*|[\]P_^X][^\x07\x18\x1a\x1b]{0,4096}\x1b?)\Z")


def without_questions(output: bytes, from_start: bool) -> bytes:
    """A stretch of output as it may be shown again.

    Unless it is from the very start of the session, it begins at its first line end, as
    what comes before may be the rest of a sequence. A sequence that is not complete at
    the end is kept only if it can be no question: the live output goes on right there.
    """
    if not from_start:
        _, newline, rest = output.partition(b"\n")
        output = rest if newline else output
    return _TO_JUDGE.sub(_judged, output.replace(_ENQ, b""))


def unfinished(output: bytes) -> int:
    """How many bytes at the end belong to a sequence that is not complete."""
    torn = _TORN_END.search(output[-8192:])
    return len(torn.group()) if torn else 0
