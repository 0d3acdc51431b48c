"""How an agent was asked to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cmdop.transport.proxy import proxies_in
from cmdop.transport.way import Way

LEFT_STATUS: Final = 75
"""What a supervised agent ends with that is to come again: EX_TEMPFAIL (sysexits.h)."""
_SECRET_VARIABLES: Final = frozenset({"CMDOP_API_KEY", "CMDOP_AGENT_PASSWORD"})


@dataclass(frozen=True)
class AgentOptions:
    """The flags of `cmdop agent start`; None for those that were not given.

    `environment` is the agent's own, some of which its shells inherit
    (agent/environment.py). It and the API key are never shown or kept. `proxies` are the
    variables that say how the relay is dialled (transport/proxy.py); they may hold a proxy's
    password, and are kept in a file of their own. `ca_file` is an absolute path. One that
    `was_online` goes on whatever the relay says, as it does not in its first try. One that is
    `supervised` was started by a service manager, which starts the next one, too.
    """

    name: str | None = None
    server: str | None = None
    api_key: str | None = field(default=None, repr=False)
    shell: str | None = None
    insecure: bool = False
    ca_file: str | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    was_online: bool = False
    supervised: bool = False

    @property
    def way(self) -> Way:
        """How the relay is reached."""
        return Way(self.insecure, Path(self.ca_file) if self.ca_file else None, proxies_in(self.proxies))

    @property
    def flags(self) -> list[str]:
        """Those that may be seen by everybody on the machine, as on a command line."""
        words = []
        given = {"--name": self.name, "--server": self.server, "--shell": self.shell, "--ca-file": self.ca_file}
        for flag, value in given.items():
            if value is not None:
                words.append(f"{flag}={value}")
        return [*words, "--insecure"] if self.insecure else words

    def to_json(self) -> dict[str, Any]:
        """What `restart` needs, without secrets."""
        return {
            "name": self.name,
            "server": self.server,
            "shell": self.shell,
            "insecure": self.insecure,
            "ca_file": self.ca_file,
            "supervised": self.supervised,
        }

    def with_json(self, kept: dict[str, Any]) -> AgentOptions:
        """These options with what `to_json` gave; a field of another type counts as not given."""
        name, server, shell, ca_file = (_text(kept.get(flag)) for flag in ("name", "server", "shell", "ca_file"))
        insecure, supervised = (kept.get(flag) is True for flag in ("insecure", "supervised"))
        given = replace(self, name=name, server=server, shell=shell)
        return replace(given, insecure=insecure, ca_file=ca_file, supervised=supervised)

    @property
    def environment_told(self) -> dict[str, str]:
        """The environment for processes of ours. Every shell can look at it, as it is the same user's:
        the key goes another way, and a machine's password is of use to clients only."""
        return {name: value for name, value in self.environment.items() if name not in _SECRET_VARIABLES}

    def told(self) -> dict[str, Any]:
        """All of it, for the session host, over the lease."""
        return {
            "options": self.to_json(),
            "api_key": self.api_key,
            "proxies": dict(self.proxies),
            "environment": self.environment_told,
            "was_online": self.was_online,
        }

    @classmethod
    def heard(cls, said: dict[str, Any]) -> AgentOptions:
        """What `told` gave; what is missing or of another type counts as not given."""
        flags = said.get("options")
        options = cls(
            api_key=_text(said.get("api_key")),
            proxies=texts(said.get("proxies")),
            environment=texts(said.get("environment")),
            was_online=said.get("was_online") is True,
        )
        return options.with_json(flags if isinstance(flags, dict) else {})


def texts(value: Any) -> dict[str, str]:
    """The texts under a name in a JSON object; nothing where it is none."""
    return {str(k): v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
