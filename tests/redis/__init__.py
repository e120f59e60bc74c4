"""Tests with a real Redis on loopback."""
