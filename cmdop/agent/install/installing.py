"""Make a service of the agent, with its sessions going on, and undo it.

An agent that runs already leaves its sessions to the one of the service, which takes up
the same session host.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from cmdop.agent import daemon
from cmdop.agent.account import current_account
from cmdop.agent.hosting import PROGRAM
from cmdop.agent.identity import Enrolment
from cmdop.agent.install.factory import service_manager
from cmdop.agent.install.interface import Lasting, ServiceManager, Wanted
from cmdop.agent.install.programs import Run, run_program
from cmdop.agent.lockfile import LockFile
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import LOCK, START_FILE
from cmdop.errors import AgentNotRunning, NotEnrolled
from cmdop.home import Home


class Installed(NamedTuple):
    """What came of it. `changed`: the file was not there, or another. `runs`: the agent answers."""

    changed: bool
    runs: bool
    lasting: Lasting


def manager_for(
    home: Home, inherited: Mapping[str, str], system: bool = False, run: Run = run_program
) -> ServiceManager:
    """The manager of this platform for this home's agent, with the flags of its last start.

    `inherited` is our environment, for users without a record. Raises NoServiceManager.
    """
    account = current_account(inherited)
    kept = home.read_json(START_FILE)
    flags = AgentOptions() if kept is None else AgentOptions().with_json(kept)
    wanted = Wanted(
        program=PROGRAM,
        flags=tuple(flags.flags),
        home=str(home.path.resolve()),
        user=account.user,
        user_home=account.home,
        is_root=account.is_root,
        system=system,
    )
    return service_manager(wanted, run, lambda: _end_agent(home))


def install(home: Home, manager: ServiceManager) -> Installed:
    """Have the agent started by it, now and from now on. Twice changes nothing.

    Raises NotEnrolled, and as a ServiceManager and `cmdop agent restart` do.
    """
    if Enrolment.load(home) is None:
        raise NotEnrolled(server="URL", told=f"this machine is not enrolled: there is no enrolment in {home.path}")
    manager.check()
    changed = manager.put()
    there = daemon.is_supervised(home) if manager.supervises else LockFile(home, LOCK).holder() is not None
    if changed or not there:
        daemon.leave(home)
        manager.begin()
    return Installed(changed, daemon.started_by_another(home) is not None, manager.lasting())


def uninstall(manager: ServiceManager) -> bool:
    """End the service, its agent and the sessions; whether there was one. Raises as a ServiceManager does."""
    if manager.path.exists():
        manager.check()
    return manager.remove()


def _end_agent(home: Home) -> None:
    with contextlib.suppress(AgentNotRunning):
        daemon.stop(home)
