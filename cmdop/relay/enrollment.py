"""How a machine comes to belong to a workspace.

An agent shows an agent's or an admin's key once; the relay keeps the machine and gives
it a token of its own, with which it comes from then on. So revoking that key cuts no
machine: `cmdop relay machine remove` does.
"""

from __future__ import annotations

import logging
import os
from typing import Final

from cmdop.auth.keys import Role, half_hash
from cmdop.errors import EnrollmentRefused, NoSuchRecord, RecordExists, RemoteProtocolError, RoleTooLow
from cmdop.limits import MACHINES_PER_WORKSPACE_MAX
from cmdop.relay.names import check_heard
from cmdop.relay.peer import Caller
from cmdop.store.interface import MachineRow, Store
from cmdop.wire.relay_messages import AgentHello, Hello

TOKEN_BYTES: Final = 32
_ENROLLING: Final = (Role.ADMIN, Role.AGENT)
_LOG = logging.getLogger(__name__)


def introduced(caller: Caller, hello: Hello) -> AgentHello:
    """What an agent says of its machine. Raises RemoteProtocolError when that cannot be true."""
    machine = hello.machine
    if machine is None:
        raise RemoteProtocolError(reason="an agent without a machine")
    if caller.machine_id and caller.machine_id != machine.machine_id:
        raise RemoteProtocolError(reason="a machine that comes with the token of another one")
    check_heard("hostname", machine.hostname)
    check_heard("name", machine.name)
    check_heard("software", hello.software)
    return machine


def enroll(store: Store, caller: Caller, hello: Hello, unix_now: float) -> str:
    """Keep a machine that came with a key; its token as hex digits.

    Raises RoleTooLow, EnrollmentRefused, StoreUnusable.
    """
    if caller.role not in _ENROLLING:
        raise RoleTooLow(what="enrolling a machine", needed=Role.AGENT.value, role=caller.role.value)
    machine = introduced(caller, hello)
    known = store.machine(machine.machine_id)
    if known is None and store.count_machines(caller.workspace) >= MACHINES_PER_WORKSPACE_MAX:
        raise EnrollmentRefused(reason=f"this workspace has {MACHINES_PER_WORKSPACE_MAX} machines already")
    token = os.urandom(TOKEN_BYTES)
    row = MachineRow(
        machine_id=machine.machine_id,
        workspace=caller.workspace,
        hostname=machine.hostname,
        name=machine.name,
        static_key=machine.static_key,
        agent_version=version_of(hello.software),
        token_hash=half_hash(token),
        enrolled_with=caller.key_id,
        last_seen=unix_now,
        stopped_cleanly=False,
        created=unix_now,
    )
    try:
        store.enroll_machine(row)
    except RecordExists as error:
        raise EnrollmentRefused(reason="this machine belongs to another workspace") from error
    if known is not None:
        _tell_new_key(known, machine)
    return token.hex()


def take_up(store: Store, caller: Caller, hello: Hello) -> None:
    """Keep what an enrolled machine says of itself, where that has changed.

    Raises NoSuchRecord when it was removed meanwhile, StoreUnusable.
    """
    machine = introduced(caller, hello)
    known = store.machine(machine.machine_id)
    if known is None:
        raise NoSuchRecord(kind="machine", name=machine.machine_id)
    version = version_of(hello.software)
    before = (known.hostname, known.name, known.static_key, known.agent_version)
    if before == (machine.hostname, machine.name, machine.static_key, version):
        return
    store.update_machine(
        machine.machine_id,
        hostname=machine.hostname,
        name=machine.name,
        static_key=machine.static_key,
        agent_version=version,
    )
    _tell_new_key(known, machine)


def version_of(software: str) -> str:
    """The version in a product's name, `cmdop/0.1.0` or `cmdop 0.1.0`; else all of it."""
    return software.removeprefix("cmdop").lstrip("/ ") or software


def _tell_new_key(known: MachineRow, machine: AgentHello) -> None:
    if known.static_key != machine.static_key:
        _LOG.warning("machine %s (%s) has a new static key", known.machine_id, machine.name)
