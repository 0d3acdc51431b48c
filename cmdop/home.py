"""The folder that holds a user's state: private, atomic, and never silently replaced.

`~/.cmdop`, or what CMDOP_HOME names. Folders are 0700 and files 0600, whatever the
umask. A write either happened whole or not at all; a file that cannot be understood is
set aside under another name, and the user is told which. What two processes may change
at once they change under `Home.locked`, which has a lock file for each file: `NAME.lock`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from cmdop.errors import ConfigCorrupt, HomeUnusable, UsageError
from cmdop.limits import COUNT_MAX, HOME_FILE_MAX_BYTES, MIB

T = TypeVar("T")


_KEYS_AGAIN: Final = "set things up again with: cmdop connect key set KEY"
_MACHINE_AGAIN: Final = "set the machine up again with: cmdop agent start --server URL --api-key KEY"
_AGAIN: Final = {
    "device.key": "run the command again: it makes another one",
    "machine-passwords.json": "have passwords remembered again with: cmdop connect password set HOST",
    "machine.json": _MACHINE_AGAIN,
    "machine.key": _MACHINE_AGAIN,
    "enrolment.json": _MACHINE_AGAIN,
    "agent-start.json": _MACHINE_AGAIN,
    "agent-proxies.json": _MACHINE_AGAIN,
}
"""What to do when a file made no sense; for those that are not here it is about keys."""


class Home:
    """One CMDOP_HOME. Nothing is created before something is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        return self.path / name

    def folder(self) -> Path:
        """The folder itself, made if need be. Raises HomeUnusable."""
        try:
            self.path.mkdir(mode=0o700, parents=True)
            self.path.chmod(0o700)  # a umask may have taken away what its owner needs
        except FileExistsError as error:
            if not self.path.is_dir():
                raise HomeUnusable(path=self.path, reason=self._why_no_folder()) from error
        except OSError as error:
            raise HomeUnusable(path=self.path, reason=error.strerror) from error
        return self.path

    def _why_no_folder(self) -> str:
        if self.path.is_symlink():
            return f"it is a link to {os.readlink(self.path)}, where there is no folder"
        return "it is not a folder"

    def read_bytes(self, name: str) -> bytes | None:
        """A file's content, None where there is none. Raises HomeUnusable, also for what is no file of ours."""
        try:
            with open(self.file(name), "rb", opener=_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise HomeUnusable(path=self.file(name), reason="it is not a file")
                data = file.read(HOME_FILE_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeUnusable(path=self.file(name), reason=error.strerror) from error
        if len(data) > HOME_FILE_MAX_BYTES:
            raise HomeUnusable(path=self.file(name), reason=f"it is longer than {HOME_FILE_MAX_BYTES // MIB} MiB")
        return data

    def write_bytes(self, name: str, data: bytes) -> None:
        """Put a private file in place at once; the old one stays if it fails.

        Raises HomeUnusable when the folder is read-only or the disk is full.
        """
        import tempfile  # reading is what every start does, and that needs none of it

        folder = self.folder()
        scratch = None
        try:
            # mkstemp makes it 0600, less the umask, and never follows a link that lies in wait.
            fd, scratch = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            with os.fdopen(fd, "wb") as file:
                os.chmod(scratch, 0o600)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, self.file(name))
        except OSError as error:
            if scratch is not None:
                with contextlib.suppress(OSError):
                    os.unlink(scratch)
            raise HomeUnusable(path=self.file(name), reason=error.strerror) from error

    def remove(self, name: str) -> None:
        """Remove a file; that there is none is success. Raises HomeUnusable."""
        try:
            self.file(name).unlink(missing_ok=True)
        except OSError as error:
            raise HomeUnusable(path=self.file(name), reason=error.strerror) from error

    def read(self, name: str, parse: Callable[[bytes], T]) -> T | None:
        """What a file means, None where there is none. `parse` is pure; it raises ValueError.

        Raises ConfigCorrupt for that, after setting the file aside, and HomeUnusable.
        """
        data = self.read_bytes(name)
        if data is None:
            return None
        with contextlib.suppress(ValueError):
            return parse(data)
        with self.locked(name) as file:  # so that what goes aside is what was judged
            return file.read(parse)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON object's fields, None where there is no such file.

        Raises ConfigCorrupt for anything else, after setting the file aside.
        """
        return self.read(name, json_fields)

    @contextmanager
    def locked(self, name: str) -> Iterator[LockedFile]:
        """A file of which we are the only one that changes it: no other process and no other thread.

        Blocks while another one does. Not within itself. Raises HomeUnusable.
        """
        from cmdop.filelock import lock, unlock  # reading is what every start does

        path = self.folder() / f"{name}.lock"
        fd = -1
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            os.chmod(path, 0o600)
            lock(fd, blocking=True)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            raise HomeUnusable(path=path, reason=error.strerror) from error
        try:
            yield LockedFile(self, name)
        finally:
            unlock(fd)
            os.close(fd)

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write_bytes(name, json_bytes(value))

    def set_aside(self, name: str, reason: str) -> ConfigCorrupt:
        """Move a file that makes no sense out of the way; the error that says so."""
        number = 1
        while (aside := self.file(f"{name}.corrupt-{number}")).exists():
            number += 1
        try:
            os.replace(self.file(name), aside)
        except OSError as error:
            raise HomeUnusable(path=self.file(name), reason=error.strerror) from error
        again = _AGAIN.get(name, _KEYS_AGAIN)
        return ConfigCorrupt(path=self.file(name), reason=reason, aside=aside, again=again)


class LockedFile:
    """A file while `Home.locked` holds its lock."""

    def __init__(self, home: Home, name: str) -> None:
        self._home, self._name = home, name

    def read(self, parse: Callable[[bytes], T]) -> T | None:
        """As `Home.read`."""
        data = self._home.read_bytes(self._name)
        try:
            return None if data is None else parse(data)
        except ValueError as error:
            raise self._home.set_aside(self._name, str(error)) from error

    def write(self, data: bytes) -> None:
        """As `Home.write_bytes`."""
        self._home.write_bytes(self._name, data)


def json_fields(data: bytes) -> dict[str, Any]:
    """The fields of a JSON object. Raises ValueError for anything else.

    Also for numbers that no file of ours has, and for half characters: nothing that was
    read fails later on, when it is counted with or written again.
    """
    try:
        value = json.loads(data, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError(str(error)) from error
    except json.JSONDecodeError as error:
        what = f"it is not JSON, from line {error.lineno} on" if data.strip() else "it is empty"
        raise ValueError(what) from error
    except UnicodeError as error:
        raise ValueError("it is not text in UTF-8") from error
    if isinstance(value, dict):
        return value
    raise ValueError("it is not a JSON object")


def _whole(digits: str) -> int:
    number = int(digits)
    if not -COUNT_MAX <= number <= COUNT_MAX:
        raise ValueError("a number in it is too large")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number in it is none")
    return number


def _without_waiting(path: str, flags: int) -> int:
    """An `opener`: a pipe that lies there would wait for who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def json_bytes(value: dict[str, Any]) -> bytes:
    """Fields as they stand in a file. Raises UsageError for half characters: bytes that were no text."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError as error:  # it may be a secret: nothing of it is shown
        raise UsageError(reason="something that was given is no text in UTF-8") from error
