"""`cmdop connect key create|list|revoke`: the workspace's keys, for its admin on any client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cmdop.auth.credentials import find_credential
from cmdop.auth.keys import ApiKey, Role
from cmdop.cli.connect_flags import Flags, takes_flags
from cmdop.cli.key_show import key_row, print_new_key, print_revoked, print_rows
from cmdop.cli.options import home

if TYPE_CHECKING:
    from cmdop.client.link import RelayLink
    from cmdop.wire.relay_messages import KeyAbout


class _Admin(NamedTuple):
    """An admin's key, and a connection to its relay."""

    key: ApiKey
    link: RelayLink

    @property
    def workspace(self) -> str:
        return self.link.welcome.workspace


@click.command("create")
@click.option("--label", metavar="WHO", required=True, help="Whose it is: the operator's name.")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What it is for.")
@takes_flags
def create_key(flags: Flags, label: str, role: str) -> None:
    """Make a key of the workspace and print it, once. Needs an admin's key.

    The key is made here; the relay only gets a hash of the half that it checks.

    \b
      cmdop connect key create --label anna --role operator > anna.key
    """
    from cmdop.client import key_admin

    with _admin(flags, "making keys") as admin:
        made = key_admin.create_key(admin.link, admin.key, label, Role(role))
        print_new_key(made, admin.workspace, label, flags.as_json)


@click.command("list")
@takes_flags
def list_keys(flags: Flags) -> None:
    """List the workspace's keys, masked. Needs an admin's key.

    \b
      cmdop connect key list
    """
    from cmdop.client import key_admin

    with _admin(flags, "listing keys") as admin:
        rows = [_row(about, admin.workspace) for about in key_admin.all_keys(admin.link)]
    print_rows(rows, flags.as_json)


@click.command("revoke")
@click.argument("key_id")
@click.option(
    "--last-admin", is_flag=True, help="Revoke it though no other admin key is left: no keys can be made then."
)
@takes_flags
def revoke_key(flags: Flags, key_id: str, last_admin: bool) -> None:
    """Revoke a key and close its open connections, at once. Needs an admin's key.

    KEY_ID may be as the list shows it, or its beginning. Machines that were enrolled
    with the key stay: cmdop relay machine remove cuts them.

    \b
      cmdop connect key revoke 8f23a4b0
    """
    from cmdop.client import key_admin

    with _admin(flags, "revoking keys") as admin:
        changed = key_admin.revoke_key(admin.link, key_id, last_admin)
        row = _row(changed.key, admin.workspace)
    print_revoked(row, changed.closed_connections, changed.admins_left, flags.as_json)


@contextmanager
def _admin(flags: Flags, what: str) -> Iterator[_Admin]:
    """Raises RoleTooLow, without asking the relay, for any key but an admin's."""
    from cmdop.client.connect import reach_relay
    from cmdop.client.key_admin import need_admin

    credential = find_credential(home(), flags.given)
    need_admin(credential.key, what)
    link = reach_relay(credential, flags.way, want_machines=False)
    try:
        yield _Admin(credential.key, link)
    finally:
        link.close()


def _row(about: KeyAbout, workspace_name: str) -> dict[str, Any]:
    return key_row(
        about.key_id,
        about.label,
        about.role,
        workspace_name,
        created=about.created,
        last_used=about.last_used,
        revoked=about.revoked,
    )
