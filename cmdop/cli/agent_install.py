"""`cmdop agent install|uninstall`: the agent as a service of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from cmdop.cli.options import home, json_option
from cmdop.cli.output import print_json
from cmdop.printable import printable

if TYPE_CHECKING:
    from cmdop.agent.install.installing import Installed
    from cmdop.agent.install.interface import ServiceManager

_system_option = click.option("--system", is_flag=True, help="Of the machine rather than of this user; as root.")


@click.command()
@_system_option
@click.option("--dry-run", is_flag=True, help="Print the file, and change nothing.")
@json_option
def install(system: bool, dry_run: bool, as_json: bool) -> None:
    """Have the agent started with your login, or with the machine.

    The machine has to be enrolled; the agent gets the flags of its last start. Sessions go on:

    \b
      cmdop agent start --server URL --api-key KEY
      cmdop agent install
    """
    from cmdop.agent.install.installing import install as install_it

    manager = _manager(system)
    if dry_run:
        _show(manager, system, as_json)
        return
    done = install_it(home(), manager)
    if as_json:
        print_json(_document(manager, system, done))
        return
    for line in _lines(manager, system, done):
        click.echo(printable(line))


@click.command()
@_system_option
@json_option
def uninstall(system: bool, as_json: bool) -> None:
    """End the agent's service and its sessions, and take it away.

    The machine stays enrolled:

    \b
      cmdop agent uninstall
    """
    from cmdop.agent.install.installing import uninstall as uninstall_it

    manager = _manager(system)
    had = uninstall_it(manager)
    if as_json:
        print_json({**_what(manager, system), "removed": had})
    elif had:
        click.echo(printable(f"the service is gone, and its agent has stopped: removed {manager.path}"))
    else:
        click.echo(printable(f"there was no service: {manager.path} does not exist"))


def _manager(system: bool) -> ServiceManager:
    from cmdop.agent.install.installing import manager_for

    return manager_for(home(), os.environ, system)


def _show(manager: ServiceManager, system: bool, as_json: bool) -> None:
    if as_json:
        print_json({**_what(manager, system), "text": manager.text()})
    else:
        click.echo(printable(f"# {manager.path}"), err=True)
        click.echo(manager.text(), nl=False)


def _what(manager: ServiceManager, system: bool) -> dict[str, object]:
    return {"manager": manager.name, "scope": "system" if system else "user", "path": str(manager.path)}


def _document(manager: ServiceManager, system: bool, done: Installed) -> dict[str, object]:
    after = {"after_logout": done.lasting.after_logout, "after_reboot": done.lasting.after_reboot}
    return {
        **_what(manager, system),
        "changed": done.changed,
        "runs": done.runs,
        **after,
        "advice": list(done.lasting.advice),
    }


def _lines(manager: ServiceManager, system: bool, done: Installed) -> list[str]:
    """What was done, and what will be."""
    whose = "the machine" if system else "this user"
    wrote = f"wrote {manager.path}" if done.changed else f"{manager.path} was there already"
    runs = "runs" if done.runs else "does not answer yet; look at: cmdop agent logs"
    lasting = done.lasting
    lines = [
        f"{wrote} ({manager.name}, for {whose})",
        f"the agent {runs}",
        f"after a logout: {'it goes on' if lasting.after_logout else 'it ends, and its sessions'}",
        f"after a reboot: {'it comes back by itself' if lasting.after_reboot else 'it comes back once you log in'}",
    ]
    return [*lines, *(f"to have it stay without a login: {advised}" for advised in lasting.advice)]
