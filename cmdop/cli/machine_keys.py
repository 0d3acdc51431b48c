"""What a client says about machines that it did not know, and which of them it lets in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cmdop.auth.known_machines import FirstSight, KnownMachines, MachineKeys, Sighting
from cmdop.cli.options import here_or_before
from cmdop.cli.progress import say
from cmdop.cli.sight import first_sight_text, unkept_text
from cmdop.errors import KnownMachinesCorrupt
from cmdop.transport.address import parse_server

if TYPE_CHECKING:
    from cmdop.auth.credentials import Credential
    from cmdop.home import Home

F = TypeVar("F", bound=Callable[..., Any])


def machine_keys_option(command: F) -> F:
    """--machine-keys, which arrives as a text."""
    option = click.option(
        "--machine-keys",
        type=click.Choice([policy.value for policy in MachineKeys]),
        callback=here_or_before,
        default=MachineKeys.ACCEPT_NEW.value,
        show_default=True,
        help="Whether machines that are new here are let in; one whose key has changed never is.",
    )
    return option(command)


def tell(text: str) -> None:
    """Something that the user is to know, beside a verb's result."""
    say(f"cmdop: {text}")


def known_machines(
    where: Home,
    credential: Credential,
    policy: str = MachineKeys.ACCEPT_NEW.value,
    tell: Callable[[str], None] = tell,
) -> KnownMachines:
    """The machines that are known of the credential's workspace.

    That a file cannot be understood, and is set aside, is told; with the policy strict it is
    the end. Raises KnownMachinesCorrupt then, and HomeUnusable.
    """
    known = KnownMachines(where, parse_server(credential.server).url, credential.workspace, MachineKeys(policy))
    try:
        known.load()
    except KnownMachinesCorrupt as error:
        if known.policy is MachineKeys.STRICT:
            raise
        tell(f"{error.sentence} ({error.next_step})")
    return known


class ToldMachines:
    """Known machines, of which those that are new are told on stderr when they have proved what they are."""

    def __init__(self, known: KnownMachines) -> None:
        self._known = known
        self._new: dict[str, FirstSight] = {}

    def check(self, seen: Sighting) -> FirstSight | None:
        sight = self._known.check(seen)
        if sight is not None:
            self._new[seen.machine_id] = sight
        return sight

    def proven(self, *seen: Sighting) -> None:
        self._known.proven(*seen)
        told = [self._new.pop(one.machine_id) for one in seen if one.machine_id in self._new]
        for sight in told:
            tell(first_sight_text(sight))
        if told and self._known.unkept is not None:
            tell(unkept_text(self._known.unkept))
