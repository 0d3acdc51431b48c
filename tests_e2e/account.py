"""An account of the tests' own, for shells that are started as a login starts them.

What a user's own start-up files do is nobody's business here, and may take long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NSS_WRAPPER = "libnss_wrapper.so"
"""Answers for the system's records of users and hosts, in the processes that load it."""


def has_nss_wrapper() -> bool:
    """Whether it is installed; it works on Linux."""
    if sys.platform != "linux":
        return False
    loaded = subprocess.run(["sh", "-c", ":"], env={"LD_PRELOAD": NSS_WRAPPER}, capture_output=True, check=False)
    return not loaded.stderr


def account_of_its_own(folder: Path) -> dict[str, str]:
    """The variables for processes to which this user has bash, and an empty home in `folder`.

    None where that cannot be: then the user's own home has to do.
    """
    if not has_nss_wrapper():
        return {}
    home, passwd, group = folder / "account", folder / "passwd", folder / "group"
    home.mkdir(exist_ok=True)
    passwd.write_text(f"ann:x:{os.geteuid()}:{os.getegid()}:Ann:{home}:/bin/bash\n", encoding="utf-8")
    group.write_text(f"ann:x:{os.getegid()}:\n", encoding="utf-8")
    return {"LD_PRELOAD": NSS_WRAPPER, "NSS_WRAPPER_PASSWD": str(passwd), "NSS_WRAPPER_GROUP": str(group)}
