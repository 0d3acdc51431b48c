"""The ring's bytes again, without the questions among them.

A program's questions (what are you, where is the cursor, which colour is that) went to
the terminals that were there at the time. Shown again to a terminal that joins, they
would be answered again, and the answers typed into the shell. So they are left out:

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

_QUESTIONS: Final = re.compile(
    rb"\x1bZ"
    rb"|\x1b\[[>=?]?[0-9;]*c"
    rb"|\x1b\[\??[0-9;]*n"
    rb"|\x1b\[\??[0-9;]*\$p"
    rb"|\x1b\[>[0-9;]*q"
    rb"|\x1b\[[0-9;]*x"
    rb"|\x1b\[(?:1[1-9]|2[01])[0-9;]*t"
    rb"|\x1b\[\?u"
    rb"|\x1b\[\?[0-9;]*S"
    rb"|\x1b\[[0-9;]*\$[uw]"
    rb"|\x1b\[\?[0-9;]*m"
    rb"|\x1b\[[0-9;]*(?:#[RS|]|'\||\*y)"
    rb"|\x1b\][0-9;]*;\?[^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)"
    rb"|\x1b\](?:52;|21;|1337;Report)[^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)"
    rb"|\x1bP[$+]q[^\x18\x1a\x1b]*\x1b\\"
    rb"|\x1b_G[^\x18\x1a\x1b]*\x1b\\"
)
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
    return _QUESTIONS.sub(_CANCEL, output.replace(_ENQ, b""))


def unfinished(output: bytes) -> int:
    """How many bytes at the end belong to a sequence that is not complete."""
    torn = _TORN_END.search(output[-8192:])
    return len(torn.group()) if torn else 0
