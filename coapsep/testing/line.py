"""Lines of a script: the text form of a message, of which parts may be left open.

What trace/notation.py writes can be read here, so a line can be copied from a ladder::

    CON [MID=0x7d34], GET, /temperature, T=20
    ACK [MID=0x7d34], 2.05 Content, T=20, "22.3 C"

On top of that grammar:

- A message ID, a code, a token, the value of an option or a payload may be a name, such as
  ``$a``. Where a message is expected, a name that is new fits anything and remembers it;
  one that is known must be equal, and is what it stands for where a message is sent::

      CON [MID=$a], GET, /slow, T=$t
      ACK [MID=$a], 2.05, T=$t, "done"

- In their place, ``*`` fits anything and remembers nothing: ``ETag=*``. A ``*`` or a name
  alone is the code if it comes first, and else the payload.
- What is not mentioned must not be there. ``...`` at the end allows it: any token, options
  and payload beside those that are mentioned, and any code or path if none is. All values of
  an option that is mentioned have to be; so have those of the query, once there is a path.
- ``T=`` is the empty token and ``""`` the empty payload, which matters before ``...`` only.
- The name of a code may be left out: ``2.05``. Bytes may stand for the value of any option,
  text for that of any that is no number. Token, options and payload may be in any order.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import attrs

from coapsep.message.definitions import DEFINITIONS, Format, encode_uint, option_name
from coapsep.numbers import CODES, Code, OptionNumber, Type
from coapsep.testing.pattern import Open, Pattern, Slot

_HEAD = re.compile(r"\s*(CON|NON|ACK|RST) \[MID=(?:0x([0-9a-fA-F]{4})|(\*|\$[A-Za-z_]\w*))\]")
_FIELD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])*(?=,|$)')
_NUMERIC_CODE = re.compile(r"([0-7])\.(\d\d)(?: (.*))?")
_NUMBERED = re.compile(r"Option (\d{1,5})")
_BLOCK = re.compile(r"([12]):(\d{1,7})/([01])/(\d{1,4})")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OPEN = re.compile(r"\*|\$[A-Za-z_]\w*")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")

_METHODS = {str(code): code for code in CODES if code.is_request}
_OPTIONS = {option_name(number): int(number) for number in OptionNumber}
_BLOCKS = {"1": int(OptionNumber.BLOCK1), "2": int(OptionNumber.BLOCK2)}
_SIZES = [16 << exponent for exponent in range(8)]


def parse_line(text: str) -> Pattern:
    """Read one line. Raises ValueError that says where it is wrong, and what belongs there."""
    return _Reader(text).read()


@attrs.frozen
class _Field:
    """What stands between two commas, and where it begins."""

    text: str
    at: int


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._token: Slot | None = None
        self._options: dict[int, tuple[Slot, ...]] = {}
        self._faulty: list[int] = []
        self._payload: Slot | None = None

    def read(self) -> Pattern:
        head = _HEAD.match(self._text)
        if head is None:
            raise self._error(
                0, "a type and a message ID, such as CON [MID=0x7d34] or ACK [MID=$a]"
            )
        mid: Slot = bytes.fromhex(head[2]) if head[2] else _open(head[3])
        fields = list(self._split(head.end()))
        more = bool(fields) and fields[-1].text == "..."
        if more:
            fields.pop()
        code = self._code(fields)
        self._path(fields, code, more)
        for field in fields:
            self._read_field(field)
        return Pattern(
            Type[head[1]],
            mid,
            # Nothing is said of the code: that of an Empty message, unless anything goes.
            code if code is not None else Open() if more else bytes((Code.EMPTY,)),
            self._token,
            self._options,
            tuple(self._faulty),
            self._payload,
            more,
        )

    def _split(self, at: int) -> Iterator[_Field]:
        while at < len(self._text.rstrip()):
            if self._text[at] != ",":
                raise self._error(at, "a comma, or the end of the line")
            field = _FIELD.match(self._text, at + 1)
            if field is None:
                raise self._error(
                    self._text.index('"', at), "a string that ends, with a comma after it"
                )
            text = field[0].strip()
            if not text:
                raise self._error(at + 1, "a field between the commas")
            yield _Field(text, field.end() - len(field[0].lstrip()))
            at = field.end()

    # -- in this order ---------------------------------------------------------------

    def _code(self, fields: list[_Field]) -> Slot | None:
        """The code, taken from the front, if the line has one."""
        if not fields:
            return None
        text, at = fields[0].text, fields[0].at
        numeric = _NUMERIC_CODE.fullmatch(text)
        code: Slot
        if numeric is not None and int(numeric[2]) < 32:
            number = CODES[int(numeric[1]) << 5 | int(numeric[2])]
            if numeric[3] is not None and text != str(number):
                raise self._error(at, f"{str(number)!r}, or the number alone")
            code = bytes((number,))
        elif text in _METHODS:
            code = bytes((_METHODS[text],))
        elif _OPEN.fullmatch(text):
            code = _open(text)
        elif re.fullmatch(r"[A-Z]+|\d\.\d.*", text):
            raise self._error(at, "a method such as GET, or a code such as 2.05")
        else:
            return None
        fields.pop(0)
        return code

    def _path(self, fields: list[_Field], code: Slot | None, more: bool) -> None:
        """The path, taken from the front. A request has one."""
        is_request = isinstance(code, bytes) and CODES[code[0]].is_request
        if not fields or not fields[0].text.startswith("/"):
            if is_request and not more:
                at = fields[0].at if fields else len(self._text.rstrip())
                raise self._error(at, "the path after the method, such as / or /a?b=c")
            return
        field = fields.pop(0)
        if not is_request and not isinstance(code, Open):
            raise self._error(field.at, "no path, since only requests have one")
        wrong = re.search(r"\s", field.text) or _STRAY_PERCENT.search(field.text)
        if wrong:
            raise self._error(
                field.at + wrong.start(), "a path as in a URI: a space is %20, a % is %25"
            )
        path, question, query = field.text.partition("?")
        segments = () if path == "/" else tuple(map(unquote_to_bytes, path[1:].split("/")))
        arguments = tuple(map(unquote_to_bytes, query.split("&"))) if question else ()
        self._options[OptionNumber.URI_PATH] = segments
        self._options[OptionNumber.URI_QUERY] = arguments

    # -- in any order ----------------------------------------------------------------

    def _read_field(self, field: _Field) -> None:
        text, at = field.text, field.at
        name, equals, value = text.partition("=")
        block = _BLOCK.fullmatch(text)
        if text[0] == '"' or text.startswith("0x") or _OPEN.fullmatch(text):
            if self._payload is not None:
                raise self._error(at, "one payload, not two")
            self._payload = self._value(text, at)
        elif name == "T" and equals:
            if self._token is not None:
                raise self._error(at, "one token, not two")
            if not (_OPEN.fullmatch(value) or _HEX.fullmatch(value)):
                raise self._error(at + 2, "a token in hex digits, such as T=20, or T=$name")
            self._token = _open(value) if _OPEN.fullmatch(value) else bytes.fromhex(value)
        elif block is not None:
            self._add(_BLOCKS[block[1]], self._block(block, at))
        else:
            number = self._option_number(field, name)
            if value == "invalid":
                self._faulty.append(number)
            elif not equals:
                self._add(number, self._bare(number, at))
            else:
                self._add(number, self._option_value(number, value, at + len(name) + 1))

    def _add(self, number: int, slot: Slot) -> None:
        self._options[number] = (*self._options.get(number, ()), slot)

    def _option_number(self, field: _Field, name: str) -> int:
        if name in _OPTIONS:
            return _OPTIONS[name]
        numbered = _NUMBERED.fullmatch(name)
        if numbered is not None and int(numbered[1]) <= 65535:
            return int(numbered[1])
        close = difflib.get_close_matches(name, _OPTIONS, 1)
        if close:
            raise self._error(field.at, f"an option's name: is it {close[0]}?")
        raise self._error(
            field.at, "T=, an option such as ETag=0x1f or Option 65001=0x, or a payload"
        )

    def _bare(self, number: int, at: int) -> bytes:
        definition = DEFINITIONS.get(number)
        if definition is None or definition.format is not Format.EMPTY:
            raise self._error(at, f"a value: {option_name(number)}={_example(number)}")
        return b""

    def _option_value(self, number: int, text: str, at: int) -> Slot:
        definition = DEFINITIONS.get(number)
        kind = Format.OPAQUE if definition is None else definition.format
        if kind is Format.UINT and definition is not None and re.fullmatch("[0-9]+", text):
            value = encode_uint(int(text))
            if len(value) > definition.longest:
                raise self._error(
                    at, f"at most {definition.longest} bytes; 0x and digits hold more"
                )
            return value
        if text.startswith("0x") or _OPEN.fullmatch(text):
            return self._value(text, at)
        if text[:1] == '"' and kind in (Format.STRING, Format.OPAQUE):
            return self._value(text, at)
        raise self._error(at, f"a value such as {option_name(number)}={_example(number)}")

    def _block(self, block: re.Match[str], at: int) -> bytes:
        number, size = int(block[2]), int(block[4])
        if number >= 1 << 20 or size not in _SIZES:  # RFC 7959 section 2.2
            raise self._error(at, "a block as in 2:0/1/64: at most 1048575, a size from 16 to 1024")
        return encode_uint(number << 4 | int(block[3]) << 3 | _SIZES.index(size))

    def _value(self, text: str, at: int) -> Slot:
        """Text, bytes, or what is open."""
        if _OPEN.fullmatch(text):
            return _open(text)
        if text.startswith("0x"):
            if not _HEX.fullmatch(text, 2):
                raise self._error(at, "0x and an even number of hex digits")
            return bytes.fromhex(text[2:])
        try:
            value: str = json.loads(text)
            return value.encode()
        except ValueError:  # UnicodeEncodeError, of a lone surrogate, is one, too
            if "…" in text:
                raise self._error(at, "the whole payload: this one was cut") from None
            raise self._error(at, 'a JSON string, such as "22.3 C"') from None

    def _error(self, at: int, expected: str) -> ValueError:
        line = self._text.replace("\n", " ")
        return ValueError(f"expected {expected}\n    {line}\n    {' ' * at}^")


def _open(text: str) -> Open:
    return Open(text.lstrip("*$"))


def _example(number: int) -> str:
    definition = DEFINITIONS.get(number)
    kind = Format.OPAQUE if definition is None else definition.format
    return {Format.UINT: "60", Format.STRING: '"text"'}.get(kind, "0x1f2e")
