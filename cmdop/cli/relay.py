"""`cmdop relay`: run a relay, and keep its workspaces, keys and machines.

The commands but `serve` change the records of a relay on this host; one that is running
over the same --db acts on them before the command returns.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from cmdop.auth.keys import Role, parse_key
from cmdop.cli.key_show import count, date, key_row, print_new_key, print_revoked, print_rows
from cmdop.cli.options import api_key_option, json_option
from cmdop.cli.output import print_json, print_table
from cmdop.cli.relay_options import db_option
from cmdop.cli.relay_serve import serve
from cmdop.errors import AdminKeyMissing
from cmdop.relay import admin
from cmdop.relay.directory import readable_age
from cmdop.store.interface import KeyRecord, MachineRow
from cmdop.store.sqlite import SqliteStore


@click.group()
def relay() -> None:
    """Run and administer a relay.

    \b
      cmdop relay workspace create home > admin.key
      cmdop relay serve --listen 127.0.0.1:7420
    """


relay.add_command(serve)


# -- workspaces ---------------------------------------------------------------------------


@relay.group("workspace")
def workspaces() -> None:
    """Workspaces: each has its own keys and machines.

    \b
      cmdop relay workspace create home > admin.key
    """


@workspaces.command("create")
@click.argument("name")
@click.option("--label", metavar="WHO", default="admin", show_default=True, help="Whose the first key is.")
@db_option
@json_option
def create_workspace(name: str, label: str, db: Path, as_json: bool) -> None:
    """Create a workspace and print its first admin key, once.

    \b
      cmdop relay workspace create home > admin.key
    """
    with closing(SqliteStore(db)) as store:
        key = admin.create_workspace(store, name, label, time.time())
    print_new_key(key, name, label, as_json)


@workspaces.command("list")
@db_option
@json_option
def list_workspaces(db: Path, as_json: bool) -> None:
    """List the workspaces.

    \b
      cmdop relay workspace list
    """
    with closing(SqliteStore(db, create=False)) as store:
        rows = [
            {
                "workspace": workspace.name,
                "created": date(workspace.created),
                "keys": sum(key.revoked_at is None for key in store.keys(workspace.name)),
                "machines": store.count_machines(workspace.name),
            }
            for workspace in store.workspaces()
        ]
    print_rows(rows, as_json)


# -- keys ---------------------------------------------------------------------------------


@relay.group("key")
def keys() -> None:
    """API keys. The relay never sees the half that opens sessions.

    \b
      cmdop relay key list
    """


@keys.command("create")
@click.option("--workspace", "workspace_name", metavar="NAME", required=True, help="The workspace.")
@click.option("--label", metavar="WHO", required=True, help="Whose it is: the operator's name.")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What it is for.")
@api_key_option
@db_option
@json_option
def create_key(workspace_name: str, label: str, role: str, api_key: str | None, db: Path, as_json: bool) -> None:
    """Make a key and print it, once.

    The workspace's admin key gives the new one its private half. An agent's key is
    for enrolling machines: each gets a token of its own then, so revoking the key
    later cuts none of them (cmdop relay machine remove does).

    \b
      export CMDOP_API_KEY=ck_...
      cmdop relay key create --workspace home --label anna --role operator
    """
    if not api_key:
        raise AdminKeyMissing(workspace=workspace_name)
    with closing(SqliteStore(db, create=False)) as store:
        made = admin.create_key(store, parse_key(api_key), workspace_name, label, Role(role), time.time())
    print_new_key(made, workspace_name, label, as_json)


@keys.command("list")
@click.option("--workspace", "workspace_name", metavar="NAME", help="Only those of this workspace.")
@db_option
@json_option
def list_keys(workspace_name: str | None, db: Path, as_json: bool) -> None:
    """List the keys, masked.

    \b
      cmdop relay key list --workspace home
    """
    with closing(SqliteStore(db, create=False)) as store:
        rows = [_key_row(record) for record in store.keys(workspace_name)]
    print_rows(rows, as_json)


@keys.command("revoke")
@click.argument("key_id")
@db_option
@json_option
def revoke_key(key_id: str, db: Path, as_json: bool) -> None:
    """Revoke a key and close its open connections.

    KEY_ID may be as the list shows it, or its beginning. Machines that were enrolled
    with the key stay: cmdop relay machine remove cuts them.

    \b
      cmdop relay key revoke 8f23a4b0
    """
    from cmdop.relay.control import tell_key_revoked

    with closing(SqliteStore(db, create=False)) as store:
        record, admins_left = admin.revoke_key(store, key_id, time.time())
    closed = tell_key_revoked(db, record.key_id)
    print_revoked(_key_row(record), closed, admins_left, as_json)


# -- machines -----------------------------------------------------------------------------


@relay.group("machine")
def machines() -> None:
    """Enrolled machines.

    \b
      cmdop relay machine list
    """


@machines.command("list")
@click.option("--workspace", "workspace_name", metavar="NAME", help="Only those of this workspace.")
@db_option
@json_option
def list_machines(workspace_name: str | None, db: Path, as_json: bool) -> None:
    """List the enrolled machines.

    \b
      cmdop relay machine list --workspace home
    """
    from cmdop.relay.control import ask_online

    with closing(SqliteStore(db, create=False)) as store:
        enrolled = store.machines(workspace_name)
    online = ask_online(db)
    if as_json:
        print_json([_machine_fields(row, online.get(row.machine_id)) for row in enrolled])
        return
    rows = [_machine_cells(row, online.get(row.machine_id)) for row in enrolled]
    print_table(("MACHINE", "NAME", "HOSTNAME", "WORKSPACE", "LAST HEARD"), rows)


@machines.command("remove")
@click.argument("machine_id")
@db_option
@json_option
def remove_machine(machine_id: str, db: Path, as_json: bool) -> None:
    """Remove a machine: its token is void, and its connection is closed.

    MACHINE_ID may be the beginning of one. The machine comes back only when it is
    enrolled anew, with a key.

    \b
      cmdop relay machine remove 8f23a4b0
    """
    from cmdop.relay.control import tell_machine_removed

    with closing(SqliteStore(db, create=False)) as store:
        row = admin.remove_machine(store, machine_id)
    closed = tell_machine_removed(db, row.machine_id)
    if as_json:
        print_json({"machine_id": row.machine_id, "name": row.name, "closed_connections": closed})
    else:
        click.echo(f"removed {row.name} ({row.machine_id}), {count(closed, 'connection')} closed", err=True)


# -- how it looks -------------------------------------------------------------------------


def _key_row(record: KeyRecord) -> dict[str, Any]:
    return key_row(
        record.key_id,
        record.label,
        record.role,
        record.workspace,
        created=record.created,
        last_used=record.last_used,
        revoked=record.revoked_at,
    )


def _machine_fields(row: MachineRow, online_age: float | None) -> dict[str, Any]:
    age = online_age if online_age is not None else max(0.0, time.time() - row.last_seen)
    return {
        "machine_id": row.machine_id,
        "hostname": row.hostname,
        "name": row.name,
        "online": online_age is not None,
        "heartbeat_age_seconds": round(age, 3),
        "last_seen": date(time.time() - age),
        "workspace": row.workspace,
        "agent_version": row.agent_version,
        "stopped_cleanly": row.stopped_cleanly,
        "created": date(row.created),
    }


def _machine_cells(row: MachineRow, online_age: float | None) -> tuple[str, ...]:
    if online_age is not None:
        heard = f"online, {readable_age(online_age)}"
    else:
        how = "stopped" if row.stopped_cleanly else "broke off"
        heard = f"{how} {readable_age(max(0.0, time.time() - row.last_seen))} ago"
    return row.machine_id, row.name, row.hostname, row.workspace, heard
