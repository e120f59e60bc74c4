"""A WebSocket server that does what a script says; see `ScriptedPeer`."""

from __future__ import annotations

from trio_wsguard.testing.peer.acknowledging import Acknowledge as Acknowledge
from trio_wsguard.testing.peer.beats import AnswerBeats as AnswerBeats
from trio_wsguard.testing.peer.beats import BeatAnswer as BeatAnswer
from trio_wsguard.testing.peer.beats import IgnoreBeats as IgnoreBeats
from trio_wsguard.testing.peer.conversation import Conversation as Conversation
from trio_wsguard.testing.peer.ending import Close as Close
from trio_wsguard.testing.peer.ending import Drop as Drop
from trio_wsguard.testing.peer.ending import Reset as Reset
from trio_wsguard.testing.peer.frames import VIOLATIONS as VIOLATIONS
from trio_wsguard.testing.peer.frames import Violation as Violation
from trio_wsguard.testing.peer.frames import close_frame as close_frame
from trio_wsguard.testing.peer.frames import frame as frame
from trio_wsguard.testing.peer.log import Log as Log
from trio_wsguard.testing.peer.log import PushLog as PushLog
from trio_wsguard.testing.peer.loopback import LoopbackServer as LoopbackServer
from trio_wsguard.testing.peer.loopback import open_loopback as open_loopback
from trio_wsguard.testing.peer.misbehaviour import CutFrame as CutFrame
from trio_wsguard.testing.peer.misbehaviour import HoldOpen as HoldOpen
from trio_wsguard.testing.peer.misbehaviour import IgnoreClose as IgnoreClose
from trio_wsguard.testing.peer.misbehaviour import SendRaw as SendRaw
from trio_wsguard.testing.peer.misbehaviour import Violate as Violate
from trio_wsguard.testing.peer.opening import Accept as Accept
from trio_wsguard.testing.peer.opening import Redirect as Redirect
from trio_wsguard.testing.peer.opening import Reject as Reject
from trio_wsguard.testing.peer.peer import ScriptedPeer as ScriptedPeer
from trio_wsguard.testing.peer.record import ConnectionRecord as ConnectionRecord
from trio_wsguard.testing.peer.record import End as End
from trio_wsguard.testing.peer.record import Received as Received
from trio_wsguard.testing.peer.script import Script as Script
from trio_wsguard.testing.peer.script import Stage as Stage
from trio_wsguard.testing.peer.script import Step as Step
from trio_wsguard.testing.peer.talk import Call as Call
from trio_wsguard.testing.peer.talk import Echo as Echo
from trio_wsguard.testing.peer.talk import Feed as Feed
from trio_wsguard.testing.peer.talk import Push as Push
from trio_wsguard.testing.peer.talk import PushFragmented as PushFragmented
from trio_wsguard.testing.peer.talk import Receive as Receive
from trio_wsguard.testing.peer.talk import Silence as Silence
from trio_wsguard.testing.peer.talk import StopReading as StopReading
from trio_wsguard.testing.peer.talk import Wait as Wait
