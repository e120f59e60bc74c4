"""Leases in Redis (extra `redis`)."""

from __future__ import annotations

from trio_wsguard._shell.redis_leases import RedisLeases as RedisLeases
from trio_wsguard._shell.redis_leases import open_redis_leases as open_redis_leases
