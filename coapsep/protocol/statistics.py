"""What is counted. Every drop, refusal and oddity has a number here."""

from __future__ import annotations

import operator

import attrs

# For so many fields, what attrs writes for ``==`` and ``repr`` takes milliseconds to compile.


@attrs.define(eq=False, repr=False)
class Counters:
    """Running totals since the start; the parts of one endpoint share one object."""

    datagrams_received: int = 0
    """Datagrams that arrived, of any kind."""
    datagrams_sent: int = 0
    """Datagrams handed to the transport."""
    datagrams_too_large: int = 0
    """Longer than Limits.datagram_size: answered 4.13 where possible, else dropped."""
    datagrams_unsent: int = 0
    """Dropped because the socket did not take them and Limits.unsent was reached."""
    send_errors: int = 0
    """Refused by the operating system."""

    malformed: int = 0
    """Message format errors: a CON was answered with RST, the rest ignored."""
    ignored: int = 0
    """Messages that RFC 7252 wants ignored: another version, an ACK or RST that matches
    nothing, an Empty NON, an unexpected NON response."""
    pings: int = 0
    """Empty CONs, each answered with RST."""
    rejected: int = 0
    """Unexpected CON responses, each answered with RST, and NON requests with critical
    options that are not understood."""

    requests: int = 0
    """Requests that opened an exchange."""
    copies_answered: int = 0
    """Copies of a CON that got the stored reply."""
    copies_ignored: int = 0
    """Copies of a NON, or of a CON that has no reply yet."""
    repeats: int = 0
    """Identical requests with a new message ID while their token was pending."""
    bad_options: int = 0
    """CON requests refused with 4.02 before any handler."""
    refused: int = 0
    """Requests refused with 5.03, or a NON dropped, because a limit was reached."""
    dedup_evicted: int = 0
    """Entries of the deduplication table that left before their time."""

    piggybacked: int = 0
    """Responses sent in the ACK."""
    empty_acks: int = 0
    """Requests acknowledged before their response was there."""
    separate: int = 0
    """Responses sent as a CON of their own."""
    non_responses: int = 0
    """Responses sent as a NON."""
    retransmissions: int = 0
    """CONs sent again."""
    delivered: int = 0
    """Separate responses that were acknowledged."""
    reset: int = 0
    """Separate responses that were answered with RST."""
    timed_out: int = 0
    """Separate responses that nobody acknowledged."""
    dropped: int = 0
    """Responses that waited behind one that timed out, or had no message ID left."""
    replaced: int = 0
    """Requests whose token a different request took over."""
    session_lost: int = 0
    """Requests that were open when their session went."""
    responses_abandoned: int = 0
    """Responses not sent because their token was taken over or their session had gone."""

    suppressed: int = 0
    """Responses not sent because the client has no interest in them, or they were errors to a
    request that came by multicast."""
    echo_challenges: int = 0
    """Answers held back until the client has returned an Echo value; see Limits.amplification."""
    amplification_withheld: int = 0
    """Copies and repetitions not sent to a client whose address may be forged."""
    notifications: int = 0
    """Notifications sent to observers; one that replaces another is not counted again."""
    notifications_reset: int = 0
    """Notifications answered with RST: the observer is gone."""
    observers_lost: int = 0
    """Observers that did not acknowledge a notification."""
    observers_refused: int = 0
    """Requests to observe that were answered but not entered, because a limit was reached."""

    requests_sent: int = 0
    """Requests of ours that left, those to groups included."""
    pings_sent: int = 0
    """Pings of ours that left."""
    responses: int = 0
    """Responses to requests of ours."""
    notifications_received: int = 0
    """Those of them that are a new state of what we observe."""
    notifications_stale: int = 0
    """Those of them that are older than one that came before."""
    requests_failed: int = 0
    """Requests and pings of ours that ended without a response."""
    requests_cancelled: int = 0
    """Requests and pings of ours that the application gave up."""
    refusals: int = 0
    """Datagrams of ours for which the network says that nobody is at their port."""

    handler_errors: int = 0
    """Handlers that raised something other than a ResponseError, or returned rubbish."""
    async_registered: int = 0
    """Pending requests that were registered."""
    async_refused: int = 0
    """Registrations that were refused: token taken, or a limit reached."""
    async_expired: int = 0
    """Pending requests that reached Limits.pending_age."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return attrs.astuple(self) == attrs.astuple(other)

    def __repr__(self) -> str:
        told = [f"{name}={number}" for name, number in attrs.asdict(self).items() if number]
        return f"{type(self).__name__}({', '.join(told)})"


@attrs.frozen(eq=False, repr=False)
class Statistics(Counters):
    """A snapshot of the totals, with what is held at this moment."""

    peers: int = 0
    """Sessions of which something is remembered."""
    open_requests: int = 0
    """Requests that run, are pending, or wait for their response to be acknowledged."""
    own_requests: int = 0
    """Requests and pings of ours that are not over."""
    dedup_entries: int = 0
    """Message IDs remembered."""
    dedup_bytes: int = 0
    """Bytes of replies kept with them."""
    observers: int = 0
    """Clients that are kept up to date."""
    body_bytes: int = 0
    """Bytes of bodies whose blocks come and go."""
    timers: int = 0
    """Retransmissions and other deadlines that are set."""
    pending: int = 0
    """Pending async requests."""
    datagrams_to_groups: int = 0
    """Dropped by the transport: sent to a multicast group or to everybody."""

    def __add__(self, other: Statistics) -> Statistics:
        """The two together, such as those of two worker processes."""
        if not isinstance(other, Statistics):
            return NotImplemented
        return Statistics(*map(operator.add, attrs.astuple(self), attrs.astuple(other)))
