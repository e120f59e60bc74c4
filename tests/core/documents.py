"""The documents' own numbers, written out by hand."""

from __future__ import annotations

from random import Random

from trio_wsguard._core.failure import FailureKind

# Seconds added by each failure, and the cap.
STEP_AND_CAP = {
    FailureKind.CLOSED: (3, 15),
    FailureKind.HEARTBEAT: (3, 15),
    FailureKind.NETWORK: (10, 60),
    FailureKind.TIMEOUT: (10, 60),
    FailureKind.REJECTED: (5, 30),
    FailureKind.TLS: (5, 30),
    FailureKind.PROTOCOL: (5, 30),
    FailureKind.OTHER: (5, 30),
}


def seeded(seed: int) -> Random:
    """Make the source of one run's jitter."""
    return Random(seed)
