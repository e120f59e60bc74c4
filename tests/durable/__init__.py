"""Tests on real files: what is stored, what is found again, what is refused."""
