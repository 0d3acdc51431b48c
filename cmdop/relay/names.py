"""What may be the name of a workspace, an operator, a machine.

Names end up in other people's terminals, so nothing in them may move a cursor.
"""

from __future__ import annotations

from cmdop.errors import RemoteProtocolError, UsageError
from cmdop.limits import NAME_MAX_CHARS


def fault(name: str) -> str | None:
    """What is wrong with a name, as the end of a sentence, or None."""
    if not name:
        return "it is empty"
    if len(name) > NAME_MAX_CHARS:
        return f"it is longer than {NAME_MAX_CHARS} characters"
    if not name.isprintable():
        return "it has characters that cannot be printed"
    if name != name.strip():
        return "it begins or ends with a space"
    return None


def check_chosen(kind: str, name: str) -> str:
    """A name that the user chose. Raises UsageError, which says what is wrong with it."""
    wrong = fault(name)
    if wrong is not None:
        raise UsageError(reason=f"{name!r} cannot be a {kind}: {wrong}")
    return name


def check_heard(kind: str, name: str) -> str:
    """A name that a peer told. Raises RemoteProtocolError."""
    wrong = fault(name)
    if wrong is not None:
        raise RemoteProtocolError(reason=f"its {kind} cannot be one: {wrong}")
    return name
