"""Which machine a HOST means: one rule for every verb that takes one.

The first of these that matches any machine decides; what comes after it is not looked
at, so that a query never means a machine that only a weaker rule would find:

1. the shape of a full UUID: ids only, nothing else is tried;
2. exactly the hostname, a trailing `.local` ignored on both sides;
3. exactly the friendly name;
4. the beginning of an id: hex, 4 characters or more;
5. the beginning of a hostname or a name; then a part of either.

Case never matters (Unicode case folding). Rules 4 and 5 need two characters. If the
rule that decides matches several machines, the query is ambiguous: none is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cmdop.errors import AmbiguousMachine, HostMissing, MachineOffline, NoSuchMachine
from cmdop.limits import UUID_PREFIX_MIN_CHARS
from cmdop.printable import printable
from cmdop.terminal.cells import aligned
from cmdop.wire.relay_messages import MachineRecord

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UUID_PREFIX = re.compile(rf"[0-9a-f-]{{{UUID_PREFIX_MIN_CHARS},}}")
_ID_SHOWN_CHARS = 8
_NEAREST_MAX = 3
_CANDIDATES_SHOWN_MAX = 20


@dataclass(frozen=True)
class Resolved:
    """The query means this machine."""

    machine: MachineRecord


@dataclass(frozen=True)
class Several:
    """The rule `rule` matches more than one machine; they are in the order given."""

    query: str
    candidates: tuple[MachineRecord, ...]
    rule: str


@dataclass(frozen=True)
class Nothing:
    """No rule matches. `nearest` are names that look alike, the most alike first.

    `too_short`: a machine might begin with the query, which is a single character.
    """

    query: str
    nearest: tuple[str, ...] = ()
    too_short: bool = False


Match = Resolved | Several | Nothing


def resolve(query: str, machines: Sequence[MachineRecord]) -> Match:
    """What `query` means among `machines`. Never raises, prompts or looks elsewhere."""
    query = query.strip()
    wanted = fold(query)
    if not wanted:
        return Nothing(query)
    for rule, matches in _rules(wanted):
        found = tuple(machine for machine in machines if matches(machine))
        if len(found) == 1:
            return Resolved(found[0])
        if found:
            return Several(query, found, rule)
    if _UUID.fullmatch(wanted):
        return Nothing(query)
    return Nothing(query, _nearest(wanted, machines), too_short=len(wanted) == 1)


def one(query: str, machines: Sequence[MachineRecord]) -> MachineRecord:
    """The machine that `query` means. Raises HostMissing, NoSuchMachine or AmbiguousMachine."""
    match = resolve(query, machines)
    if isinstance(match, Resolved):
        return match.machine
    if isinstance(match, Several):
        raise AmbiguousMachine(
            query=match.query,
            rule=match.rule,
            candidates=format_candidates(match.candidates),
            machines=[_as_detail(machine) for machine in match.candidates],
        )
    if not match.query:
        raise HostMissing
    raise NoSuchMachine(query=match.query, nearest=_advice(match, bool(machines)), names=list(match.nearest))


def require_online(machine: MachineRecord, now: float) -> MachineRecord:
    """The machine, if it is online. Raises MachineOffline. `now` is Unix time in seconds."""
    if machine.online:
        return machine
    raise MachineOffline(
        name=display_name(machine), machine_id=machine.machine_id, last_heard=last_heard_text(machine, now)
    )


def display_name(machine: MachineRecord) -> str:
    """What to call a machine: its friendly name, else its hostname. Safe to print."""
    return printable(machine.name or machine.hostname or machine.machine_id)


def age_text(seconds: float) -> str:
    """An age in its largest whole unit: `3s`, `4m`, `2h`, `5d`."""
    value, unit = _largest_unit(seconds)
    return f"{value}{unit}"


def last_heard_text(machine: MachineRecord, now: float) -> str:
    """When an offline machine was last heard, and how it went."""
    if not machine.last_seen:
        return "it was never heard"
    value, unit = _largest_unit(now - machine.last_seen)
    ago = f"{value} {'min' if unit == 'm' else unit} ago"
    if machine.stopped_cleanly:
        return f"last heard {ago}, it stopped cleanly"
    return f"last heard {ago}, then its connection broke off or it vanished"


def format_candidates(machines: Sequence[MachineRecord]) -> str:
    """Machines to choose from, one line each: id prefix, hostname, name, online."""
    shown = machines[:_CANDIDATES_SHOWN_MAX]
    length = _distinct_length([machine.machine_id for machine in shown])
    rows = [
        (
            machine.machine_id[:length],
            printable(machine.hostname),
            printable(machine.name),
            "online" if machine.online else "offline",
        )
        for machine in shown
    ]
    lines = [f"  {line}" for line in aligned(rows)]
    if len(machines) > len(shown):
        lines.append(f"  and {len(machines) - len(shown)} more: cmdop connect --list")
    return "\n".join(lines)


def _rules(wanted: str) -> list[tuple[str, Callable[[MachineRecord], bool]]]:
    """The rules that apply to a folded query, the strongest first."""
    if _UUID.fullmatch(wanted):
        return [("id", lambda machine: machine.machine_id.lower() == wanted)]
    host = _without_local(wanted)
    rules: list[tuple[str, Callable[[MachineRecord], bool]]] = [
        ("hostname", lambda machine: _without_local(fold(machine.hostname)) == host),
        ("name", lambda machine: fold(machine.name) == wanted),
    ]
    if _UUID_PREFIX.fullmatch(wanted):
        rules.append(("id prefix", lambda machine: _begins_id(wanted, machine.machine_id.lower())))
    if len(wanted) > 1:
        rules.append(("prefix", lambda machine: any(name.startswith(wanted) for name in _names(machine))))
        rules.append(("substring", lambda machine: any(wanted in name for name in _names(machine))))
    return rules


def fold(text: str) -> str:
    """Equal for texts that differ in case, or in how their accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _without_local(hostname: str) -> str:
    return hostname.removesuffix(".local") or hostname


def _begins_id(wanted: str, machine_id: str) -> bool:
    """Whether an id begins so, written with its dashes or without."""
    return machine_id.startswith(wanted) or machine_id.replace("-", "").startswith(wanted)


def _names(machine: MachineRecord) -> tuple[str, str]:
    return fold(machine.hostname), fold(machine.name)


def _nearest(wanted: str, machines: Sequence[MachineRecord]) -> tuple[str, ...]:
    import difflib  # only for who mistyped

    spellings: dict[str, str] = {}
    for machine in machines:
        for name in (machine.name, machine.hostname):
            if name:
                spellings.setdefault(_without_local(fold(name)), printable(name))
    return tuple(spellings[name] for name in difflib.get_close_matches(wanted, spellings, n=_NEAREST_MAX))


def _advice(match: Nothing, any_machines: bool) -> str:
    """What to type after a query that matched nothing."""

    if not any_machines:
        return "this workspace has no machines yet; on one of them, run: cmdop agent start"
    if match.too_short:
        return "one character is not enough to tell machines apart: type two or more, or the whole name"
    if match.nearest:
        return f"did you mean {' or '.join(match.nearest)}? cmdop connect --list shows all"
    return "see which there are: cmdop connect --list"


def _distinct_length(ids: Sequence[str]) -> int:
    """How much of these ids has to be shown to tell them apart, at least eight characters."""
    length = _ID_SHOWN_CHARS
    while len({one_id[:length] for one_id in ids}) < len(set(ids)):
        length += 1
    return length


def _largest_unit(seconds: float) -> tuple[int, str]:
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return whole // size, unit
    return whole, "s"


def _as_detail(machine: MachineRecord) -> dict[str, object]:
    return {
        "machine_id": machine.machine_id,
        "hostname": machine.hostname,
        "name": machine.name,
        "online": machine.online,
    }
