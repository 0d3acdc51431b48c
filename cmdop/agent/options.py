"""How an agent was asked to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

LEFT_STATUS: Final = 75
"""What a supervised agent ends with that is to come again: EX_TEMPFAIL (sysexits.h)."""


@dataclass(frozen=True)
class AgentOptions:
    """The flags of `cmdop agent start`; None for those that were not given.

    `environment` is the agent's own, some of which its shells inherit
    (agent/environment.py). It and the API key are never shown or kept. One that
    `was_online` goes on whatever the relay says, as it does not in its first try. One that is
    `supervised` was started by a service manager, which starts the next one, too.
    """

    name: str | None = None
    server: str | None = None
    api_key: str | None = field(default=None, repr=False)
    shell: str | None = None
    insecure: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    was_online: bool = False
    supervised: bool = False

    @property
    def flags(self) -> list[str]:
        """Those that may be seen by everybody on the machine, as on a command line."""
        words = []
        for flag, value in (("--name", self.name), ("--server", self.server), ("--shell", self.shell)):
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
            "supervised": self.supervised,
        }

    def with_json(self, kept: dict[str, Any]) -> AgentOptions:
        """These options with what `to_json` gave; a field of another type counts as not given."""
        name, server, shell = (_text(kept.get(flag)) for flag in ("name", "server", "shell"))
        insecure, supervised = (kept.get(flag) is True for flag in ("insecure", "supervised"))
        return replace(self, name=name, server=server, shell=shell, insecure=insecure, supervised=supervised)

    @property
    def environment_told(self) -> dict[str, str]:
        """The environment for processes of ours: the key goes another way."""
        return {name: value for name, value in self.environment.items() if name != "CMDOP_API_KEY"}

    def told(self) -> dict[str, Any]:
        """All of it, for the session host, over the lease."""
        return {
            "options": self.to_json(),
            "api_key": self.api_key,
            "environment": self.environment_told,
            "was_online": self.was_online,
        }

    @classmethod
    def heard(cls, said: dict[str, Any]) -> AgentOptions:
        """What `told` gave; what is missing or of another type counts as not given."""
        flags, environment = said.get("options"), said.get("environment")
        given = (
            {str(k): v for k, v in environment.items() if isinstance(v, str)} if isinstance(environment, dict) else {}
        )
        options = cls(api_key=_text(said.get("api_key")), environment=given, was_online=said.get("was_online") is True)
        return options.with_json(flags if isinstance(flags, dict) else {})


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
