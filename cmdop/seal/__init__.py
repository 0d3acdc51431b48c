"""The end-to-end channel between client and agent: the relay sees only sealed bytes."""
