"""Machine passwords on the command line: where they come from, and what is said of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeVar

import click

from cmdop.cli.options import here_or_before
from cmdop.errors import CmdopError, UsageError
from cmdop.limits import PASSWORD_MAX_BYTES

if TYPE_CHECKING:
    from cmdop.client.passwords import Passwords
    from cmdop.home import Home

F = TypeVar("F", bound=Callable[..., Any])

VARIABLE: Final = "CMDOP_AGENT_PASSWORD"


@dataclass(frozen=True)
class GivenPassword:
    """What --password or --password-file said, and which of them; both empty for neither."""

    text: str = field(default="", repr=False)
    option: str = ""


NOT_GIVEN: Final = GivenPassword()


def password_options(command: F) -> F:
    """--password and --password-file, which arrive as those two texts or None; `given_password` takes them."""
    text = click.option(
        "--password",
        metavar="TEXT",
        callback=here_or_before,
        help=f"The machine's password, if it has one; else the one that is kept here, else {VARIABLE}.",
    )
    file = click.option(
        "--password-file", metavar="FILE", callback=here_or_before, help="The same, from the first line of FILE."
    )
    return text(file(command))


def given_password(password: str | None, password_file: str | None) -> GivenPassword:
    """What the options say. Raises UsageError for both, and for a file or a text that has none."""
    if password is not None and password_file is not None:
        raise UsageError(reason="--password and --password-file are two passwords; give one")
    if password is not None:
        return GivenPassword(_usable(password, "--password"), "--password")
    if password_file is None:
        return NOT_GIVEN
    try:
        with Path(password_file).open("rb") as file:
            return GivenPassword(first_line(file, password_file), "--password-file")
    except OSError as error:
        raise UsageError(reason=f"{password_file} cannot be read: {(error.strerror or str(error)).lower()}") from error


def first_line(file: IO[bytes], name: str) -> str:
    """The password on a file's first line, without its end. Raises UsageError where there is none."""
    line = file.readline(PASSWORD_MAX_BYTES + 3)
    try:
        return _usable(line.decode().removesuffix("\n").removesuffix("\r"), name)
    except UnicodeDecodeError as error:
        raise UsageError(reason=f"the password in {name} is no text in UTF-8") from error


def _usable(text: str, name: str) -> str:
    if not 0 < len(text.encode("utf-8", "surrogatepass")) <= PASSWORD_MAX_BYTES:
        raise UsageError(reason=f"{name} has no password: that is 1 to {PASSWORD_MAX_BYTES} bytes")
    return text


class Attaching(Protocol):
    """What an attach says on stderr (cli/attach_told.py)."""

    def notice(self, text: str) -> None: ...

    def interrupt(self, text: str) -> None: ...


class ToldUser:
    """Tells what came of passwords, one line each."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def wrong(self, host: str, source: str | None) -> None:
        self._tell(f"wrong password for {host}" + (f" ({source})" if source else ""))

    def cannot_look(self, source: str, error: CmdopError) -> None:
        self._tell(f"{source}: {error.sentence}")

    def waits(self, host: str, seconds: float) -> None:
        self._tell(f"{host} was told wrong passwords: it looks at this one in {seconds:.0f} s")


class AttachingUser(ToldUser):
    """The same in between the lines of an attach."""

    def __init__(self, told: Attaching) -> None:
        super().__init__(self._in_between)
        self._told = told

    def _in_between(self, text: str) -> None:
        self._told.interrupt("password required")
        self._told.notice(text)


class AskedUser(AttachingUser):
    """Somebody at the terminal, who is asked as well."""

    def asked(self) -> None:
        self._told.interrupt("password required")

    def ask(self, host: str) -> str:
        from cmdop.cli.prompt import ask_unseen

        return ask_unseen(f"Password for {host}: ")


def password_text(where: Home, given: GivenPassword, machine_id: str, entered: bool) -> str:
    """Where a machine's password would come from, for who is about to attach to it.

    Only the machine itself knows whether it has one: no relay is told. With `entered`
    it let this process in before.
    """
    from cmdop.auth.kept_passwords import KeptPasswords

    if entered:
        return "not asked for again"
    if given.option:
        return f"from {given.option}, if it wants one"
    try:
        if any(kept.machine_id == machine_id for kept in KeptPasswords(where).all()):
            return "remembered here"
    except CmdopError as error:  # the file is set aside now: whoever looks next finds nothing to tell
        return f"{error.sentence} ({error.next_step})"
    return f"from {VARIABLE}, if it wants one" if os.environ.get(VARIABLE) else "asked for, if it has one"


def passwords_for(where: Home, given: GivenPassword, told: ToldUser) -> Passwords:
    """What this process says to machines that have a password; an AskedUser is asked, too."""
    from cmdop.auth.kept_passwords import KeptPasswords
    from cmdop.auth.token_cache import TOKENS
    from cmdop.client.passwords import Passwords, Source

    environment = os.environ.get(VARIABLE, "")
    sources = [
        Source(given.option, lambda _: given.text or None),
        Source("the one that is kept", KeptPasswords(where).get, of_machine=True),
        Source(VARIABLE, lambda _: environment or None),
    ]
    return Passwords(sources, told if isinstance(told, AskedUser) else None, told, TOKENS)
