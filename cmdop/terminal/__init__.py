"""The user's own terminal: raw mode, its size, its output, and the modes to undo."""
