"""How an agent is, in one word, as `cmdop agent status` says it."""

from __future__ import annotations

from typing import Final

ONLINE: Final = "ONLINE"
"""The relay knows it, and it can be reached."""
DEGRADED: Final = "DEGRADED"
"""It was online and is not now; it dials again."""
STARTING: Final = "STARTING"
"""It has not been online yet."""

DIALLING: Final = "dialling the relay"
"""The reason that it is STARTING, until there is a better one."""
HOST_SILENT: Final = "the session host does not answer"
"""Why it is STARTING while its session host becomes another program, or stands still."""
