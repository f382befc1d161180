"""Bytes to messages and back, on aiocoap's codec: the only file that imports it.

aiocoap's decoder is made for well-formed input: it takes a cut token or a TKL of 15 without
a word, raises UnicodeDecodeError for a bad string, keeps every unknown number it ever saw,
and slices the whole rest once per option. So its bytes are made well-formed first: one
strict walk over the structure finds format errors, and picks out the options that it must
not see. What is left is decoded by it.

Both directions are paid once per distinct set of options: a Memo keeps the last results. The
messages of a block-wise transfer (RFC 7959) differ in the values of Block1 and Block2, so these are
cut out before, and put in by hand.
"""

from __future__ import annotations

import struct

from aiocoap.error import UnparsableMessage
from aiocoap.options import Options as AiocoapOptions
from aiocoap.optiontypes import OpaqueOption

from coapsep.message.block import Block
from coapsep.message.definitions import DEFINITIONS, Format, is_critical
from coapsep.message.memo import Memo
from coapsep.message.message import Malformed, Message
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import CODES, Code, ContentFormat, OptionNumber, Type

_TYPES = tuple(Type)
#: Codes of messages that are not Empty; the others are reserved.
_USED = frozenset(code for code in CODES if code.is_request or code.is_response)
_pack_header = struct.Struct("!BBH").pack
_FORMATS: frozenset[int] = frozenset(ContentFormat)
_PATHS = frozenset({OptionNumber.URI_PATH, OptionNumber.LOCATION_PATH})
_FORMAT_OPTIONS = frozenset({OptionNumber.CONTENT_FORMAT, OptionNumber.ACCEPT})
_BLOCK1, _BLOCK2 = int(OptionNumber.BLOCK1), int(OptionNumber.BLOCK2)
_BLOCKS = frozenset({_BLOCK1, _BLOCK2})
_LONGEST_BLOCK = DEFINITIONS[_BLOCK1].longest

#: Longest run of bytes that is worth remembering; a request without payload has some 20.
_MEMO_BYTES = 128

#: Longest token that can be announced, bytes: 16 bits say how much it exceeds 269 (RFC 8974).
LONGEST_TOKEN = 269 + 0xFFFF
#: From this length on, a token is announced by more than the four bits of TKL.
_EXTENDED_TOKEN = 13

#: More options than this is no message that a device sends; see Limits.options.
MAX_OPTIONS = 64


class Codec:
    """``decode`` and ``encode`` with a memory of recent options. It belongs to one core."""

    __slots__ = ("_encoded", "_frames", "_max_options", "_pieces", "_tails")

    def __init__(self, max_options: int = MAX_OPTIONS) -> None:
        self._max_options = max_options
        #: By all that follows the token, where that is short and has no blocks.
        self._tails: Memo[bytes, tuple[Options, bytes]] = Memo()
        #: By the raw options, but for the values of blocks.
        self._frames: Memo[bytes, Options] = Memo()
        self._encoded: Memo[Options, bytes] = Memo()
        #: By the frame and the lengths of the values of blocks: what stands around those.
        self._pieces: Memo[tuple[Options, int, int], list[bytes]] = Memo()

    def decode(self, data: bytes) -> Message | Malformed:
        """The message in a datagram, or what is wrong with it. Never raises.

        Time is linear in ``len(data)``; options past the limit make the message Malformed.
        """
        if len(data) < 4:
            return Malformed(None, None, "shorter than a header")
        first = data[0]
        if first >> 6 != 1:
            return Malformed(None, None, f"version {first >> 6}")
        kind = _TYPES[first >> 4 & 3]
        mid = data[2] << 8 | data[3]
        start, end = 4, 4 + (first & 15)
        if end >= 4 + _EXTENDED_TOKEN:
            if first & 15 == 15:
                return Malformed(kind, mid, "token length 15")
            start, end = token_place(data)
        code = CODES[data[1]]
        if code not in _USED:
            if code:
                return Malformed(kind, mid, f"reserved code {code.dotted}")
            if len(data) > 4 or first & 15:
                return Malformed(kind, mid, "Empty message that is not empty")
            return Message(code, kind, mid)
        if end > len(data):
            return Malformed(kind, mid, "token cut short")
        tail = data[end:]
        known = self._tails.entries.get(tail) if len(tail) <= _MEMO_BYTES else None
        if known is None:
            read = self._read_tail(tail)
            if isinstance(read, str):
                return Malformed(kind, mid, read)
            known = read
        options, payload = known
        return Message(code, kind, mid, data[start:end], options, payload)

    def _read_tail(self, tail: bytes) -> tuple[Options, bytes] | str:
        """What follows the token: options and payload, or the format error."""
        found = _find_blocks(tail)
        if found is None:
            return _read_tail(tail, self._max_options)
        end, places = found
        key = b"".join(_around(tail, end, places)) if places else tail[:end]
        options = self._frames.entries.get(key)
        if options is None:
            read = _read_tail(tail, self._max_options)
            if isinstance(read, str):
                return read
            options = read[0]
            if len(key) <= _MEMO_BYTES:
                self._frames.keep(key, options.with_blocks(None, None))
        elif places:
            block1 = block2 = None
            for number, start, stop in places:
                block = Block.read(int.from_bytes(tail[start:stop], "big"))
                if number == _BLOCK1:
                    block1 = block
                else:
                    block2 = block
            options = options.with_blocks(block1, block2)
        known = options, tail[end + 1 :]
        if not places and len(tail) <= _MEMO_BYTES:
            self._tails.keep(tail, known)
        return known

    def encode(self, message: Message) -> bytes:
        """The datagram of a message. Raises ValueError for a token longer than 65,804 bytes.

        A token of more than 8 bytes is for peers that are known to support it (RFC 8974).
        """
        return self.write(
            message.code,
            message.type,
            message.mid,
            message.token,
            message.options,
            message.payload,
        )

    def write(
        self, code: Code, kind: Type, mid: int, token: bytes, options: Options, payload: bytes
    ) -> bytes:
        """The same for the parts of a message."""
        if options is EMPTY:
            written = b""
        elif options.frame is not None:
            written = self._write_around(options.frame, options)
        else:
            known = self._encoded.entries.get(options)
            if known is None:
                known = _encode_options(options)
                if len(known) <= _MEMO_BYTES:
                    self._encoded.keep(options, known)
            written = known
        size = len(token)
        if size >= _EXTENDED_TOKEN:
            size, token = _announced(token)
        try:
            head = _pack_header(0x40 | kind << 4 | size, code, mid)
        except struct.error:
            raise ValueError(f"a message ID has 16 bits, unlike {mid}") from None
        if payload:
            return b"".join((head, token, written, b"\xff", payload))
        return head + token + written

    def _write_around(self, frame: Options, options: Options) -> bytes:
        """Options that are this frame and the values of blocks."""
        value1, value2 = options.value(_BLOCK1), options.value(_BLOCK2)
        # A length is a part of what stands before the value.
        key = frame, -1 if value1 is None else len(value1), -1 if value2 is None else len(value2)
        pieces = self._pieces.entries.get(key)
        if pieces is None:
            written = _encode_options(options)
            found = _find_blocks(written)
            assert found is not None, "what is written has no faults"
            if len(written) <= _MEMO_BYTES:
                self._pieces.keep(key, _around(written, *found))
            return written
        if value2 is None or value1 is None:
            return pieces[0] + (value1 or value2 or b"") + pieces[1]
        return b"".join((pieces[0], value2, pieces[1], value1, pieces[2]))


def decode(data: bytes) -> Message | Malformed:
    """``Codec.decode`` without a memory, for tools and tests."""
    return Codec().decode(data)


def encode(message: Message) -> bytes:
    """``Codec.encode`` without a memory."""
    return Codec().encode(message)


def empty(kind: Type, mid: int) -> bytes:
    """The four bytes of an Empty message: an ACK, an RST, or a ping (section 4.1)."""
    return _pack_header(0x40 | kind << 4, 0, mid)


def token_place(data: bytes) -> tuple[int, int]:
    """Where the token of a datagram begins and ends; past its end if it is cut short.

    A datagram of at least 4 bytes, whose token may be extended (RFC 8974 section 2.1).
    """
    length = data[0] & 15
    if length < _EXTENDED_TOKEN:
        return 4, 4 + length
    if length == 15:  # no length at all
        return 4, len(data) + 1
    start = 5 if length == 13 else 6
    if len(data) < start:
        return start, start
    return start, start + int.from_bytes(data[4:start], "big") + (13 if length == 13 else 269)


def _announced(token: bytes) -> tuple[int, bytes]:
    """The TKL of an extended token, and the token with the bytes that go before it."""
    size = len(token)
    if size < 269:
        return 13, bytes((size - 13,)) + token
    if size > LONGEST_TOKEN:
        raise ValueError(f"a token has at most {LONGEST_TOKEN} bytes, not {size}")
    return 14, (size - 269).to_bytes(2, "big") + token


_Pairs = list[tuple[int, bytes]]
#: The number of an option, and where its value begins and ends.
_Places = list[tuple[int, int, int]]


def _find_blocks(tail: bytes) -> tuple[int, _Places] | None:
    """Where the options of a message end, and where the values of its blocks are.

    None if there is or may be something wrong with them, which takes a closer look.
    """
    places: _Places = []
    number = at = 0
    size = len(tail)
    while at < size:
        first = tail[at]
        if first == 0xFF:
            break
        at += 1
        delta, length = first >> 4, first & 15
        if delta > 12 or length > 12:
            if delta == 15 or length == 15:
                return None
            delta, at = _extended(delta, tail, at)
            length, at = _extended(length, tail, at)
        number += delta
        stop = at + length
        if number in _BLOCKS:
            if not delta or length > _LONGEST_BLOCK:
                return None
            places.append((number, at, stop))
        at = stop
    # Else the last option is cut short, or there is no payload after its marker.
    return (at, places) if at == size or at + 1 < size else None


def _around(raw: bytes, end: int, places: _Places) -> list[bytes]:
    """The raw options in pieces, without the values that are at these places."""
    pieces, at = [], 0
    for _, start, stop in places:
        pieces.append(raw[at:start])
        at = stop
    pieces.append(raw[at:end])
    return pieces


def _read_tail(tail: bytes, max_options: int) -> tuple[Options, bytes] | str:
    """What follows the token: options and payload, or the format error."""
    pairs: _Pairs = []
    end = _walk(tail, max_options, pairs)
    if isinstance(end, str):
        return end
    try:
        return _judge(pairs, tail[:end]), tail[end + 1 :]
    except (UnparsableMessage, UnicodeDecodeError) as exc:  # pragma: no cover
        # The walk and the table are stricter than aiocoap, and no input is known that gets
        # here; but what arrives from the network must not raise, whatever aiocoap's version.
        return f"refused by the decoder: {exc}"


def _walk(tail: bytes, max_options: int, pairs: _Pairs) -> int | str:
    """Split the raw options into ``pairs``; returns where they end (section 3.1)."""
    number = at = 0
    size = len(tail)
    while at < size:
        first = tail[at]
        if first == 0xFF:
            return at if at + 1 < size else "payload marker without payload"
        at += 1
        delta, length = first >> 4, first & 15
        if delta == 15:
            return "option delta 15"
        if length == 15:
            return "option length 15"
        delta, at = _extended(delta, tail, at)
        length, at = _extended(length, tail, at)
        if at + length > size:
            return "option past the end"
        number += delta
        if number > 65535:
            return "option number past 65535"
        if len(pairs) == max_options:
            return f"more than {max_options} options"
        pairs.append((number, tail[at : at + length]))
        at += length
    return size


def _extended(nibble: int, tail: bytes, at: int) -> tuple[int, int]:
    """A delta or a length, with the one or two bytes that extend it; and where they end."""
    if nibble < 13:
        return nibble, at
    width = nibble - 12
    return int.from_bytes(tail[at : at + width], "big") + (13 if width == 1 else 269), at + width


def _judge(pairs: _Pairs, raw: bytes) -> Options:
    """Judge each option by the table, and let aiocoap decode those that are its business."""
    if not pairs:
        return EMPTY
    faulty: list[int] = []
    safe: _Pairs = []  # aiocoap decodes these
    opaque: _Pairs = []  # these it would keep for ever: numbers and formats without a name
    previous = -1
    for number, value in pairs:
        definition = DEFINITIONS.get(number)
        if definition is None:
            opaque.append((number, value))
        elif (
            not definition.shortest <= len(value) <= definition.longest
            or (number == previous and not definition.repeatable)
            or (definition.format is Format.STRING and not _is_utf8(value))
            or (number in _PATHS and value in (b".", b".."))  # section 5.10.1 and 5.10.7
            or (definition.format is Format.UINT and len(value.lstrip(b"\0")) < definition.shortest)
        ):
            # Such an option is treated like an unknown one (sections 5.4.3 and 5.4.5):
            # an elective one is as good as absent, a critical one condemns the message.
            if is_critical(number):
                faulty.append(number)
        elif number in _FORMAT_OPTIONS and int.from_bytes(value, "big") not in _FORMATS:
            opaque.append((number, value.lstrip(b"\0")))
        else:
            safe.append((number, value))
        previous = number
    decoded = AiocoapOptions()
    decoded.decode(raw if len(safe) == len(pairs) else _encode_options(Options(safe)))
    normal = [(int(option.number), option.encode()) for option in decoded.option_list()]
    return Options(normal + opaque, faulty=tuple(faulty))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encode_options(options: Options) -> bytes:
    """Deltas and lengths, by aiocoap; every value is bytes already, so opaque to it."""
    out = AiocoapOptions()
    for number, value in options:
        out.add_option(OpaqueOption(number, value))
    encoded: bytes = out.encode()
    return encoded
