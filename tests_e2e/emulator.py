"""A terminal that answers every question that any terminal answers, and reports all that it can, at once.

It knows nothing of cmdop: the questions are those of ECMA-48, of DEC's manuals (EK-VT520-RM),
of xterm's ctlseqs, and of the terminals that came later (kitty, contour, VTE).
"""

from __future__ import annotations

import re

_COMPLETE = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    rb"|\x1b[]P_^X][^\x07\x1b\x18\x1a]*(?:\x07|\x1b\\)"  # OSC, DCS, APC, PM, SOS
    rb"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"
    rb"|\x05",
    re.DOTALL,
)
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[]P_^X][^\x07\x1b\x18\x1a]*\x1b?|[ -/]*)\Z", re.DOTALL)

_ST = b"\x1b\\"
# The first one counts.
_QUESTIONS: tuple[tuple[bytes, bytes], ...] = (
    (rb"\x05", b"answerback"),
    (rb"\x1bZ", b"\x1b[?62;1;6;22c"),
    (rb"\x1b\[0?c", b"\x1b[?62;1;6;22c"),
    (rb"\x1b\[>0?c", b"\x1b[>41;370;0c"),
    (rb"\x1b\[=0?c", b"\x1bP!|00000000" + _ST),
    (rb"\x1b\[5n", b"\x1b[0n"),
    (rb"\x1b\[6n", b"\x1b[12;34R"),
    (rb"\x1b\[\?6n", b"\x1b[?12;34;1R"),
    (rb"\x1b\[\?996n", b"\x1b[?997;1n"),
    (rb"\x1b\[\?\d+n", b"\x1b[?10n"),
    (rb"\x1b\[\d+\$p", b"\x1b[4;2$y"),
    (rb"\x1b\[\?\d+\$p", b"\x1b[?2026;2$y"),
    (rb"\x1b\[>0?q", b"\x1bP>|emulator 1.0" + _ST),
    (rb"\x1b\[\?u", b"\x1b[?0u"),
    (rb"\x1b\[\?4m", b"\x1b[>4;0m"),
    (rb"\x1b\[[01]?x", b"\x1b[2;1;1;128;128;1;0x"),
    (rb"\x1b\[11t", b"\x1b[1t"),
    (rb"\x1b\[13(;2)?t", b"\x1b[3;10;10t"),
    (rb"\x1b\[14(;2)?t", b"\x1b[4;480;640t"),
    (rb"\x1b\[15t", b"\x1b[5;1080;1920t"),
    (rb"\x1b\[16t", b"\x1b[6;20;8t"),
    (rb"\x1b\[18t", b"\x1b[8;24;80t"),
    (rb"\x1b\[19t", b"\x1b[9;54;240t"),
    (rb"\x1b\[20t", b"\x1b]Licon" + _ST),
    (rb"\x1b\[21t", b"\x1b]ltitle" + _ST),
    (rb"\x1b\[[0-9;]+\*y", b"\x1bP1!~ABCD" + _ST),
    (rb"\x1b\[[12]\$w", b"\x1bP1$u1;1;1;@;@;@;0;2;@;BB%%5" + _ST),
    (rb"\x1b\[&u", b"\x1bP0!u%5" + _ST),
    (rb"\x1b\[[0-9;]*#\|", b"\x1b[0m"),
    (rb"\x1b\[\?[0-9;]+S", b"\x1b[?1;0;256S"),
    (rb"\x1bP\$q.*", b"\x1bP1$r0m" + _ST),
    (rb"\x1bP\+q.*", b"\x1bP1+r544e=787465726d" + _ST),
    (rb"\x1b\]4;(\d+);\?.*", b"\x1b]4;1;rgb:1111/2222/3333" + _ST),
    (rb"\x1b\]1[0-9];\?.*", b"\x1b]11;rgb:0000/0000/0000" + _ST),
    (rb"\x1b\]52;[^;]*;\?.*", b"\x1b]52;c;aGVsbG8=" + _ST),
    (rb"\x1b\]\d+;.*\?(\x07|\x1b\\)", b"\x1b]21;foreground=" + _ST),
    (rb"\x1b\]1337;ReportCellSize.*", b"\x1b]1337;ReportCellSize=20;8" + _ST),
    (rb"\x1b_G.*a=q.*", b"\x1b_Gi=31;OK" + _ST),
)
_REPORTS = {b"1004": b"\x1b[I", b"2031": b"\x1b[?997;1n", b"2033": b"\x1b[?999;1n", b"2048": b"\x1b[48;24;80;480;640t"}
"""What is told at once when changes of it are to be reported: focus, colour scheme, visibility, size."""
_ANSWERS = [(re.compile(question, re.DOTALL), answer) for question, answer in _QUESTIONS]


class Emulator:
    """Told what is shown, in any pieces; says what a terminal answers to it."""

    def __init__(self) -> None:
        self.pending = b""
        """The beginning of a sequence that is not whole yet."""

    def feed(self, shown: bytes) -> bytes:
        text, self.pending = self.pending + shown, b""
        answers = bytearray()
        at = 0
        while at < len(text):
            begin = _next(text, at)
            if (whole := _COMPLETE.match(text, begin)) is not None:
                answers += _reports(whole[0]) or next(
                    (answer for question, answer in _ANSWERS if question.fullmatch(whole[0])), b""
                )
                at = whole.end()
            elif _BEGUN.match(text, begin):
                self.pending = text[begin:]
                break
            else:
                at = begin + 1
        return bytes(answers)


def _reports(sequence: bytes) -> bytes:
    """What a terminal says when these modes are switched on (DECSET)."""
    modes = sequence[3:-1].split(b";") if sequence.startswith(b"\x1b[?") and sequence.endswith(b"h") else []
    return b"".join(_REPORTS.get(mode, b"") for mode in modes)


def _next(text: bytes, at: int) -> int:
    """Where the next ESC or ENQ is, or the end."""
    places = [place for place in (text.find(b"\x1b", at), text.find(b"\x05", at)) if place >= 0]
    return min(places, default=len(text))
