"""The relay's records: workspaces, keys and machines, kept in one of several ways.

`interface` is what every store promises; `sqlite` is the embedded default. The
conformance tests in tests/store/test_conformance.py hold for each of them.
"""
