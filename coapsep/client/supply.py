"""The body of a request, as the application produces it (RFC 7959 section 2.5)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

import trio


class Supply:
    """Takes from an async iterable what is needed next, and no sooner."""

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(source)
        self._wanted = trio.Event()
        self._scope = trio.CancelScope()

    def want(self) -> None:
        """More is needed."""
        self._wanted.set()

    def stop(self) -> None:
        """No more is: what produces it is cancelled."""
        self._scope.cancel()

    async def run(self, send: Callable[[bytes, bool], None]) -> None:
        """Send each chunk, and whether it is the last one, when it is wanted.

        Returns when all of it was sent, or it was stopped. Raises what the iterable raises, and
        TypeError if what it produces is no bytes.
        """
        try:
            with self._scope:
                last = False
                while not last:
                    await self._wanted.wait()
                    self._wanted = trio.Event()
                    try:
                        chunk = await anext(self._chunks)
                    except StopAsyncIteration:
                        chunk, last = b"", True
                    if not isinstance(chunk, bytes | bytearray | memoryview):
                        raise TypeError(
                            f"a payload that streams is made of bytes, not {type(chunk).__name__}"
                        )
                    send(bytes(chunk), last)
        finally:
            # One that is left in the middle would else be ended by the garbage collector.
            close = getattr(self._chunks, "aclose", None)
            if close is not None:
                await close()
