"""What is wrong with the words of a command line, as an error of ours: a sentence, and which help to read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click

from cmdop.errors import UsageError


def usage_error(error: click.ClickException) -> UsageError:
    """What click found wrong, in our words where it has the pieces for that."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return UsageError(reason="a verb is missing")
    return UsageError(reason=_unknown_verb(error) or _unknown_option(error) or _sentence(error))


def named_verb(root: click.Group, words: Iterable[str]) -> str:
    """The verb that a line begins with, as far as there is one: `cmdop connect key`."""
    path, command = root.name or "", root
    for word in words:
        found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if found is None:
            break
        path, command = f"{path} {word}", found  # type: ignore[assignment]
    return path


def _unknown_verb(error: click.ClickException) -> str:
    """The sentence for a verb that a group does not have, with the one that it looks like.

    Empty for other errors, and before click 8.4, which has a class for this one.
    """
    word = getattr(error, "command_name", None)
    context = error.ctx if isinstance(error, click.UsageError) else None
    if word is None or context is None or not isinstance(context.command, click.Group):
        return ""
    return f'no such command "{word}"' + _meant(word, context.command.list_commands(context))


def _unknown_option(error: click.ClickException) -> str:
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return ""
    known = [name[2:] for option in error.ctx.command.get_params(error.ctx) for name in option.opts if name[:2] == "--"]
    return f"no such option {error.option_name}" + _meant(error.option_name.lstrip("-"), known, "--")


def _meant(word: str, known: list[str], dashes: str = "") -> str:
    like = get_close_matches(word, known, n=1)
    return f"; did you mean {dashes}{like[0]}?" if like else ""


def _sentence(error: click.ClickException) -> str:
    """Click's own, begun and ended as ours are."""
    said = error.format_message().strip().rstrip(".")
    return said[:1].lower() + said[1:]
