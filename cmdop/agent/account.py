"""The user that the agent runs as, and whose shells it opens."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

_DEFAULT_SHELL = "/bin/sh"
"""What an empty field in passwd(5) means."""


class Account(NamedTuple):
    """A user, as the system's records have it. `shell` is an absolute path.

    With `inherits_all` programs expect the whole environment that the system set up for
    the user, and languages are no variable of it: Windows.
    """

    user: str
    home: str
    shell: str
    is_root: bool = False
    inherits_all: bool = False


def current_account(inherited: Mapping[str, str]) -> Account:
    """The account of this process.

    A user without a record (a container's) is taken from the inherited environment.
    """
    if sys.platform == "win32":
        user, home = inherited.get("USERNAME", ""), inherited.get("USERPROFILE", "C:\\")
        return Account(user, home, inherited.get("COMSPEC", "cmd.exe"), inherits_all=True)
    else:  # noqa: RET505 - mypy leaves out a branch for another platform, not what comes after a return
        import pwd

        uid = os.geteuid()
        try:
            record = pwd.getpwuid(uid)
        except KeyError:
            return Account(str(uid), inherited.get("HOME", "/"), _DEFAULT_SHELL, uid == 0)
        return Account(record.pw_name, record.pw_dir or "/", record.pw_shell or _DEFAULT_SHELL, uid == 0)
