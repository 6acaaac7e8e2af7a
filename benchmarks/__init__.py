"""Measures `ChatPmock` next to the least that it could cost, and to its peers.

Run `make bench`, or `python -m benchmarks --help`. README.md tells what is measured.
"""
