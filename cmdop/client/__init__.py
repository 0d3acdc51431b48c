"""The client: which machine, what the keys do, the pumps between terminal and session."""
