"""Frames and control messages as bytes. Knows no role, no time and no socket.

`frame` is what the relay sees, `record` what only client and agent see, `message`
the base of all control messages; `relay_messages` and `session_messages` list them.
docs/protocol.md is the description, tests/vectors/ holds golden bytes.
"""
