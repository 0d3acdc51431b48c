"""`cmdop connect machine accept|list|forget`: the machines whose keys this client knows."""

from __future__ import annotations

import time
from typing import Any

import click

from cmdop.auth.credentials import Credential, find_credential
from cmdop.auth.device import device_key
from cmdop.auth.fingerprint import fingerprint as fingerprint_of
from cmdop.auth.known_machines import KnownMachine, Sighting, all_known, date_of, forget
from cmdop.cli.connect_flags import Flags, takes_flags
from cmdop.cli.machine_keys import known_machines
from cmdop.cli.options import home, json_option
from cmdop.cli.output import print_json, print_table
from cmdop.cli.progress import say
from cmdop.cli.prompt import ask_text, can_ask
from cmdop.errors import AmbiguousMachine, FingerprintDiffers, NoSuchMachine
from cmdop.limits import UUID_PREFIX_MIN_CHARS
from cmdop.transport.way import Way


@click.group()
def machine() -> None:
    """The machines whose keys are known here: each is kept when it is first seen.

    \b
      cmdop connect machine list
      cmdop connect machine accept prod-api-1
    """


@machine.command("accept")
@click.argument("host")
@click.option("--fingerprint", metavar="SHA256:...", help="Only if its key has this fingerprint.")
@takes_flags
def accept(flags: Flags, host: str, fingerprint: str | None) -> None:
    """Let HOST in with the key that it has now, from now on.

    It has to be online. Compare the fingerprint with what `cmdop agent status` shows on
    the machine itself.

    \b
      cmdop connect machine accept prod-api-1
    """
    credential = find_credential(home(), flags.given)
    seen = _look(credential, host, flags.way)
    shown = fingerprint_of(seen.key)
    if fingerprint is not None and fingerprint.strip() != shown:
        raise FingerprintDiffers(name=seen.name, fingerprint=shown, wanted=fingerprint.strip())
    if fingerprint is None and can_ask() and not flags.no_interactive:
        _confirm(seen.name, shown)
    before = known_machines(home(), credential).accept(seen)
    if flags.as_json:
        kept_before = None if before is None else fingerprint_of(before.key)
        fields = {"machine_id": seen.machine_id, "name": seen.name}
        print_json({**fields, "fingerprint": shown, "fingerprint_before": kept_before})
    else:
        say(f"{seen.name} is known with the key {shown} now{_instead_of(before, seen)}")


@machine.command("list")
@json_option
def list_machines(as_json: bool) -> None:
    """List the machines that are known here, of all workspaces.

    \b
      cmdop connect machine list
    """
    known = all_known(home())
    if as_json:
        print_json([_fields(one) for one in known])
    elif known:
        rows = [[str(value) for value in _fields(one).values()] for one in known]
        print_table(("MACHINE", "NAME", "WORKSPACE", "RELAY", "KEY", "SINCE"), rows)
    else:
        say("no machine is known here: each is kept when you first connect to it")


@machine.command("forget")
@click.argument("host")
@click.option("--workspace", metavar="NAME", help="Only a machine of this workspace.")
@json_option
def forget_machine(host: str, workspace: str | None, as_json: bool) -> None:
    """Forget the key of HOST: a name, an id or its beginning. It is new here when it is seen again.

    \b
      cmdop connect machine forget prod-api-1
    """
    found = _known(host, workspace)
    forget(home(), found)
    if as_json:
        print_json(_fields(found))
    else:
        say(f"the key of {found.name} ({found.machine_id}) is forgotten")


def _look(credential: Credential, host: str, way: Way) -> Sighting:
    from cmdop.client.connect import reach_relay
    from cmdop.client.look import look_at
    from cmdop.client.resolver import one, require_online

    link = reach_relay(credential, way)
    try:
        found = require_online(one(host, link.machines()), time.time())
        return look_at(link, found, credential.key, device_key(home()))
    finally:
        link.close()


def _confirm(name: str, shown: str) -> None:
    """Raises click.Abort unless the user says yes."""
    say(f"the key of {name} is {shown}")
    if ask_text("Is that what cmdop agent status shows there? yes or no", "no").lower() not in ("y", "yes"):
        say("nothing was accepted")
        raise click.Abort


def _instead_of(before: KnownMachine | None, seen: Sighting) -> str:
    if before is None or before.key == seen.key:
        return ""
    return f", and no more with {fingerprint_of(before.key)}"


def _known(host: str, workspace: str | None) -> KnownMachine:
    """Raises NoSuchMachine, AmbiguousMachine."""
    wanted = host.strip().lower()
    here = [one for one in all_known(home()) if workspace in (None, one.workspace)]
    found = [one for one in here if wanted in (one.machine_id, one.name.lower())]
    if not found and len(wanted) >= UUID_PREFIX_MIN_CHARS:
        found = [one for one in here if one.machine_id.startswith(wanted)]
    if not found:
        raise NoSuchMachine(query=host, nearest="those that are known: cmdop connect machine list")
    if len(found) > 1:
        lines = [f"  {one.machine_id}  {one.name}  {one.workspace}  {one.relay}" for one in found]
        raise AmbiguousMachine(query=host, candidates="\n".join(lines))
    return found[0]


def _fields(known: KnownMachine) -> dict[str, Any]:
    return {
        "machine_id": known.machine_id,
        "name": known.name,
        "workspace": known.workspace,
        "relay": known.relay,
        "fingerprint": fingerprint_of(known.key),
        "since": date_of(known.since),
    }
