"""The heartbeat that the clients of two benchmarks have: the same for all."""

from __future__ import annotations

from typing import Final

import trio_wsguard as wsguard

INTERVAL: Final = 0.5  # seconds
TIMEOUT: Final = 0.5  # seconds


def policy(missed: int = 1, scale: float = 1.0) -> wsguard.GuardPolicy:
    """Make the guard's settings.

    Args:
        missed: Beats missed in a row that are too many.
        scale: What the heartbeat's times are multiplied by.
    """
    return wsguard.GuardPolicy(
        heartbeat=wsguard.HeartbeatPolicy(
            interval=INTERVAL * scale,
            send_timeout=TIMEOUT * scale,
            response_timeout=TIMEOUT * scale,
            slow_response=TIMEOUT * scale,
            max_missed=missed,
        )
    )
