"""A guard that draws its jitter from a source that nobody seeded."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "same_seed_same_trace"


@contextmanager
def mutated() -> Iterator[Parts]:
    def open_guard(*args: Any, rng: Random, policy: Any, **options: Any) -> Any:
        mine = Random(secrets.randbits(64))
        policy = wsguard.GuardPolicy.fleet()
        return wsguard.open_guarded_websocket(*args, rng=mine, policy=policy, **options)

    yield Parts(open_guard=partial(open_guard))
