from __future__ import annotations

import os
import socket
import threading
import uuid
from pathlib import Path

import pytest

from cmdop.agent.identity import ENROLMENT_FILE, KEY_FILE, MACHINE_FILE, Enrolment, Identity
from cmdop.errors import ConfigCorrupt, HomeUnusable, UsageError
from cmdop.home import Home

ENROLMENT = Enrolment("wss://relay", "production", "ab" * 20, "0123456789ab", b"\x01" * 32, b"\x02" * 32)


class TestIdentity:
    def test_it_is_made_once_and_the_same_ever_after(self, home: Home) -> None:
        first = Identity.load_or_create(home)
        assert uuid.UUID(first.machine_id).version == 4
        assert len(first.static_key) == 32
        assert Identity.load_or_create(home) == first

    def test_two_homes_are_two_machines(self, tmp_path: Path) -> None:
        one, other = (Identity.load_or_create(Home(tmp_path / name)) for name in "ab")
        assert one.machine_id != other.machine_id
        assert one.static_key != other.static_key

    def test_its_files_are_for_their_owner_only(self, home: Home) -> None:
        Identity.load_or_create(home)
        assert {file.stat().st_mode & 0o777 for file in home.path.iterdir()} == {0o600}

    def test_its_name_is_the_hostname_until_it_is_given_one(self, home: Home) -> None:
        assert Identity.load_or_create(home).name == socket.gethostname()
        named = Identity.load_or_create(home, " vps-audi ")
        assert (named.name, named.hostname) == ("vps-audi", socket.gethostname())
        assert Identity.load_or_create(home) == named
        assert Identity.load_or_create(home, "other").machine_id == named.machine_id

    @pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J", "x" * 256])
    def test_an_impossible_name_is_refused_before_anything_is_written(self, home: Home, name: str) -> None:
        with pytest.raises(UsageError):
            Identity.load_or_create(home, name)
        assert not home.path.exists()

    def test_many_at_once_get_the_same(self, home: Home) -> None:
        made: list[Identity] = []
        together = threading.Barrier(8)

        def make() -> None:
            together.wait()
            made.append(Identity.load_or_create(home))

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 8
        assert len(set(made)) == 1

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"{}", b'{"machine_id": 5}', b'{"machine_id": "../x"}', b"\xff"]
    )
    def test_a_machine_file_that_makes_no_sense_is_set_aside_and_told(self, home: Home, content: bytes) -> None:
        Identity.load_or_create(home)
        home.write_bytes(MACHINE_FILE, content)
        with pytest.raises(ConfigCorrupt) as caught:
            Identity.load_or_create(home)
        assert caught.value.details["aside"].read_bytes() == content
        assert Identity.load_or_create(home).machine_id

    def test_a_name_that_makes_no_sense_is_told(self, home: Home) -> None:
        machine_id = Identity.load_or_create(home).machine_id
        home.write_json(MACHINE_FILE, {"machine_id": machine_id, "name": 7})
        with pytest.raises(ConfigCorrupt, match="name"):
            Identity.load_or_create(home)

    @pytest.mark.parametrize("length", [0, 31, 33])
    def test_a_key_of_another_length_is_set_aside_and_told(self, home: Home, length: int) -> None:
        Identity.load_or_create(home)
        home.write_bytes(KEY_FILE, b"k" * length)
        with pytest.raises(ConfigCorrupt, match="32 bytes"):
            Identity.load_or_create(home)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_home_is_told(self, home: Home) -> None:
        home.folder().chmod(0o500)
        with pytest.raises(HomeUnusable, match="Permission denied"):
            Identity.load_or_create(home)

    def test_a_home_that_cannot_be_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(HomeUnusable):
            Identity.load_or_create(Home(tmp_path / "file" / "home"))

    def test_its_key_is_not_shown(self, home: Home) -> None:
        assert "static_key" not in repr(Identity.load_or_create(home))


class TestEnrolment:
    def test_there_is_none_before_the_first(self, home: Home) -> None:
        assert Enrolment.load(home) is None

    def test_what_is_kept_comes_back(self, home: Home) -> None:
        ENROLMENT.save(home)
        assert Enrolment.load(home) == ENROLMENT
        assert home.file(ENROLMENT_FILE).stat().st_mode & 0o777 == 0o600

    def test_it_can_be_forgotten_twice(self, home: Home) -> None:
        ENROLMENT.save(home)
        Enrolment.forget(home)
        Enrolment.forget(home)
        assert Enrolment.load(home) is None

    @pytest.mark.parametrize(
        "field", ["server", "workspace", "machine_token", "key_id", "operator_psk", "observer_psk"]
    )
    @pytest.mark.parametrize("value", [None, 5, []])
    def test_a_field_of_another_type_is_told(self, home: Home, field: str, value: object) -> None:
        ENROLMENT.save(home)
        home.write_json(ENROLMENT_FILE, {**(home.read_json(ENROLMENT_FILE) or {}), field: value})
        with pytest.raises(ConfigCorrupt, match=field):
            Enrolment.load(home)
        assert Enrolment.load(home) is None

    @pytest.mark.parametrize("psk", ["", "zz", "00" * 31, "00" * 33])
    def test_a_key_that_is_none_is_told(self, home: Home, psk: str) -> None:
        ENROLMENT.save(home)
        home.write_json(ENROLMENT_FILE, {**(home.read_json(ENROLMENT_FILE) or {}), "observer_psk": psk})
        with pytest.raises(ConfigCorrupt):
            Enrolment.load(home)

    def test_its_secrets_are_not_shown(self) -> None:
        shown = repr(ENROLMENT)
        assert "abab" not in shown
        assert "\\x01" not in shown
        assert "\\x02" not in shown
