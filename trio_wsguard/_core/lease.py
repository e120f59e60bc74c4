"""The times of a lease: until when it is ours, and when it is to be renewed.

Two clocks are never compared. The store counts a lease from when it handled the
request, its holder from before it sent it: so the holder's lease always ends
first, by as much as the request was under way, however wrong either clock is set.
What is left is that one clock may run faster than the other, and that stopping
takes time; the margin is for both.

Source: Gray and Cheriton, "Leases", 1989, section 3.1 (the holder's term is the
server's, less what the message took and what clocks may differ).
"""

from __future__ import annotations

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError


@attrs.frozen(kw_only=True)
class LeasePolicy:
    """How a lease is held.

    Args:
        duration: Seconds that it lasts unless it is renewed; after a crash,
            nobody holds it for so long.
        margin: Seconds before its end at which a holder stops. It bounds what
            stopping may take, and how much faster the store's clock may run.
        retry_interval: Seconds at most between two tries to get a lease that
            another holds, or that the store gave no answer for.
    """

    duration: float = attrs.field(default=15, validator=checks.positive)
    margin: float = attrs.field(default=2, validator=checks.positive)
    retry_interval: float = attrs.field(default=0.5, validator=checks.positive)

    def __attrs_post_init__(self) -> None:
        if self.margin > self.duration / 2:
            problem = f"must be at most half of the duration of {self.duration}"
            raise PolicyError("margin", self.margin, problem)

    @property
    def renew_interval(self) -> float:
        """Seconds from one renewal to the next: a third, so that two may fail."""
        return (self.duration - self.margin) / 3

    @property
    def request_timeout(self) -> float:
        """Seconds that the store has for an answer: half of that, so that each can fail."""
        return self.renew_interval / 2

    def stop_at(self, asked_at: float) -> float:
        """Tell when the holder has to stop, in its own monotonic seconds.

        Args:
            asked_at: Before the request was sent that was granted last.
        """
        return asked_at + self.duration - self.margin
