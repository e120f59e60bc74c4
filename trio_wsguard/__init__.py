"""WebSocket connections that stay up, for trio.

Open one with `open_guarded_websocket`; it goes on across reconnects.
"""

from __future__ import annotations

from trio_wsguard._core.alerts import Alert as Alert
from trio_wsguard._core.alerts import AlertRaised as AlertRaised
from trio_wsguard._core.alerts import AlertResolved as AlertResolved
from trio_wsguard._core.backoff import Backoff as Backoff
from trio_wsguard._core.backoff import BackoffPolicy as BackoffPolicy
from trio_wsguard._core.backoff import ExponentialBackoff as ExponentialBackoff
from trio_wsguard._core.backoff import JitteredBackoff as JitteredBackoff
from trio_wsguard._core.backoff import LinearBackoff as LinearBackoff
from trio_wsguard._core.duplicates import DuplicateFilter as DuplicateFilter
from trio_wsguard._core.events import Anomaly as Anomaly
from trio_wsguard._core.events import AnomalyKind as AnomalyKind
from trio_wsguard._core.events import EventsDropped as EventsDropped
from trio_wsguard._core.events import Gap as Gap
from trio_wsguard._core.events import Recovery as Recovery
from trio_wsguard._core.failure import Failure as Failure
from trio_wsguard._core.failure import FailureKind as FailureKind
from trio_wsguard._core.failure import FailureRules as FailureRules
from trio_wsguard._core.failure import classify as classify
from trio_wsguard._core.health import RESPONSE_TIME_BUCKETS as RESPONSE_TIME_BUCKETS
from trio_wsguard._core.health import Health as Health
from trio_wsguard._core.health import HealthStatus as HealthStatus
from trio_wsguard._core.health import ResponseTimes as ResponseTimes
from trio_wsguard._core.health import Snapshot as Snapshot
from trio_wsguard._core.monitor import ConnectionMonitor as ConnectionMonitor
from trio_wsguard._core.notify import Grouping as Grouping
from trio_wsguard._core.notify import Notification as Notification
from trio_wsguard._core.notify import NotificationReason as NotificationReason
from trio_wsguard._core.notify import Notifier as Notifier
from trio_wsguard._core.rates import Rates as Rates
from trio_wsguard._core.rules import DOCUMENTED_RULES as DOCUMENTED_RULES
from trio_wsguard._core.rules import AlertLevel as AlertLevel
from trio_wsguard._core.rules import AlertRule as AlertRule
from trio_wsguard._core.state import TRANSITIONS as TRANSITIONS
from trio_wsguard._core.state import ConnectionState as ConnectionState
from trio_wsguard._core.state import StateChange as StateChange
from trio_wsguard._core.steady import HealthChange as HealthChange
from trio_wsguard._errors import ConnectFailedError as ConnectFailedError
from trio_wsguard._errors import ConnectionClosedError as ConnectionClosedError
from trio_wsguard._errors import ConnectionLostError as ConnectionLostError
from trio_wsguard._errors import FatalError as FatalError
from trio_wsguard._errors import GuardFailedError as GuardFailedError
from trio_wsguard._errors import IllegalTransitionError as IllegalTransitionError
from trio_wsguard._errors import InternalError as InternalError
from trio_wsguard._errors import PolicyError as PolicyError
from trio_wsguard._errors import TransportError as TransportError
from trio_wsguard._errors import WSGuardError as WSGuardError
from trio_wsguard._policy import AlertPolicy as AlertPolicy
from trio_wsguard._policy import FlappingPolicy as FlappingPolicy
from trio_wsguard._policy import GuardPolicy as GuardPolicy
from trio_wsguard._policy import HeartbeatPolicy as HeartbeatPolicy
from trio_wsguard._policy import WatchdogPolicy as WatchdogPolicy
from trio_wsguard._shell.attempt import Attempt as Attempt
from trio_wsguard._shell.connection import Connection as Connection
from trio_wsguard._shell.dial import Target as Target
from trio_wsguard._shell.guard import GuardedWebSocket as GuardedWebSocket
from trio_wsguard._shell.guard import open_guarded_websocket as open_guarded_websocket
from trio_wsguard._shell.heartbeats import Answer as Answer
from trio_wsguard._shell.heartbeats import JsonHeartbeat as JsonHeartbeat
from trio_wsguard._shell.heartbeats import LwpHeartbeat as LwpHeartbeat
from trio_wsguard._shell.heartbeats import MessageHeartbeat as MessageHeartbeat
from trio_wsguard._shell.heartbeats import PingHeartbeat as PingHeartbeat
from trio_wsguard._shell.heartbeats import TextHeartbeat as TextHeartbeat
from trio_wsguard._shell.listeners import Event as Event
from trio_wsguard._shell.listeners import EventStream as EventStream
from trio_wsguard._shell.supervisor import CloseReason as CloseReason
from trio_wsguard._shell.transport import Handshake as Handshake
from trio_wsguard._shell.transport import Transport as Transport
