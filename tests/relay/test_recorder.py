"""Notes reach the store, and a store that fails stops nobody."""

from __future__ import annotations

import logging

import pytest

from cmdop.errors import StoreUnusable
from cmdop.relay import admin
from cmdop.relay.recorder import Recorder
from cmdop.store.interface import Heard, Store


def test_notes_are_written_at_the_latest_by_closing(store: Store) -> None:
    key = admin.create_workspace(store, "home", "anna", 1.0)
    recorder = Recorder(store)
    for moment in range(100):
        recorder.key_used(key.key_id, float(moment))
    recorder.machine_heard("unknown", Heard(1.0, stopped_cleanly=False))
    recorder.close()
    recorder.close()
    record = store.key(key.key_id)
    assert record is not None
    assert record.last_used == 99.0


def test_a_store_that_fails_is_logged_and_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StoreUnusable(path="relay.db", reason="the disk is full")

    key = admin.create_workspace(store, "home", "anna", 1.0)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(store, "note", full)
        recorder = Recorder(store)
        recorder.key_used(key.key_id, 1.0)
        recorder.close()
    assert "the disk is full" in caplog.text
    recorder = Recorder(store)
    recorder.key_used(key.key_id, 2.0)
    recorder.close()
    record = store.key(key.key_id)
    assert record is not None
    assert record.last_used == 2.0
