"""Mutants: parts with one bug each, which the conformance suite must find.

A mutant is a module. Its docstring tells the bug, `CAUGHT_BY` names the
property that finds it, and `mutated()` is a context manager that gives the
parts under test while the bug is in place.
"""
