"""Breaks runs on purpose: kills processes at random moments and resumes what they did, and runs random plans of which
much goes wrong. `python -m tests.torture --help`, or `make torture N=1000`."""
