"""A session's decisions as plain values, to go on from in another process.

Only of a session that nobody is attached to: the clients come back, and what counts for
that is kept.
"""

from __future__ import annotations

from typing import Any, TypeVar

from cmdop.session.core import Held, Member, SessionCore
from cmdop.session.keyboard import Typist
from cmdop.session.pastes import PasteScanner
from cmdop.winsize import Winsize

M = TypeVar("M", bound=Member)


def kept_core(core: SessionCore[M], now: float) -> tuple[dict[str, Any], list[bytes]]:
    """What is fit for JSON, and the larger bytes: the ring, then the input that waits."""
    ring, pending, pasting = core.output.ring, core.keyboard.pending(), core.keyboard.pasting
    state = {
        "head": ring.head,
        "grace": [core.grace.grace_seconds, core.grace.left_seconds(now)],
        "winsize": core.winsize,
        "answerers": core.answerers,
        "held": [core.held.head, core.held.until - now] if core.held else None,
        "sent_away": core.sent_away,
        "departed": [_kept_typist(typist) for typist in core.departed()],
        "pending": [typist.client_id for typist, _ in pending],
        "behind_paste": core.keyboard.held_entries,
        "pasting": pasting.client_id if pasting else None,
    }
    return state, [ring.read(ring.tail, ring.capacity), *(data for _, data in pending)]


def core_from(state: dict[str, Any], blobs: list[bytes], now: float) -> SessionCore[Any]:
    """The session of `kept_core`. It has no relay yet, so its grace stands still."""
    core: SessionCore[Any] = SessionCore(now, state["grace"][0])
    core.grace.left_is(state["grace"][1], now)
    core.grace.relay_is(False, now)
    core.output.ring.grow(len(blobs[0]))
    core.output.ring.restore(state["head"], blobs[0])
    core.answerers = [(begin, who) for begin, who in state["answerers"]]
    core.held = Held(state["held"][0], now + state["held"][1]) if state["held"] else None
    core.sent_away = state["sent_away"]
    core.winsize = Winsize(*state["winsize"]) if state["winsize"] else None
    typists = {kept["client_id"]: _typist_from(kept) for kept in state["departed"]}
    core.remember(typists.values())
    pasting = typists.get(state["pasting"])
    pending = [
        (typists.setdefault(client_id, Typist(client_id, "")), data)
        for client_id, data in zip(state["pending"], blobs[1:], strict=True)
    ]
    core.keyboard.restore(pending, state["behind_paste"], pasting, now)
    return core


def _kept_typist(typist: Typist) -> dict[str, Any]:
    inside, torn = typist.pastes.state
    return {
        "client_id": typist.client_id,
        "operator": typist.operator,
        "typed": [typist.typed.received, typist.typed.taken],
        "paste": [inside, torn.hex()],
    }


def _typist_from(kept: dict[str, Any]) -> Typist:
    typist = Typist(kept["client_id"], kept["operator"])
    typist.typed.received, typist.typed.taken = kept["typed"]
    inside, torn = kept["paste"]
    typist.pastes = PasteScanner(inside, bytes.fromhex(torn))
    return typist
