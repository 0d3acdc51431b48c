"""The tree of verbs, each imported when it is used, and the one place that exits."""

from __future__ import annotations

import importlib
import os
import sys

import click

from cmdop import __version__
from cmdop.cli.output import report_error
from cmdop.errors import CmdopError

VERBS = {
    "connect": ("cmdop.cli.connect", "A shell on one of your machines."),
    "agent": ("cmdop.cli.agent", "Make this machine reachable."),
    "relay": ("cmdop.cli.relay", "Run and administer a relay."),
    "demo": ("cmdop.cli.demo", "Relay, agent and shell on this machine, to try it."),
}
"""Every verb: the module that has a click command of the same name, and its help line."""


class Verbs(click.Group):
    """A group that knows its verbs by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = getattr(importlib.import_module(VERBS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="cmdop %(version)s")
def cmdop() -> None:
    """A shell on any of your machines: no SSH key, no open port, no IP."""


def run(argv: list[str]) -> int:
    """Run one command line; its exit status. No exception leaves this function."""
    try:
        result = cmdop.main(argv, prog_name="cmdop", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CmdopError as error:
        report_error(error, as_json="--json" in argv)
        return error.exit_status
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing to say, nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
