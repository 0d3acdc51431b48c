"""Questions to a terminal with what terminals answer to them, for tests.

Mostly as xterm answers, with its ctlseqs at hand; kitty's and Contour's own as their
specifications have them.
"""

from __future__ import annotations

from typing import NamedTuple


class Exchange(NamedTuple):
    """One question and its one answer."""

    name: str
    """Of the kind, as in terminal/questions.py."""
    question: bytes
    answer: bytes


EXCHANGES = [
    Exchange("DA1", b"\x1b[c", b"\x1b[?64;1;2;6;9;15;16;17;18;21;22;28c"),
    Exchange("DA1", b"\x1b[0c", b"\x1b[?6c"),
    Exchange("DA1", b"\x1bZ", b"\x1b[?1;2c"),
    Exchange("DA2", b"\x1b[>c", b"\x1b[>41;388;0c"),
    Exchange("DA3", b"\x1b[=c", b"\x1bP!|00000000\x1b\\"),
    Exchange("DSR 5", b"\x1b[5n", b"\x1b[0n"),
    Exchange("CPR", b"\x1b[6n", b"\x1b[24;80R"),
    Exchange("DECXCPR", b"\x1b[?6n", b"\x1b[?24;80;1R"),
    Exchange("DECDSR", b"\x1b[?15n", b"\x1b[?13n"),
    Exchange("DECDSR", b"\x1b[?25n", b"\x1b[?20n"),
    Exchange("DECDSR", b"\x1b[?26n", b"\x1b[?27;1;0;0n"),
    Exchange("DECDSR", b"\x1b[?53n", b"\x1b[?53n"),
    Exchange("DECMSR", b"\x1b[?62n", b"\x1b[0*{"),
    Exchange("DECCKSR", b"\x1b[?63;7n", b"\x1bP7!~0000\x1b\\"),
    Exchange("DECCKSR", b"\x1b[1;1;1;1;1;1*y", b"\x1bP1!~FFE0\x1b\\"),
    Exchange("colour scheme", b"\x1b[?996n", b"\x1b[?997;1n"),
    Exchange("visibility", b"\x1b[?998n", b"\x1b[?999;1n"),
    Exchange("DECRQM", b"\x1b[4$p", b"\x1b[4;2$y"),
    Exchange("DECRQM private", b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    Exchange("DECRQSS", b"\x1bP$qm\x1b\\", b"\x1bP1$r0;1m\x1b\\"),
    Exchange("DECRQSS", b"\x1bP$q q\x1b\\", b"\x1bP1$r2 q\x1b\\"),
    Exchange("DECREQTPARM", b"\x1b[x", b"\x1b[2;1;1;128;128;1;0x"),
    Exchange("DECRQPSR", b"\x1b[1$w", b"\x1bP1$u1;1;1;@;@;@;0;2;@;BB%5%5\x1b\\"),
    Exchange("DECRQTSR", b"\x1b[1$u", b"\x1bP1$sx\x1b\\"),
    Exchange("DECRQUPSS", b"\x1b[&u", b"\x1bP0!u%5\x1b\\"),
    Exchange("DECRQDE", b'\x1b["v', b'\x1b[24;80;1;1;1"w'),
    Exchange("DECRQLP", b"\x1b['|", b"\x1b[1;0;3;4;0&w"),
    Exchange("window state", b"\x1b[11t", b"\x1b[1t"),
    Exchange("window place", b"\x1b[13t", b"\x1b[3;100;200t"),
    Exchange("window pixels", b"\x1b[14;2t", b"\x1b[4;600;800t"),
    Exchange("screen pixels", b"\x1b[15t", b"\x1b[5;1080;1920t"),
    Exchange("cell pixels", b"\x1b[16t", b"\x1b[6;20;10t"),
    Exchange("text size", b"\x1b[18t", b"\x1b[8;24;80t"),
    Exchange("screen size", b"\x1b[19t", b"\x1b[9;50;180t"),
    Exchange("icon label", b"\x1b[20t", b"\x1b]Lan icon\x1b\\"),
    Exchange("title", b"\x1b[21t", b"\x1b]la title\x1b\\"),
    Exchange("XTVERSION", b"\x1b[>q", b"\x1bP>|XTerm(388)\x1b\\"),
    Exchange("XTVERSION", b"\x1b[>0q", b"\x1bP>|kitty(0.36.4)\x1b\\"),
    Exchange("XTGETTCAP", b"\x1bP+q544e\x1b\\", b"\x1bP1+r544e=787465726d\x1b\\"),
    Exchange("XTSMGRAPHICS", b"\x1b[?2;1;0S", b"\x1b[?2;0;800;600S"),
    Exchange("XTQMODKEYS", b"\x1b[?4m", b"\x1b[>4;2m"),
    Exchange("XTQFMTKEYS", b"\x1b[?4g", b"\x1b[>4;1f"),
    Exchange("XTREPORTCOLORS", b"\x1b[#R", b"\x1b[?0;0#Q"),
    Exchange("XTTITLEPOS", b"\x1b[#S", b"\x1b[0;0#S"),
    Exchange("XTREPORTSGR", b"\x1b[1;1;1;1#|", b"\x1b[0;38:2::1:2:3m"),
    Exchange("kitty keyboard", b"\x1b[?u", b"\x1b[?5u"),
    Exchange("kitty cursors", b"\x1b[> q", b"\x1b[>1;2;3;29;30;40;100;101 q"),
    Exchange("kitty cursors", b"\x1b[>100 q", b"\x1b[>100;29:2:3:4 q"),
    Exchange("kitty graphics", b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\", b"\x1b_Gi=31;OK\x1b\\"),
    Exchange("kitty command", b'\x1bP@kitty-cmd{"cmd":"ls"}\x1b\\', b'\x1bP@kitty-cmd{"ok":true}\x1b\\'),
    Exchange("OSC 4", b"\x1b]4;1;?\x07", b"\x1b]4;1;rgb:cdcd/0000/0000\x07"),
    Exchange("OSC 5", b"\x1b]5;0;?\x1b\\", b"\x1b]5;0;rgb:ffff/ffff/ffff\x1b\\"),
    Exchange("OSC 10", b"\x1b]10;?\x1b\\", b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
    Exchange("OSC 11", b"\x1b]11;?\x07", b"\x1b]11;rgb:0000/0000/0000\x07"),
    Exchange("OSC 12", b"\x1b]12;?\x07", b"\x1b]12;rgb:0000/0000/0000\x07"),
    Exchange("OSC 21", b"\x1b]21;foreground=?;cursor=?\x1b\\", b"\x1b]21;foreground=rgb:ff/ff/ff;cursor=\x1b\\"),
    Exchange("OSC 22", b"\x1b]22;?__current__\x1b\\", b"\x1b]22;text\x1b\\"),
    Exchange("OSC 50", b"\x1b]50;?\x07", b"\x1b]50;fixed\x07"),
    Exchange("OSC 52", b"\x1b]52;c;?\x07", b"\x1b]52;c;aGVsbG8=\x07"),
    Exchange("OSC 99", b"\x1b]99;i=1:p=?;\x1b\\", b"\x1b]99;i=1:p=?;a=focus\x1b\\"),
    Exchange("OSC 1337", b"\x1b]1337;ReportCellSize\x07", b"\x1b]1337;ReportCellSize=17.50;8.00;2.0\x1b\\"),
    Exchange("OSC 5522", b"\x1b]5522;type=read;Lg==\x1b\\", b"\x1b]5522;type=read:status=OK\x1b\\"),
    Exchange("focus", b"\x1b[?1004h", b"\x1b[I"),
    Exchange("colour scheme report", b"\x1b[?2031h", b"\x1b[?997;2n"),
    Exchange("visibility report", b"\x1b[?2033h", b"\x1b[?999;1n"),
    Exchange("size report", b"\x1b[?2048h", b"\x1b[48;24;80;480;800t"),
]

KEYS = [
    *(b"a", b"\r", b"\x03", b"\x7f", "\xfc".encode(), b"\x1b", b"\x1ba", b"\x1b\x1b", b"\x1b]", b"\x1bP", b"\x1b_"),
    *(b"\x1b[A", b"\x1b[1;2A", b"\x1bOP", b"\x1bOR", b"\x1b[3~", b"\x1b[3;5~", b"\x1b[Z", b"\x1b[15;2~", b"\x1b[[C"),
    *(b"\x1b[R", b"\x1b[97;5u", b"\x1b[57358u", b"\x1b[27;5;106~", b"\x1b[74;36;106;1;8;1_", b"\x1b[1;5:3A"),
    *(b"\x1b[<0;10;20M", b"\x1b[<0;10;20m", b"\x1b[M !!", b"\x1b[32;10;20M", b"\x1b[23$", b"\x1b[24^", b"\x1b[232z"),
]
"""Keys and mouse reports, none of which has the shape of an answer."""
