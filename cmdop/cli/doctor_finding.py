"""What a check of `cmdop doctor` found, and how each is run: in its own time, and whatever it raises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from cmdop.auth.credentials import Credential, Given
from cmdop.cli.debug import note
from cmdop.errors import CmdopError
from cmdop.limits import DIAL_TIMEOUT_SECONDS
from cmdop.transport.way import PLAIN_WAY, Way

if TYPE_CHECKING:
    from cmdop.client.link import RelayLink
    from cmdop.transport.address import ServerAddress
    from cmdop.transport.probe import Answer

PATIENCE_SECONDS: Final = DIAL_TIMEOUT_SECONDS
"""How long one check may take. What it waits for on the network may give up before, and says more."""


class Status(StrEnum):
    """How it is. Only FAIL makes the whole fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """What a check found. `fix` is what to do, empty where there is nothing to do."""

    status: Status
    detail: str
    fix: str = ""


@dataclass
class Subject:
    """What is looked at; and what earlier checks found out for later ones.

    A check that was given up may still write here, later than anybody reads it.
    """

    given: Given = field(default_factory=Given)
    way: Way = PLAIN_WAY
    server: ServerAddress | None = None
    credential: Credential | None = None
    no_credential: CmdopError | None = None
    """Why there is none."""
    answer: Answer | None = None
    link: RelayLink | None = None


@dataclass(frozen=True)
class Check:
    """One line of the list. It is not tried when the check that it `needs` did not succeed."""

    name: str
    look: Callable[[Subject], Finding]
    needs: str = ""


class Found(NamedTuple):
    """A check's name and what it found."""

    name: str
    finding: Finding


def examine(
    checks: Sequence[Check],
    subject: Subject,
    tell: Callable[[Found], None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[Found]:
    """Run the checks in their order; `tell` is told of each as it is done."""
    found: list[Found] = []
    missing: dict[str, str] = {}
    """Every check that did not succeed, and the one that is the cause."""
    for check in checks:
        if check.needs in missing:
            cause = missing[check.name] = missing[check.needs]
            finding = Finding(Status.WARN, f"not tried, because of: {cause}")
        else:
            finding = _run(check, subject, patience_seconds)
            if finding.status is Status.FAIL:
                missing[check.name] = check.name
        found.append(Found(check.name, finding))
        tell(found[-1])
    return found


def from_error(error: Exception, status: Status = Status.FAIL) -> Finding:
    """What went wrong, as a finding."""
    note(error)
    if isinstance(error, CmdopError):
        return Finding(status, error.sentence, error.next_step)
    ours = CmdopError(reason=f"{type(error).__name__}: {error}")
    return Finding(status, ours.sentence, ours.next_step)


def _run(check: Check, subject: Subject, patience_seconds: float) -> Finding:
    """What it finds in time.

    The thread `doctor NAME` blocks wherever the check does, in the system's resolver or
    a keyring that asks its user, and ends with it; it is left behind when that takes too
    long, for we are about to end as well.
    """
    findings: list[Finding] = []

    def look() -> None:
        try:
            findings.append(check.look(subject))
        except Exception as error:  # noqa: BLE001 - whatever is broken is what we look for
            findings.append(from_error(error))

    thread = threading.Thread(target=look, name=f"doctor {check.name}", daemon=True)
    thread.start()
    thread.join(patience_seconds)
    return findings[0] if findings else Finding(Status.FAIL, f"no answer within {patience_seconds:g} s")
