"""systemd: a unit of the user, or of the machine (systemd.service(5), systemd.kill(5)).

The unit knows of the agent's two processes. `KillMode=process` leaves the session host
and its shells alone when the agent ends. An agent that was stopped, by whomever, ends with
0 and stays away; one that left for the next (`cmdop agent restart`) ends with
LEFT_STATUS and, like one that was killed, comes again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cmdop.agent.install.interface import Lasting, Wanted
from cmdop.agent.install.programs import Run, must, put_file, remove_file
from cmdop.agent.options import LEFT_STATUS
from cmdop.errors import NoServiceManager, ServiceRefused, UsageError

UNIT: Final = "cmdop-agent.service"
SYSTEM_FOLDER: Final = Path("/etc/systemd/system")
BOOTED: Final = Path("/run/systemd/system")
"""There if and only if systemd runs this machine (sd_booted(3))."""

# `stop` is run whenever the main process ended well, even to leave its sessions to the next
# (systemd.service(5), ExecStop=); there is a MAINPID only while it is still to be ended.
_ONLY_IF_IT_RUNS: Final = ("/bin/sh", "-c", 'test -z "$MAINPID" || exec "$@"', "sh")


class Systemd:
    """A `ServiceManager`. `booted` is where to see that it runs."""

    name, supervises = "systemd", True

    def __init__(self, wanted: Wanted, run: Run, folder: Path | None = None, booted: Path = BOOTED) -> None:
        own = Path(wanted.user_home, ".config", "systemd", "user")
        self.path = (folder or (SYSTEM_FOLDER if wanted.system else own)) / UNIT
        self._wanted, self._run, self._booted = wanted, run, booted
        self._systemctl = ("systemctl",) if wanted.system else ("systemctl", "--user")

    def text(self) -> str:
        return unit_text(self._wanted)

    def check(self) -> None:
        if not self._booted.is_dir():
            raise NoServiceManager(reason="systemd does not run this machine")
        if self._wanted.system:
            if not self._wanted.is_root:
                raise ServiceRefused(what="a unit of the system", reason="only root may make one")
            return
        if (ran := self._run([*self._systemctl, "show-environment"])).status != 0:
            said = " ".join(ran.err.split()) or "it does not answer"
            raise NoServiceManager(reason=f"there is no systemd for {self._wanted.user}: {said}")

    def put(self) -> bool:
        changed = put_file(self.path, self.text().encode())
        must(self._run, [*self._systemctl, "daemon-reload"])
        must(self._run, [*self._systemctl, "enable", UNIT])
        return changed

    def begin(self) -> None:
        must(self._run, [*self._systemctl, "start", UNIT])

    def remove(self) -> bool:
        if not self.path.exists():
            return False
        must(self._run, [*self._systemctl, "disable", "--now", UNIT])
        remove_file(self.path)
        must(self._run, [*self._systemctl, "daemon-reload"])
        return True

    def lasting(self) -> Lasting:
        if self._wanted.system or self._lingers():
            return Lasting(True, True)
        return Lasting(False, False, (f"loginctl enable-linger {self._wanted.user}",))

    def _lingers(self) -> bool:
        """Whether the user's systemd runs without a login. One it knows nothing of has none."""
        ran = self._run(["loginctl", "show-user", self._wanted.user, "--property=Linger", "--value"])
        return ran.status == 0 and ran.out.strip() == "yes"


def unit_text(wanted: Wanted) -> str:
    """The unit for an agent. Raises UsageError for words with control characters."""
    program = [_executable(wanted.program[0]), *map(_word, wanted.program[1:])]
    start = " ".join([*program, *map(_word, ("agent", "start", "--foreground", "--supervised", *wanted.flags))])
    stop = " ".join(map(_word, (*_ONLY_IF_IT_RUNS, *wanted.program, "agent", "stop")))
    network = "Wants=network-online.target\nAfter=network-online.target\n" if wanted.system else ""
    return f"""\
[Unit]
Description=cmdop agent: makes this machine reachable
{network}StartLimitIntervalSec=0

[Service]
Environment={_quoted(f"CMDOP_HOME={wanted.home}")}
ExecStart={start}
ExecStop=-{stop}
KillMode=process
TimeoutStopSec=40
Restart=always
RestartSec=2
RestartPreventExitStatus=0 2 5
SuccessExitStatus={LEFT_STATUS}

[Install]
WantedBy={"multi-user.target" if wanted.system else "default.target"}
"""


def _executable(path: str) -> str:
    """The first word of a command line, in which no variable can be told from a dollar sign."""
    if "$" in path:
        raise UsageError(reason=f"systemd cannot start {path}: there is a dollar sign in its name")
    return _quoted(path)


def _word(text: str) -> str:
    """One word of a command line (systemd.service(5), COMMAND LINES)."""
    return _quoted(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    """A text in quotes if need be (systemd.syntax(7), QUOTING); `%` begins a specifier (systemd.unit(5))."""
    if not text.isprintable():
        raise UsageError(reason=f"a unit cannot have control characters: {text!r}")
    text = text.replace("%", "%%")
    if text and not set(text) & set(" \"'\\;"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
