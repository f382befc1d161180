"""A peer that does as a script says, so that a test reads like the figures of the RFCs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from coapsep.address import Address
from coapsep.background import open_background
from coapsep.message.codec import decode, encode
from coapsep.message.message import Malformed, Message
from coapsep.testing.hosts import is_group, parse_address
from coapsep.testing.inbox import LIMIT, Arrival, Inbox
from coapsep.testing.line import parse_line
from coapsep.testing.network import Network
from coapsep.testing.pattern import Difference, Pattern
from coapsep.testing.script import Action, Step, mark_step, parse_script
from coapsep.testing.script_failed import ScriptFailed, mismatch
from coapsep.testing.virtual_transport import VirtualTransport

#: More than EXCHANGE_LIFETIME, 247 s (RFC 7252 section 4.8.2): what has not come will not.
_LONG = 1000.0
_SILENCE = 300.0
#: Datagrams in the ladder of a failure.
_LADDER = 50


class ScriptedPeer:
    """One address on a virtual network that says what it is told to, and nothing by itself.

    It plays a client or a server. ``open_scripted_peer`` makes one. The lines that ``send``
    and ``expect`` take are those of a ladder, such as ``ACK [MID=$a], 2.05, T=$t, "done"``.
    A name like ``$a`` stands for what was there when it was first expected; ``*`` is
    anything, and ``...`` at the end allows what the line does not mention. All of it is in
    testing/line.py.

    What arrives is kept until it is expected, 1024 datagrams at most.
    """

    def __init__(
        self, network: Network, transport: VirtualTransport, remote: Address | None
    ) -> None:
        self._network = network
        #: What it sends and receives with, for example to join a group.
        self.transport: VirtualTransport = transport
        #: Where it is bound.
        self.address: Address = transport.address
        self._remote = _read_address("remote", remote)
        # Members of a group answer from addresses of their own (RFC 7252 section 8.2).
        is_one = self._remote is not None and not is_group(self._remote.host)
        self._from = self._remote if is_one else None
        self._last: Address | None = None
        self._names: dict[str, bytes] = {}
        self._inbox = Inbox()

    @property
    def remote(self) -> Address | None:
        """Whom it talks to: the address it was given, else where the last one came from."""
        return self._remote or self._last

    # -- one line --------------------------------------------------------------------

    def send(self, line: str, *, to: Address | None = None) -> Message:
        """Send the message of a line to ``to``, or else to ``remote``; returns it.

        Raises ValueError if the line is wrong, has a part that is open or a name that is not
        known, or if there is nobody to send it to.
        """
        return self._send(parse_line(line), line, to)

    def send_bytes(self, data: bytes, *, to: Address | None = None) -> None:
        """Send a datagram of these bytes, whether or not they are a message."""
        to = _read_address("to", to) or self.remote
        if to is None:
            raise ValueError("nobody to send to: give a remote, or to=, or expect something first")
        if not self.transport.send(data, self.transport.session_to(to)):
            raise RuntimeError("the transport is blocked: set transport.blocked to False first")

    async def expect(
        self, line: str, *, within: float = _LONG, source: Address | None = None
    ) -> Message:
        """Wait for the next datagram, which must be the message of a line; returns it.

        It must arrive within so many seconds, and come from the remote that the peer was
        given, if it was. With a ``source`` it is the next one from there, and what has come
        from others waits. Raises ScriptFailed, and ValueError if the line is wrong.
        """
        pattern = parse_line(line)
        only = _read_address("source", source)
        with self._reporting():
            arrival = await self._inbox.take(trio.current_time() + within, only)
            if arrival is None:
                raise self._missing(pattern, line, f"in {within:g} s")
            return self._judge(arrival, pattern, line, only or self._from)

    async def expect_nothing(self, seconds: float = _SILENCE) -> None:
        """See that nothing arrives for so long, and that all that has arrived was expected.

        By default this is longer than a message can live (RFC 7252 section 4.8.2).
        Raises ScriptFailed as soon as something arrives.
        """
        with self._reporting():
            await self._silence(trio.current_time() + seconds, f"nothing for {seconds:g} s")

    # -- many lines ------------------------------------------------------------------

    async def play(self, script: str) -> None:
        """Play the lines of a script, one after the other.

        ::

            await peer.play('''
                --> CON [MID=0x7d34], GET, /temperature, T=20
                <-- ACK [MID=0x7d34], 2.05 Content, T=20, "22.3 C"
            ''')

        - ``-->`` is sent, ``<--`` must arrive next.
        - ``--X`` is sent and lost on the way. ``X--`` must be sent by the other side after
          what is above it has happened, and is lost.
        - ``@ 2..3``: the next one comes 2 to 3 seconds after the beginning of the script.
        - ``@ 5``: time passes until 5 seconds after the beginning, and nothing arrives.
        - ``#`` begins a remark.

        Raises ScriptFailed, and ValueError: if a line is wrong, before anything is sent.
        """
        steps = parse_script(script)
        start = trio.current_time()
        for step in steps:
            with self._reporting(f"\n\n{mark_step(script, step)}"):
                await self._play(step, start)
        await trio.lowlevel.checkpoint()

    async def _play(self, step: Step, start: float) -> None:
        pattern = step.pattern
        if pattern is None:
            until = start + step.earliest
            await self._silence(until, f"nothing until {step.earliest:g} s")
        elif step.action is Action.SEND:
            self._send(pattern, step.text)
        elif step.action is Action.SEND_LOST:
            drop = self._network.drop()  # of this one: nothing else is sent meanwhile
            try:
                self._send(pattern, step.text)
            finally:
                drop.remove()
        else:
            await self._play_expect(step, pattern, start)

    async def _play_expect(self, step: Step, pattern: Pattern, start: float) -> None:
        if step.latest is None:
            deadline, span = trio.current_time() + _LONG, f"in {_LONG:g} s"
        else:
            deadline, span = start + step.latest, f"until {step.latest:g} s"
        if step.action is Action.EXPECT:
            arrival = await self._inbox.take(deadline)
        else:
            arrival = await self._next_lost(deadline)
        if arrival is None:
            raise self._missing(pattern, step.text, span)
        self._judge(arrival, pattern, step.text, self._from)
        after = arrival.time - start
        if step.latest is not None and not step.earliest <= after <= step.latest:
            raise mismatch(
                f"it {step.earliest:g} to {step.latest:g} s after the beginning",
                f"{arrival}, after {after:g} s",
            )

    # -- inside ----------------------------------------------------------------------

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await self.transport.run(self._inbox.put, lambda session: None)

    async def _next_lost(self, deadline: float) -> Arrival | None:
        """The next that is sent to this peer, which is kept from arriving."""
        caught: list[Arrival] = []
        done = trio.Event()

        def catch(source: Address, destination: Address, data: bytes) -> bool:
            caught.append(Arrival(data, source, trio.current_time()))
            done.set()
            return True

        drop = self._network.drop(
            source=self._from, destination=self.address, matching=catch, nth=1
        )
        try:
            with trio.CancelScope(deadline=deadline):
                await done.wait()
        finally:
            drop.remove()
        return caught[0] if caught else None

    async def _silence(self, until: float, wanted: str) -> None:
        arrival = await self._inbox.take(until)
        if arrival is not None:
            raise mismatch(wanted, str(arrival))

    def _judge(
        self, arrival: Arrival, pattern: Pattern, line: str, source: Address | None
    ) -> Message:
        """The message that arrived, if it is the one that was expected."""
        message = decode(arrival.data)
        if isinstance(message, Malformed):
            raise mismatch(line, str(arrival))
        differences, names = pattern.compare(message, self._names)
        if source not in (None, arrival.source):
            differences.append(Difference("from", str(source), str(arrival.source)))
        if differences:
            rows = [(difference.field, str(difference)) for difference in differences]
            raise mismatch(line, str(arrival), rows)
        self._names = names
        self._last = arrival.source
        return message

    def _missing(self, pattern: Pattern, line: str, span: str) -> ScriptFailed:
        known = [name for name in pattern.names if name in self._names]
        rows = [(f"${name}", f"0x{self._names[name].hex()}") for name in known]
        return mismatch(line, f"nothing {span}", rows)

    @contextmanager
    def _reporting(self, script: str = "") -> Iterator[None]:
        """Add to a failure what helps to understand it."""
        try:
            yield
        except ScriptFailed as exc:
            ladder = self._network.trace.ladder(limit=_LADDER)
            more = ""
            if self._inbox.dropped:
                more = f"{self._inbox.dropped} more did not fit into the buffer of {LIMIT}.\n\n"
            raise ScriptFailed(f"{exc}{script}\n\n{more}{ladder}") from None

    def _send(self, pattern: Pattern, line: str, to: Address | None = None) -> Message:
        try:
            message = pattern.message(self._names)
            if message.options.faulty:
                raise ValueError("=invalid cannot be sent: write the value, as 0x and hex digits")
            data = encode(message)
        except ValueError as exc:
            raise ValueError(f"{exc}\n    {line}") from None
        self.send_bytes(data, to=to)
        return message


@asynccontextmanager
async def open_scripted_peer(
    network: Network, host: str, port: int = 5683, *, remote: Address | None = None
) -> AsyncGenerator[ScriptedPeer, None]:
    """A ScriptedPeer at an address of a virtual network, for the length of a block.

    ``remote`` is whom it talks to. If that is one host, all that arrives must come from
    there; a group answers from anywhere. Without a remote, it talks to whoever sent what it
    has expected last. Port 0 picks a free one.

    ::

        async with open_scripted_peer(network, "10.0.0.2", remote=server.addresses[0]) as peer:
            peer.send("CON [MID=0x7d34], GET, /temperature, T=20")
            await peer.expect('ACK [MID=0x7d34], 2.05, T=20, Content-Format=0, "22.3 C"')

    Raises ValueError for a host that is no IP address, OSError if the address is taken.
    """
    transport = network.bind(host, port)
    try:
        peer = ScriptedPeer(network, transport, remote)
        async with open_background(peer._run):
            yield peer
    finally:
        transport.close()


def _read_address(name: str, value: Address | None) -> Address | None:
    """An address that a test has given, in normal form."""
    if value is None:
        return None
    if not isinstance(value, Address):
        raise TypeError(f"{name} is an Address, such as Address('10.0.0.1', 5683), not {value!r}")
    return parse_address(value)
