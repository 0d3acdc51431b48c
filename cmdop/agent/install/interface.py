"""What is to be kept running, and what whoever keeps it can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Wanted:
    """The agent that is to run: nothing here is a secret.

    `program` is what `cmdop` is, with absolute paths; `flags` are those of `cmdop agent
    start`. `home` is the CMDOP_HOME and `user_home` the user's own folder, both absolute.
    `system`: started with the machine, rather than for its user.
    """

    program: tuple[str, ...]
    flags: tuple[str, ...]
    home: str
    user: str
    user_home: str
    is_root: bool = False
    system: bool = False


class Lasting(NamedTuple):
    """Whether the agent will be there again; `advice` is what to type where it will not."""

    after_logout: bool
    after_reboot: bool
    advice: tuple[str, ...] = ()


class ServiceManager(Protocol):
    """What keeps programs running on this machine. All but `text` may start programs and block.

    They raise NoServiceManager where it does not run, ServiceRefused when it will not, and
    what is done already is success.
    """

    name: str
    supervises: bool
    """Whether it watches the agent, and starts another should it die."""
    path: Path
    """Where it has its file."""

    def text(self) -> str:
        """What is in the file. Pure. Raises UsageError when something in it cannot be written there."""

    def check(self) -> None:
        """Raises NoServiceManager, or ServiceRefused for a user who may not."""

    def put(self) -> bool:
        """Write the file and have it started from now on; whether it is another than before."""

    def begin(self) -> None:
        """Have the agent run now. There is none, or none of its own."""

    def remove(self) -> bool:
        """End the agent and its sessions, and take the file away; whether there was one."""

    def lasting(self) -> Lasting:
        """What holds from now on."""
