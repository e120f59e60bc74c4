"""The test kit: a network in memory, faults, a scripted peer.

What needs Hypothesis or pytest lives in `trio_wsguard.testing.strategies`,
`trio_wsguard.testing.conformance` and `trio_wsguard.testing.plugin`.
"""

from __future__ import annotations

from trio_wsguard.testing.connection import Dialing as Dialing
from trio_wsguard.testing.connection import SimulatedConnection as SimulatedConnection
from trio_wsguard.testing.faults import RECOVERABLE as RECOVERABLE
from trio_wsguard.testing.faults import AcceptThenClose as AcceptThenClose
from trio_wsguard.testing.faults import AcceptThenSilent as AcceptThenSilent
from trio_wsguard.testing.faults import Bandwidth as Bandwidth
from trio_wsguard.testing.faults import Blackhole as Blackhole
from trio_wsguard.testing.faults import Coalesce as Coalesce
from trio_wsguard.testing.faults import Corrupt as Corrupt
from trio_wsguard.testing.faults import Direction as Direction
from trio_wsguard.testing.faults import DnsFailure as DnsFailure
from trio_wsguard.testing.faults import Fault as Fault
from trio_wsguard.testing.faults import FaultPlan as FaultPlan
from trio_wsguard.testing.faults import HalfClose as HalfClose
from trio_wsguard.testing.faults import HalfOpen as HalfOpen
from trio_wsguard.testing.faults import HandshakeDelay as HandshakeDelay
from trio_wsguard.testing.faults import Hold as Hold
from trio_wsguard.testing.faults import Latency as Latency
from trio_wsguard.testing.faults import LimitData as LimitData
from trio_wsguard.testing.faults import Loss as Loss
from trio_wsguard.testing.faults import NatTimeout as NatTimeout
from trio_wsguard.testing.faults import Partition as Partition
from trio_wsguard.testing.faults import Quota as Quota
from trio_wsguard.testing.faults import Refuse as Refuse
from trio_wsguard.testing.faults import ResetPeer as ResetPeer
from trio_wsguard.testing.faults import ShortBuffer as ShortBuffer
from trio_wsguard.testing.faults import Slicer as Slicer
from trio_wsguard.testing.faults import SlowClose as SlowClose
from trio_wsguard.testing.faults import StallRead as StallRead
from trio_wsguard.testing.faults import Timeout as Timeout
from trio_wsguard.testing.faults import TlsFailure as TlsFailure
from trio_wsguard.testing.faults import Unreachable as Unreachable
from trio_wsguard.testing.faults import random_plan as random_plan
from trio_wsguard.testing.leases import MemoryLeases as MemoryLeases
from trio_wsguard.testing.link import Link as Link
from trio_wsguard.testing.network import Listener as Listener
from trio_wsguard.testing.network import SimulatedNetwork as SimulatedNetwork
from trio_wsguard.testing.simulation import StandstillError as StandstillError
from trio_wsguard.testing.simulation import run_simulation as run_simulation
from trio_wsguard.testing.stream import SimulatedStream as SimulatedStream
from trio_wsguard.testing.trace import Trace as Trace
from trio_wsguard.testing.trace import TraceEntry as TraceEntry
from trio_wsguard.testing.trace import describe as describe
