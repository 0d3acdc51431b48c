"""Which terminal model a session gets."""

from __future__ import annotations

import functools
import logging
from typing import Any

from cmdop.errors import ModelUnusable
from cmdop.screen.interface import ScreenModel
from cmdop.screen.isolated import IsolatedScreen
from cmdop.screen.library import library_path
from cmdop.screen.ring import RingScreen
from cmdop.screen.worker_process import worker_command
from cmdop.winsize import Winsize

_LOG = logging.getLogger(__name__)


def open_screen(winsize: Winsize) -> ScreenModel:
    """A model for a new session: the library's where its wheel is installed, else the ring."""
    library = _library()
    return RingScreen() if library is None else IsolatedScreen(winsize, worker_command(library))


def take_over_screen(state: dict[str, Any], blobs: list[bytes]) -> ScreenModel:
    """Go on with a model that `ScreenModel.hand_over` described before this process became
    this program. To be called once, before any program is started."""
    if state["model"] == "ring":
        return RingScreen.take_over(state, blobs)
    return IsolatedScreen.take_over(state, blobs, worker_command(_library() or ""))


@functools.cache
def _library() -> str | None:
    try:
        return library_path()
    except ModelUnusable as error:
        _LOG.warning("sessions are replayed from their last output: %s", error.sentence)
        return None
