"""`cmdop session-host`: what an agent starts to have the shells (agent/host.py). Not for users."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from cmdop.cli import debug
from cmdop.cli.options import home

if TYPE_CHECKING:
    from cmdop.control import Line


@click.command(hidden=True)
@click.option("--check", is_flag=True, help="Print what can be taken over, if all of the program is there.")
@click.option("--state", metavar="FD", type=int, help="Take over the sessions of the program that we were.")
@click.option("--lease", metavar="FD", type=int, help="The connection to its agent.")
def session_host(check: bool, state: int | None, lease: int | None) -> None:
    """Hold the sessions of this machine, for an agent."""
    from cmdop.agent import handover
    from cmdop.agent.host import SessionHost
    from cmdop.agent.hosting import HOST_LOCK
    from cmdop.agent.lockfile import LockFile
    from cmdop.agent.logfile import log_to_file
    from cmdop.agent.machine import Machine
    from cmdop.agent.service import AgentService
    from cmdop.cli.runtime import log_deaths_of_threads, settle, stop_on_signals

    if check:
        click.echo(handover.check_line())
        return
    # The one before may be about to end. The end of this process gives it back: who waits
    # for the lock waits for that.
    LockFile(home(), HOST_LOCK).acquire(blocking=True)
    log_to_file(home(), debug=debug.wanted())
    log_deaths_of_threads()
    machine = Machine(home())
    if state is not None:
        machine.take_over(*handover.read(state))
    host = SessionHost(home(), machine, AgentService, None if lease is None else _line(lease))
    stop_on_signals(host.stop)
    os.chdir(home().folder())  # not to keep a file system busy that somebody wants to unmount
    settle()
    host.run(_ready)


def _line(fd: int) -> Line:
    from multiprocessing.connection import Connection

    os.set_inheritable(fd, False)
    return Connection(fd)


def _ready() -> None:
    """Tell who started us; nothing more is said there."""
    click.echo("ready")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.close(nowhere)
