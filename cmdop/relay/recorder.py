"""Writes down who was heard and which keys were used, beside the work.

No thread that reads a connection waits for a disk because of it.
"""

from __future__ import annotations

import logging
import threading

from cmdop.errors import StoreUnusable
from cmdop.store.interface import Heard, Store

_LOG = logging.getLogger(__name__)


class Recorder:
    """Takes notes from any thread and writes them on one of its own, `notes->store`.

    That thread blocks on the store, or waits for a note or for `close`. Of one key and
    one machine only the last note counts, so that there are never more waiting than
    there are keys and machines. A store that cannot be written costs the notes, which
    is logged, and nothing else.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # Guards the notes and `_closed`; told of every change.
        self._change = threading.Condition()
        self._keys: dict[str, float] = {}
        self._machines: dict[str, Heard] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="notes->store", daemon=True)
        self._thread.start()

    def key_used(self, key_id: str, at: float) -> None:
        """A key was used, at this Unix time."""
        with self._change:
            self._keys[key_id] = at
            self._change.notify()

    def machine_heard(self, machine_id: str, heard: Heard) -> None:
        """A machine was heard."""
        with self._change:
            self._machines[machine_id] = heard
            self._change.notify()

    def close(self) -> None:
        """Write what is left and end the thread. Twice is quiet."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _write(self) -> None:
        while (notes := self._next_notes()) is not None:
            try:
                self._store.note(*notes)
            except StoreUnusable as error:
                _LOG.warning("%s", error.sentence)

    def _next_notes(self) -> tuple[dict[str, float], dict[str, Heard]] | None:
        with self._change:
            self._change.wait_for(lambda: self._keys or self._machines or self._closed)
            if not (self._keys or self._machines):
                return None
            notes = self._keys, self._machines
            self._keys, self._machines = {}, {}
            return notes
