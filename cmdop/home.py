"""The folder that holds a user's state: private, atomic, and never silently replaced.

`~/.cmdop`, or what CMDOP_HOME names. Folders are 0700 and files 0600. A write either
happened whole or not at all; a file that cannot be understood is set aside under
another name, and the user is told which.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from cmdop.errors import ConfigCorrupt, HomeUnusable


class Home:
    """One CMDOP_HOME. Nothing is created before something is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        return self.path / name

    def folder(self) -> Path:
        """The folder itself, made if need be. Raises HomeUnusable."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(path=self.path, reason=error.strerror) from error
        return self.path

    def read_bytes(self, name: str) -> bytes | None:
        """A file's content, None where there is none. Raises HomeUnusable."""
        try:
            return self.file(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeUnusable(path=self.file(name), reason=error.strerror) from error

    def write_bytes(self, name: str, data: bytes) -> None:
        """Put a private file in place at once; the old one stays if it fails.

        Raises HomeUnusable when the folder is read-only or the disk is full.
        """
        import tempfile  # reading is what every start does, and that needs none of it

        folder = self.folder()
        scratch = None
        try:
            # mkstemp makes it 0600 and never follows a link that lies in wait.
            fd, scratch = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            with os.fdopen(fd, "wb") as file:
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

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON object's fields, None where there is no such file.

        Raises ConfigCorrupt for anything else, after setting the file aside.
        """
        data = self.read_bytes(name)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.set_aside(name, str(error)) from error
        if not isinstance(value, dict):
            raise self.set_aside(name, "it is not a JSON object")
        return value

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write_bytes(name, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")

    def set_aside(self, name: str, reason: str) -> ConfigCorrupt:
        """Move a file that makes no sense out of the way; the error that says so."""
        number = 1
        while (aside := self.file(f"{name}.corrupt-{number}")).exists():
            number += 1
        try:
            os.replace(self.file(name), aside)
        except OSError as error:
            raise HomeUnusable(path=self.file(name), reason=error.strerror) from error
        return ConfigCorrupt(path=self.file(name), reason=reason, aside=aside)
