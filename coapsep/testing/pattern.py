"""What a line of a script says of a message, and how a message differs from it.

Every field is bytes here, as on the wire: a message ID is two, a code one. So what a name has
been given in one field can stand in any other, such as an ETag of a response in the If-Match
of the next request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import attrs

from coapsep.message.definitions import option_name
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import CODES, Code, Type
from coapsep.trace.notation import describe


@attrs.frozen
class Open:
    """A field that may be anything: ``*``, or a name that remembers what it was."""

    name: str = ""
    """Without the ``$``; "" for ``*``."""

    def __str__(self) -> str:
        return f"${self.name}" if self.name else "*"


Slot: TypeAlias = "bytes | Open"


@attrs.frozen
class Difference:
    """One field in which a message is not what was expected, as text for people."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}"


@attrs.frozen
class Pattern:
    """A message of which parts may be open; ``parse_line`` reads one."""

    type: Type
    mid: Slot
    """The message ID, two bytes."""

    code: Slot
    """One byte."""

    token: Slot | None = None
    """None if the line does not mention it; so with the payload."""

    options: Mapping[int, tuple[Slot, ...]] = attrs.field(factory=dict)
    """All values of each option that is mentioned; none for one that must not be there."""

    faulty: tuple[int, ...] = ()
    payload: Slot | None = None

    more: bool = False
    """Whether what is not mentioned may be anything, and not only absent."""

    @property
    def is_open(self) -> bool:
        """Whether more than one message fits, whatever the names stand for."""
        return self.more or any(slot == Open() for slot in self._slots())

    @property
    def names(self) -> tuple[str, ...]:
        """The names in it, each once."""
        found = (slot.name for slot in self._slots() if isinstance(slot, Open))
        return tuple(dict.fromkeys(filter(None, found)))

    def message(self, names: Mapping[str, bytes]) -> Message:
        """The one message that fits. Raises ValueError if it is open, or a name unknown."""
        if self.is_open:
            raise ValueError("a message to send has no open fields: neither * nor ... can be sent")
        mid = _fill_exactly(2, self.mid, names, "message ID")
        code = _fill_exactly(1, self.code, names, "code")
        pairs = [
            (number, _fill(slot, names)) for number, slots in self.options.items() for slot in slots
        ]
        return Message(
            CODES[code[0]],
            self.type,
            int.from_bytes(mid, "big"),
            _fill(self.token or b"", names),
            Options(pairs, faulty=self.faulty),
            _fill(self.payload or b"", names),
        )

    def compare(
        self, message: Message, names: Mapping[str, bytes]
    ) -> tuple[list[Difference], dict[str, bytes]]:
        """Where a message differs, and what the names stand for if it does not."""
        known = dict(names)
        differences = []
        for field in self._fields(message):
            if not field.fits(known):
                differences.append(field.difference(known))
        return differences, known

    def _slots(self) -> Iterator[Slot]:
        yield from (self.mid, self.code, self.token or b"", self.payload or b"")
        for slots in self.options.values():
            yield from slots

    def _fields(self, message: Message) -> Iterator[_Field]:
        yield _Field("type", (bytes((self.type,)),), (bytes((message.type,)),))
        yield _Field("MID", (self.mid,), (message.mid.to_bytes(2, "big"),))
        yield _Field("code", (self.code,), (bytes((message.code,)),))
        # An empty token is a token (RFC 7252 section 5.3.1): it is there, and may get a name.
        if self.token is not None or not self.more:
            yield _Field("token", (self.token or b"",), (message.token,))
        numbers = set(self.options)
        if not self.more:
            numbers |= {number for number, _ in message.options}
        for number in sorted(numbers):
            wanted = self.options.get(number, ())
            yield _Field(option_name(number), wanted, message.options.values(number), number)
        if self.faulty or not self.more:
            yield _Field("invalid", _numbers(self.faulty), _numbers(message.options.faulty))
        if self.payload is not None or not self.more:
            yield _Field("payload", (self.payload or b"",), (message.payload,))


@attrs.frozen
class _Field:
    """One row of a comparison."""

    name: str
    wanted: tuple[Slot, ...]
    values: tuple[bytes, ...]
    number: int | None = None
    """The option's, if it is one."""

    def fits(self, known: dict[str, bytes]) -> bool:
        """Whether it is as wanted; names that are new get what is there."""
        if len(self.wanted) != len(self.values):
            return False
        for slot, value in zip(self.wanted, self.values, strict=True):
            if isinstance(slot, Open):
                slot = known.setdefault(slot.name, value) if slot.name else value
            if slot != value:
                return False
        return True

    def difference(self, known: Mapping[str, bytes]) -> Difference:
        expected = ", ".join(self._slot(slot, known) for slot in self.wanted)
        got = ", ".join(map(self._value, self.values))
        return Difference(self.name, expected or "none", got or "none")

    def _slot(self, slot: Slot, known: Mapping[str, bytes]) -> str:
        if isinstance(slot, bytes):
            return self._value(slot)
        if slot.name in known:
            return f"{slot}, which is {self._value(known[slot.name])}"
        return str(slot)

    def _value(self, value: bytes) -> str:
        if self.name == "type":
            return Type(value[0]).name
        if self.name == "code" and len(value) == 1:
            return str(CODES[value[0]]) if value != b"\0" else "Empty"
        if self.number is not None:
            # That of an Empty message is the shortest: its head and the option, without a path.
            option = _last_field(options=Options([(self.number, value)]))
            _, equals, text = option.partition("=")
            return text if equals else option
        if self.name == "invalid":
            return option_name(int.from_bytes(value, "big"))
        if self.name == "payload" and value:
            return _last_field(payload=value)
        if self.name == "token" and value:
            return value.hex()
        return f"0x{value.hex()}" if value else "none"


def _last_field(*, options: Options | None = None, payload: bytes = b"") -> str:
    message = Message(Code.EMPTY, Type.CON, 0, b"", options or Options(), payload)
    return describe(message).partition(", ")[2]


def _fill(slot: Slot, names: Mapping[str, bytes]) -> bytes:
    if isinstance(slot, bytes):
        return slot
    if slot.name not in names:
        raise ValueError(f"{slot} stands for nothing yet: no line that was expected had it")
    return names[slot.name]


def _fill_exactly(size: int, slot: Slot, names: Mapping[str, bytes], what: str) -> bytes:
    value = _fill(slot, names)
    if len(value) != size:
        raise ValueError(f"{slot!s} is no {what}, but 0x{value.hex()}")
    return value


def _numbers(numbers: tuple[int, ...]) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(2, "big") for number in numbers)
