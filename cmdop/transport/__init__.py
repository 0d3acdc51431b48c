"""Whole messages between two ends: dialled, accepted, or within one process."""
