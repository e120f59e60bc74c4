"""Faults: small rules on a link, one per file."""

from __future__ import annotations

from trio_wsguard.testing.faults.accept_then_close import AcceptThenClose as AcceptThenClose
from trio_wsguard.testing.faults.accept_then_silent import AcceptThenSilent as AcceptThenSilent
from trio_wsguard.testing.faults.bandwidth import Bandwidth as Bandwidth
from trio_wsguard.testing.faults.blackhole import Blackhole as Blackhole
from trio_wsguard.testing.faults.coalesce import Coalesce as Coalesce
from trio_wsguard.testing.faults.corrupt import Corrupt as Corrupt
from trio_wsguard.testing.faults.dns_failure import DnsFailure as DnsFailure
from trio_wsguard.testing.faults.fault import Direction as Direction
from trio_wsguard.testing.faults.fault import Fault as Fault
from trio_wsguard.testing.faults.half_close import HalfClose as HalfClose
from trio_wsguard.testing.faults.half_open import HalfOpen as HalfOpen
from trio_wsguard.testing.faults.handshake_delay import HandshakeDelay as HandshakeDelay
from trio_wsguard.testing.faults.hold import Hold as Hold
from trio_wsguard.testing.faults.latency import Latency as Latency
from trio_wsguard.testing.faults.limit_data import LimitData as LimitData
from trio_wsguard.testing.faults.loss import Loss as Loss
from trio_wsguard.testing.faults.nat_timeout import NatTimeout as NatTimeout
from trio_wsguard.testing.faults.partition import Partition as Partition
from trio_wsguard.testing.faults.plan import RECOVERABLE as RECOVERABLE
from trio_wsguard.testing.faults.plan import FaultPlan as FaultPlan
from trio_wsguard.testing.faults.plan import random_plan as random_plan
from trio_wsguard.testing.faults.quota import Quota as Quota
from trio_wsguard.testing.faults.refuse import Refuse as Refuse
from trio_wsguard.testing.faults.reset_peer import ResetPeer as ResetPeer
from trio_wsguard.testing.faults.short_buffer import ShortBuffer as ShortBuffer
from trio_wsguard.testing.faults.slicer import Slicer as Slicer
from trio_wsguard.testing.faults.slow_close import SlowClose as SlowClose
from trio_wsguard.testing.faults.stall_read import StallRead as StallRead
from trio_wsguard.testing.faults.timeout import Timeout as Timeout
from trio_wsguard.testing.faults.tls_failure import TlsFailure as TlsFailure
from trio_wsguard.testing.faults.unreachable import Unreachable as Unreachable
