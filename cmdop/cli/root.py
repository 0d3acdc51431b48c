"""The tree of verbs, each imported when it is used, and the one place that exits."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING

import click

from cmdop import __version__
from cmdop.cli.debug import note
from cmdop.cli.output import drain, flushes, report_error
from cmdop.errors import CmdopError, OutputLost, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERBS = {
    "connect": ("cmdop.cli.connect", "A shell on one of your machines."),
    "session": ("cmdop.cli.session", "Sessions on your machines, without attaching."),
    "login": ("cmdop.cli.login", "Check a key with its relay, and keep it."),
    "logout": ("cmdop.cli.logout", "Forget a workspace's key."),
    "agent": ("cmdop.cli.agent", "Make this machine reachable."),
    "relay": ("cmdop.cli.relay", "Run and administer a relay."),
    "doctor": ("cmdop.cli.doctor", "What works here, what does not, and what to do."),
    "demo": ("cmdop.cli.demo", "Relay, agent and shell on this machine, to try it."),
    "completion": ("cmdop.cli.completion", "Let a shell complete cmdop's command lines."),
}
"""Every verb: the module that has a click command of the same name, and its help line."""
INTERNAL = {"session-host": ("cmdop.cli.session_host", "session_host")}
"""What cmdop starts itself: module and command. Nobody is told of these."""
_CANNOT_BE_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What a full disk, a full quota, a file at its limit and a dead terminal answer to a write."""
_HELP_IS_MEANT: tuple[type[click.ClickException], ...] = (click.exceptions.NoArgsIsHelpError,)
"""Verbs without a verb: click shows its help for that."""
COMPLETION_VARIABLE = "_CMDOP_COMPLETE"
"""Set by the scripts of `cmdop completion`, which want to know what a word could become."""


class Verbs(click.Group):
    """A group that knows its verbs by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS and cmd_name not in INTERNAL:
            return None
        module, name = INTERNAL.get(cmd_name) or (VERBS[cmd_name][0], cmd_name)
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The verbs without importing them, as click's own would, and the options."""
        from click.shell_completion import CompletionItem

        verbs = [(name, about) for name, (_, about) in VERBS.items() if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=about) for name, about in verbs), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="cmdop %(version)s")
def cmdop() -> None:
    """A shell on any of your machines: no SSH key, no open port, no IP.

    \b
      cmdop demo
      cmdop connect prod-api-1
    """


def run(argv: list[str]) -> int:
    """Run one command line; its exit status. No exception leaves this function."""
    try:
        status = _status(argv)
    except BaseException as error:  # noqa: BLE001 - no traceback ever reaches a user
        status = _report(error, _own_words(argv))
    for stream in (sys.stdout, sys.stderr):
        drain(stream)
    return status


def _status(argv: list[str]) -> int:
    if COMPLETION_VARIABLE in os.environ:
        from cmdop.cli.completion import answer

        return answer(os.environ[COMPLETION_VARIABLE])
    # Not click's own `main`: that one exits by itself when a pipe breaks.
    with cmdop.make_context("cmdop", _as_options(argv)) as context:
        result = cmdop.invoke(context)
    if sys.stdout is not None:
        sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _as_options(argv: list[str]) -> list[str]:
    """`help`, with the verb behind it, and `version`, as people type them for git, gh and docker."""
    if argv[:1] == ["help"]:
        return [*argv[1:], "--help"]
    return ["--version"] if argv == ["version"] else list(argv)


def _own_words(argv: list[str]) -> list[str]:
    """The words that are ours: what comes after `--` is a command's."""
    return argv[: argv.index("--")] if "--" in argv else argv


def _report(error: BaseException, words: list[str]) -> int:
    """Say what went wrong with these words, if there is anything to say; the exit status."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        return 0  # whoever read our output has gone (`| head`): nothing to say, nowhere to say it
    ours, as_json = _as_ours(error, words), "--json" in words
    note(error)
    with contextlib.suppress(OSError, ValueError):  # there may be nobody to tell
        if isinstance(error, _HELP_IS_MEANT) and not as_json:
            error.show()
        else:
            report_error(ours, as_json)
    return ours.exit_status


def _as_ours(error: BaseException, words: list[str]) -> CmdopError:
    if isinstance(error, click.ClickException | UsageError):
        from cmdop.cli.usage import named_verb, usage_error

        ours = error if isinstance(error, UsageError) else usage_error(error)
        ours.details["command"] = named_verb(cmdop, words)
        return ours
    if isinstance(error, CmdopError):
        return error
    if isinstance(error, OSError) and (_of_a_stream(error) or not flushes(sys.stdout)):
        return OutputLost(reason=(error.strerror or str(error)).lower())
    return CmdopError(reason=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _of_a_stream(error: OSError) -> bool:
    """Whether it is the output that cannot be written. What a buffer does not hold (PYTHONUNBUFFERED)
    is not there any more to be tried again, and files of ours have errors of their own."""
    return error.filename is None and error.errno in _CANNOT_BE_WRITTEN
