"""The agent: makes this machine reachable. It dials out to its relay and opens no port."""
