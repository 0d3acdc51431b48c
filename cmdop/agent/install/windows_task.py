"""Windows: a scheduled task (schtasks, Task Scheduler schema 1.2).

The task starts the agent in the background and is over once it runs: a task in the
foreground would show a console window for as long as the user is logged on. So an agent
that was killed comes again with the next logon or start of the machine, and not before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from cmdop.agent.install.interface import Lasting, Wanted
from cmdop.agent.install.programs import Run, must, put_file, remove_file
from cmdop.errors import UsageError

TASK: Final = "cmdop-agent"
TASK_FILE: Final = "agent-task.xml"
_SYSTEM_ACCOUNT: Final = "S-1-5-18"


class WindowsTask:
    """A `ServiceManager`. `end_agent` ends the agent, which the task does not hold, and its sessions."""

    name, supervises = "task-scheduler", False

    def __init__(self, wanted: Wanted, run: Run, end_agent: Callable[[], None]) -> None:
        self.path = Path(wanted.home, TASK_FILE)
        self._wanted, self._run, self._end_agent = wanted, run, end_agent

    def text(self) -> str:
        return task_text(self._wanted)

    def check(self) -> None:
        """Whether the user may is found out when the task is made: nothing else tells."""

    def put(self) -> bool:
        changed = put_file(self.path, self.text().encode("utf-16"))  # the only encoding that schtasks takes
        must(self._run, ["schtasks", "/Create", "/F", "/TN", TASK, "/XML", str(self.path)])
        return changed

    def begin(self) -> None:
        must(self._run, ["schtasks", "/Run", "/TN", TASK])

    def remove(self) -> bool:
        if not self.path.exists():
            return False
        if self._run(["schtasks", "/Query", "/TN", TASK]).status == 0:
            must(self._run, ["schtasks", "/Delete", "/F", "/TN", TASK])
        self._end_agent()
        remove_file(self.path)
        return True

    def lasting(self) -> Lasting:
        return Lasting(self._wanted.system, self._wanted.system)


def task_text(wanted: Wanted) -> str:
    """The task for an agent. Raises UsageError for a path with a percent sign."""
    trigger, who = "LogonTrigger", f"<UserId>{escape(wanted.user)}</UserId>"
    principal = f"{who}\n      <LogonType>InteractiveToken</LogonType>"
    if wanted.system:
        trigger, who, principal = "BootTrigger", "", f"<UserId>{_SYSTEM_ACCOUNT}</UserId>"
    return f"""\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>cmdop agent: makes this machine reachable</Description>
  </RegistrationInfo>
  <Triggers>
    <{trigger}><Enabled>true</Enabled>{who}</{trigger}>
  </Triggers>
  <Principals>
    <Principal id="Author">
      {principal}
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>cmd.exe</Command>
      <Arguments>{escape(_arguments(wanted))}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def _arguments(wanted: Wanted) -> str:
    """For cmd.exe: a task has no environment of its own. With /s the outer quotes go, and no other."""
    line = subprocess.list2cmdline([*wanted.program, "agent", "start", "--as-before", *wanted.flags])
    whole = f'set "CMDOP_HOME={wanted.home}"&& {line}'
    if "%" in whole or not whole.isprintable():
        raise UsageError(reason=f"a task cannot have percent signs or control characters: {whole!r}")
    return f'/d /s /c "{whole}"'
