"""Choosing one of many machines: the order, the filter, the rows, and which one is pointed at.

No I/O: it is told which keys were pressed and how large the terminal is. A row is never
wider than the terminal less its last column, so that no terminal wraps it; columns keep
their place while the list is filtered or scrolled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cmdop.client.resolver import Resolved, age_text, display_name, fold, resolve
from cmdop.limits import NAME_MAX_CHARS
from cmdop.printable import printable
from cmdop.terminal.cells import GAP, fitted, width_of
from cmdop.winsize import Winsize
from cmdop.wire.relay_messages import MachineRecord

HEADING: Final = ("NAME", "HOSTNAME", "HEARD", "ATTACHED")
_LEAST_CELLS: Final = (8, 8, 5, 8)
"""What a column of HEADING shrinks to, when it has more."""
_FIRST_TO_GO: Final = (1, 3, 2)
"""Which columns are left out where even that is too wide."""
_LINES_AROUND: Final = 7
"""What is not for rows: question, heading, status, and what was said last above them."""


@dataclass(frozen=True)
class Marks:
    """What stands for online, offline, the row that is pointed at, and what was cut off; a cell each."""

    online: str = "●"
    offline: str = "○"
    pointer: str = "»"
    cut: str = "…"


PLAIN_MARKS: Final = Marks("*", "-", ">", "~")
"""For terminals whose encoding lacks the others."""


class Row(NamedTuple):
    """A machine as it is shown: the pointer or a blank, its mark, and the rest."""

    pointer: str
    mark: str
    text: str
    online: bool
    pointed_at: bool


class View(NamedTuple):
    """What there is to be seen: a heading, the rows that fit, and a line about the filter."""

    heading: str
    rows: tuple[Row, ...]
    status: str


def ordered(machines: Sequence[MachineRecord], used: Mapping[str, float]) -> list[MachineRecord]:
    """Most recently used first, then those that are online, then by name. `used`: id -> Unix time."""
    return sorted(
        machines, key=lambda m: (-used.get(m.machine_id, 0.0), not m.online, fold(display_name(m)), m.machine_id)
    )


def host_of(machine: MachineRecord, machines: Sequence[MachineRecord]) -> str:
    """What to type to get this machine again: its name or hostname if that means no other, else its id."""
    for host in (machine.name, machine.hostname):
        if host.isprintable() and resolve(host, machines) == Resolved(machine):
            return host
    return machine.machine_id


def attached_text(machine: MachineRecord) -> str:
    """Who opened the machine's session, and how many others watch; empty where there is none."""
    session = machine.session
    if session is None:
        return ""
    more = " (left)" if session.clients == 0 else f" +{session.clients - 1}" if session.clients > 1 else ""
    return printable(session.operator) + more


def column_widths(natural: Sequence[int], room: int) -> tuple[int, ...]:
    """Cells of each column of HEADING in `room` cells, gaps included; 0 for one that is left out or needs none.

    The widest ones give way first.
    """
    least = [min(wide, few) for wide, few in zip(natural, _LEAST_CELLS, strict=True)]
    kept = {column for column, wide in enumerate(natural) if wide}
    for column in _FIRST_TO_GO:
        if sum(least[c] for c in kept) + len(GAP) * (len(kept) - 1) <= room:
            break
        kept.discard(column)
    widths = [natural[c] if c in kept else 0 for c in range(len(natural))]
    if len(kept) == 1:
        (last,) = kept
        widths[last] = max(0, min(widths[last], room))
        return tuple(widths)
    while kept and sum(widths) + len(GAP) * (len(kept) - 1) > room:
        widest = max(kept, key=lambda c: widths[c] - least[c])
        widths[widest] -= 1
    return tuple(widths)


def _cells(machine: MachineRecord) -> tuple[str, ...]:
    heard = age_text(machine.heartbeat_age_seconds) if machine.last_seen or machine.online else "never"
    return display_name(machine), printable(machine.hostname), heard, attached_text(machine)


def _searched(machine: MachineRecord) -> str:
    """What a filter is looked for in; an id without its dashes, too."""
    machine_id = machine.machine_id.lower()
    return "\n".join((fold(machine.name), fold(machine.hostname), machine_id, machine_id.replace("-", "")))


class Choosing:
    """A choice that is being made. For one thread."""

    def __init__(self, machines: Sequence[MachineRecord], used: Mapping[str, float], marks: Marks = Marks()) -> None:
        self._used, self._marks = used, marks
        self.filter = ""
        """What was typed."""
        self.trouble = ""
        """Why the list is not as fresh as it should be, for the status line."""
        self._at = self._top = 0
        self._shown: list[MachineRecord] = []
        self.replace(machines)

    @property
    def pointed_at(self) -> MachineRecord | None:
        """None where the filter leaves nothing."""
        return self._shown[self._at] if self._shown else None

    @property
    def machines(self) -> Sequence[MachineRecord]:
        """All of them, in their order."""
        return self._machines

    def replace(self, machines: Sequence[MachineRecord]) -> None:
        """The machines as they are now; the filter and the machine that is pointed at stay."""
        before = self.pointed_at
        self._machines = ordered(machines, self._used)
        self._searched = [_searched(machine) for machine in self._machines]
        self._natural = [max(map(width_of, column)) for column in zip(HEADING, *map(_cells, machines), strict=True)]
        self._sift()
        ids = [machine.machine_id for machine in self._shown]
        if before is not None and before.machine_id in ids:
            self._at = ids.index(before.machine_id)
        self._at = max(0, min(self._at, len(ids) - 1))

    # -- keys -------------------------------------------------------------------------------

    def typed(self, text: str) -> None:
        """More of the filter; every word of it has to be somewhere in a name, a hostname or an id."""
        self._search((self.filter + "".join(c for c in text if c.isprintable()))[:NAME_MAX_CHARS])

    def rub_out(self) -> None:
        self._search(self.filter[:-1])

    def rub_out_word(self) -> None:
        self._search(self.filter.rstrip().rpartition(" ")[0])

    def clear(self) -> None:
        self._search("")

    def move(self, rows: int) -> None:
        """Down, or up; by one it goes round at the ends."""
        count = len(self._shown)
        if count:
            self._at = (self._at + rows) % count if abs(rows) == 1 else max(0, min(self._at + rows, count - 1))

    # -- what is seen --------------------------------------------------------------------------

    def view(self, winsize: Winsize) -> View:
        """What a terminal of this size shows; the row that is pointed at is among the rows."""
        cols = max(0, winsize.cols - 1)
        count = max(1, winsize.rows - _LINES_AROUND)
        self._top = max(self._at - count + 1, min(self._top, self._at, len(self._shown) - count), 0)
        indent = width_of(self._marks.pointer + self._marks.online) + 2
        widths = self._widths(cols - indent)
        visible = enumerate(self._shown[self._top : self._top + count], self._top)
        rows = tuple(self._row(machine, number == self._at, widths, cols - indent) for number, machine in visible)
        return View(
            self._cut(" " * indent + self._line(HEADING, widths), cols), rows, self._cut(self._status(cols), cols)
        )

    def _widths(self, room: int) -> tuple[int, ...]:
        """Where it is narrow, a column that nobody has anything in gives way to the others."""
        if sum(self._natural) + len(GAP) * (len(HEADING) - 1) <= room or any(map(attached_text, self._machines)):
            return column_widths(self._natural, room)
        return column_widths([*self._natural[:-1], 0], room)

    def _search(self, wanted: str) -> None:
        if wanted != self.filter:
            self.filter, self._at, self._top = wanted, 0, 0
            self._sift()

    def _sift(self) -> None:
        words = fold(self.filter).split()
        pairs = zip(self._machines, self._searched, strict=True)
        self._shown = [machine for machine, text in pairs if all(word in text for word in words)]

    def _row(self, machine: MachineRecord, pointed_at: bool, widths: Sequence[int], room: int) -> Row:
        pointer = self._marks.pointer if pointed_at else " " * width_of(self._marks.pointer)
        mark = self._marks.online if machine.online else self._marks.offline
        if room <= 0:
            return Row("", "", "", machine.online, pointed_at)
        return Row(pointer, mark, self._line(_cells(machine), widths), machine.online, pointed_at)

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        columns = zip(cells, widths, strict=True)
        return GAP.join(fitted(cell, wide, self._marks.cut) for cell, wide in columns if wide).rstrip()

    def _status(self, cols: int) -> str:
        counted = f"{len(self._shown)} of {len(self._machines)}"
        if self.trouble:
            return f"{counted}, as they were: {printable(self.trouble)}"
        if not self.filter:
            offline = "" if any(machine.online for machine in self._machines) else ", none online"
            return f"{len(self._machines)} machine{'s' if len(self._machines) != 1 else ''}{offline}"
        # Its end is what is being typed.
        room = max(0, cols - len(counted) - len("/   "))
        shown = self.filter
        while width_of(shown) > room:
            shown = shown[1:]
        return f"/ {shown}  {counted}"

    def _cut(self, text: str, cols: int) -> str:
        return fitted(text, cols, self._marks.cut).rstrip()
