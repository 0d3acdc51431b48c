"""`cmdop connect --list`: the machines of the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmdop.auth.credentials import find_credential
from cmdop.cli.options import home
from cmdop.cli.output import print_json, print_table
from cmdop.cli.progress import say
from cmdop.cli.times import rfc3339
from cmdop.client.connect import reach_relay
from cmdop.client.resolver import age_text
from cmdop.wire.relay_messages import MachineRecord

if TYPE_CHECKING:
    from cmdop.cli.connect import ConnectOptions


def list_all(options: ConnectOptions) -> int:
    """Print the machines, online ones first, then by name."""
    credential = find_credential(home(), options.given)
    link = reach_relay(credential, options.way)
    try:
        machines = [m for m in link.machines() if m.online or not options.online]
        workspace = link.welcome.workspace
    finally:
        link.close()
    machines.sort(key=lambda m: (not m.online, m.name.casefold(), m.machine_id))
    if options.as_json:
        print_json([_document(m, workspace) for m in machines])
        return 0
    if not machines:
        say(f'no machines in workspace "{workspace}"')
        say("add one: cmdop agent start --server URL --api-key KEY")
        return 0
    print_table(("NAME", "HOSTNAME", "ID", "ONLINE", "HEARTBEAT", "SESSION"), [_row(m) for m in machines])
    return 0


def _row(m: MachineRecord) -> tuple[str, ...]:
    session = f"{m.session.operator} ({m.session.session_id[:8]})" if m.session else "-"
    heard = f"{age_text(m.heartbeat_age_seconds)} ago"
    return m.name, m.hostname, m.machine_id[:8], "yes" if m.online else "no", heard, session


def _document(m: MachineRecord, workspace: str) -> dict[str, Any]:
    session = None
    if m.session is not None:
        session = {
            "session_id": m.session.session_id,
            "operator": m.session.operator,
            "clients": m.session.clients,
        }
    return {
        "machine_id": m.machine_id,
        "hostname": m.hostname,
        "name": m.name,
        "online": m.online,
        "heartbeat_age_seconds": round(m.heartbeat_age_seconds, 3),
        "last_seen": rfc3339(m.last_seen),
        "workspace": workspace,
        "agent_version": m.agent_version,
        "session": session,
    }
