"""How an admin command makes a running relay act at once.

The commands change the store themselves; a relay that serves the same file is then told,
and answers when the connections concerned are closed. Where none runs, there is nothing
to close.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cmdop.control import ControlServer, ask
from cmdop.errors import StoreUnusable
from cmdop.home import Home
from cmdop.relay.switch import Switch

ANSWER_TIMEOUT_SECONDS: Final = 30.0


class RelayControl:
    """Answers for a running relay; lives beside its database, as NAME.control.

    Raises StoreUnusable when another relay answers for the same file: two would not
    see each other's machines.
    """

    def __init__(self, database: Path, switch: Switch) -> None:
        home, name = _place(database)
        if ask(home, name, {"do": "online"}) is not None:
            raise StoreUnusable(path=database, reason="another relay is serving them")
        self._switch = switch
        self._server = ControlServer(home, name, self._answer)

    def close(self) -> None:
        """Answer no more. Twice is quiet."""
        self._server.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "revoke-key", "key_id": str(key_id)}:
                return {"closed": self._switch.revoke_key(key_id)}
            case {"do": "remove-machine", "machine_id": str(machine_id)}:
                return {"closed": self._switch.remove_machine(machine_id)}
            case {"do": "online"}:
                return {"online": self._switch.online()}
            case _:
                return {"error": "this relay does not know that request"}


def tell_key_revoked(database: Path, key_id: str) -> int:
    """How many connections a running relay closed for it; 0 where none runs."""
    return _closed(_tell(database, {"do": "revoke-key", "key_id": key_id}))


def tell_machine_removed(database: Path, machine_id: str) -> int:
    """How many connections a running relay closed for it; 0 where none runs."""
    return _closed(_tell(database, {"do": "remove-machine", "machine_id": machine_id}))


def ask_online(database: Path) -> dict[str, float]:
    """The machines that a running relay has online: id and seconds since the last heartbeat."""
    answer = _tell(database, {"do": "online"})
    return dict(answer["online"]) if answer is not None and "online" in answer else {}


def _tell(database: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    return ask(*_place(database), request, ANSWER_TIMEOUT_SECONDS)


def _closed(answer: dict[str, Any] | None) -> int:
    return int(answer.get("closed", 0)) if answer is not None else 0


def _place(database: Path) -> tuple[Home, str]:
    return Home(database.absolute().parent), f"{database.name}.control"
