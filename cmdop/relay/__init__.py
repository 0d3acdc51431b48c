"""The relay: lets callers in, knows which machine is there, and switches frames.

`router`, `presence`, `pulse` and `throttle` decide, without I/O, clock or locks;
`switch` does what they say for every connection, `server` accepts, `gate` looks at
credentials, `recorder` writes to the store beside it all, `admin` keeps the records.
"""
