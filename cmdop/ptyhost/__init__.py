"""A program in a PTY, whatever the platform: `factory.open_pty` is the way in."""
