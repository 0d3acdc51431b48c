"""Decisions about sessions, without I/O, threads or a clock of their own."""
