"""`cmdop connect` without HOST: choose a machine, confirm, attach, and choose again."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cmdop.auth.credentials import Credential, find_credential
from cmdop.auth.token_cache import TOKENS
from cmdop.cli.attach import attach_outcome
from cmdop.cli.debug import note
from cmdop.cli.options import home
from cmdop.cli.output import report_error
from cmdop.cli.passwords import password_text
from cmdop.cli.progress import say
from cmdop.cli.prompt import choose, confirm
from cmdop.client.choice import PLAIN_MARKS, Choosing, Marks, attached_text, host_of
from cmdop.client.connect import reach_relay
from cmdop.client.link import RelayLink
from cmdop.client.outcome import Killed
from cmdop.client.recent import recently_used
from cmdop.client.refresh import Refresh
from cmdop.client.resolver import age_text, display_name, require_online
from cmdop.errors import (
    BadKey,
    BadServer,
    CmdopError,
    ConfigCorrupt,
    HomeUnusable,
    KeyRefused,
    MachineOffline,
    NoMachines,
    PlainTextRefused,
    RelayUnreachable,
    TerminalGone,
    UsageError,
)
from cmdop.printable import printable
from cmdop.winsize import Winsize
from cmdop.wire.relay_messages import MachineRecord

if TYPE_CHECKING:
    from cmdop.cli.connect import ConnectOptions

_HOPELESS: Final = (
    UsageError,
    BadKey,
    BadServer,
    ConfigCorrupt,
    HomeUnusable,
    KeyRefused,
    PlainTextRefused,
    RelayUnreachable,
    TerminalGone,
)
"""After these no other machine could be reached either."""


def pick(options: ConnectOptions) -> int:
    """Choose and attach until the user leaves the list; the exit status.

    Raises NoMachines for an empty workspace, click.Abort for Ctrl-C, and what keeps
    all machines from being reached.
    """
    credential = find_credential(home(), options.given)
    left: dict[str, float] = {}

    def password_of(machine_id: str) -> str:
        entered = bool(TOKENS.get(machine_id, credential.key.key_id))
        return password_text(home(), options.password, machine_id, entered)

    while True:
        link = reach_relay(credential, options.way)
        used = {**_recently_used(credential), **left}
        picker = Picker(link, lambda: reach_relay(credential, options.way), used, password_of)
        machine = picker.machine()
        if machine is None:
            return 0
        host = host_of(machine, picker.machines)
        try:
            outcome = attach_outcome(
                dataclasses.replace(options, host=host, machine_id=machine.machine_id), credential, home()
            )
        except _HOPELESS:
            raise
        except CmdopError as error:
            note(error)
            report_error(error)
            continue
        if isinstance(outcome, Killed):
            return 128 + outcome.signal
        left[machine.machine_id] = time.time()


def _recently_used(credential: Credential) -> dict[str, float]:
    """Nothing where the file is of no use, which is said: the order is all that is lost."""
    try:
        return recently_used(home(), credential.server, credential.workspace)
    except CmdopError as error:
        say(f"the machines used last are not known: {error.sentence}")
        return {}


class Picker:
    """The list of a workspace's machines at a terminal (cli/prompt.py `Listing`), and the confirmation."""

    def __init__(
        self,
        link: RelayLink,
        reach: Callable[[], RelayLink],
        used: dict[str, float],
        password_of: Callable[[str], str],
    ) -> None:
        """The link is its own from now on; `password_of` says where a machine's password would come from.

        Raises NoMachines.
        """
        self._password_of = password_of
        self._link: RelayLink | None = link
        self._reach = reach
        self._refresh: Refresh | None = None
        self._workspace = link.welcome.workspace
        try:
            machines = link.machines()
            if not machines:
                raise NoMachines(workspace=self._workspace, server=link.server)
        except CmdopError:
            link.close()
            raise
        self._choosing = Choosing(machines, used, _marks())

    @property
    def machines(self) -> tuple[MachineRecord, ...]:
        """Those that were to choose from."""
        return tuple(self._choosing.machines)

    def machine(self) -> MachineRecord | None:
        """The machine that was chosen, confirmed and is online; None for who leaves."""
        while choose("Choose a machine", self):
            machine = self._choosing.pointed_at
            assert machine is not None  # it could be chosen
            try:
                require_online(machine, time.time())
            except MachineOffline as error:
                report_error(error)
                continue
            self._describe(machine)
            sure = confirm(f"Open a shell on {display_name(machine)}?")
            if sure is None:
                return None
            if sure:
                return machine
        return None

    def _describe(self, machine: MachineRecord) -> None:
        about = {
            "name": display_name(machine),
            "hostname": machine.hostname,
            "id": machine.machine_id,
            "online": f"yes, heard {age_text(machine.heartbeat_age_seconds)} ago",
            "workspace": self._workspace,
            "attached": attached_text(machine) or "nobody",
            "password": self._password_of(machine.machine_id),
        }
        for what, text in about.items():
            say(f"  {what:<9}  {printable(text)}")

    # -- as a listing -----------------------------------------------------------------------------

    def fragments(self, winsize: Winsize) -> list[tuple[str, str]]:
        self._take_news()
        view = self._choosing.view(winsize)
        shown = [("class:instruction", view.heading)]
        for row in view.rows:
            style = "" if row.online else "class:disabled"
            weight = " bold" if row.pointed_at else ""
            shown += [
                ("", "\n"),
                ("class:qmark bold", f"{row.pointer} "),
                (f"{'fg:ansigreen' if row.online else style}{weight}", row.mark),
                (style + weight, f" {row.text}"),
            ]
        return [*shown, ("", "\n"), ("class:instruction", view.status)]

    @contextmanager
    def refreshing(self, changed: Callable[[], None]) -> Iterator[None]:
        link, self._link = self._link, None
        self._refresh = Refresh(self._reach, link, changed)
        try:
            yield
        finally:
            self._refresh.close()

    def typed(self, text: str) -> None:
        self._choosing.typed(text)

    def rub_out(self) -> None:
        self._choosing.rub_out()

    def rub_out_word(self) -> None:
        self._choosing.rub_out_word()

    def clear(self) -> None:
        self._choosing.clear()

    def move(self, rows: int) -> None:
        self._choosing.move(rows)

    def can_choose(self) -> bool:
        return self._choosing.pointed_at is not None

    def _take_news(self) -> None:
        news = self._refresh.take() if self._refresh is not None else None
        if news is None:
            return
        self._choosing.trouble = news.error.sentence if news.error is not None else ""
        if news.error is None:
            self._choosing.replace(news.machines)


def _marks() -> Marks:
    """Those that stderr's encoding has."""
    marks = Marks()
    try:
        "".join(dataclasses.astuple(marks)).encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return PLAIN_MARKS
    return marks
