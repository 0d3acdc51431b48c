"""Who keeps programs running on this platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from cmdop.agent.install.interface import ServiceManager, Wanted
from cmdop.agent.install.programs import Run
from cmdop.errors import NoServiceManager


def service_manager(wanted: Wanted, run: Run, end_agent: Callable[[], None]) -> ServiceManager:
    """The manager for an agent; `end_agent` is for those that do not hold it themselves.

    Raises NoServiceManager where we know of none.
    """
    if sys.platform == "win32":
        from cmdop.agent.install.windows_task import WindowsTask

        return WindowsTask(wanted, run, end_agent)
    elif sys.platform == "darwin":  # noqa: RET505 - mypy leaves out branches, not what comes after a return
        from cmdop.agent.install.launchd import Launchd

        return Launchd(wanted, run, os.getuid())
    elif sys.platform == "linux":
        from cmdop.agent.install.systemd import Systemd

        return Systemd(wanted, run)
    else:
        raise NoServiceManager(reason=f"there is none for {sys.platform} that cmdop knows")
