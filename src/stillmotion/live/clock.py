"""When a camera frame was captured, by the sender's own clock.

WebRTC counts frames in ticks of 1/90000 s from an unknown start. The sender's reports (RTCP, RFC 3550
section 6.4.1) say now and then which tick belongs to which moment of its wall clock; with one, every
frame's tick becomes a moment. It is the clock of the machine with the camera, so a page there can hold
the result against it without asking whose clock is right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

TICKS = 90_000
_NTP_START = 2_208_988_800
_WRAP = 1 << 32


class CaptureClock:
    """Follows one incoming stream.

    Args:
        receiver: aiortc's receiver of it.
    """

    def __init__(self, receiver: Any) -> None:
        self._first: dict[int, int] = {}
        self._report: tuple[int, int, float] | None = None
        # aiortc hands packets to these two methods and keeps neither the first tick nor the reports: its public
        # statistics hold the moment of a report without its tick. Should the methods go, delays are counted from
        # arrival, live works as before, and a test says so.
        for name, look in (("_handle_rtp_packet", self._see_packet), ("_handle_rtcp_packet", self._see_report)):
            original = getattr(receiver, name, None)
            if original is not None:
                setattr(receiver, name, self._after(original, look))

    def captured(self, ticks: int | None) -> float | None:
        """When a frame was captured, in seconds of Unix time; None before the first report.

        Args:
            ticks: The frame's `pts`, which aiortc counts from the first packet.
        """
        if ticks is None or self._report is None:
            return None
        stream, tick, moment = self._report
        if stream not in self._first:
            return None
        since = (self._first[stream] + ticks - tick + _WRAP // 2) % _WRAP - _WRAP // 2
        return moment + since / TICKS

    def _see_packet(self, packet: Any) -> None:
        if packet.payload:  # padding that probes the network has no picture and no meaningful tick
            self._first.setdefault(packet.ssrc, packet.timestamp)

    def _see_report(self, packet: Any) -> None:
        sender = getattr(packet, "sender_info", None)
        if sender is not None and sender.ntp_timestamp:
            self._report = packet.ssrc, sender.rtp_timestamp, sender.ntp_timestamp / _WRAP - _NTP_START

    @staticmethod
    def _after(original: Callable[..., Awaitable[None]], look: Callable[[Any], None]) -> Callable[..., Awaitable[None]]:
        async def handle(packet: Any, *rest: Any, **options: Any) -> None:
            look(packet)
            await original(packet, *rest, **options)

        return handle
