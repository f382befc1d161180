"""A response, as whoever asked sees it."""

from __future__ import annotations

from typing import Any

import attrs

from coapsep.address import Address
from coapsep.errors import RequestFailed
from coapsep.message import linkformat
from coapsep.message.linkformat import Link
from coapsep.message.options import Options
from coapsep.numbers import Code, ContentFormat
from coapsep.problem import Problem

#: Seconds for which a response is fresh, and after which to ask again, where it does not say
#: (RFC 7252 section 5.10.5, RFC 8516 section 4).
_DEFAULT_MAX_AGE = 60

_JSON = frozenset(
    {
        ContentFormat.JSON,
        ContentFormat.JSON_PATCH,
        ContentFormat.MERGE_PATCH,
        ContentFormat.SENML_JSON,
        ContentFormat.SENSML_JSON,
    }
)
_CBOR = frozenset(
    {
        ContentFormat.CBOR,
        ContentFormat.SENML_CBOR,
        ContentFormat.SENSML_CBOR,
        ContentFormat.PROBLEM_DETAILS,
    }
)


@attrs.frozen
class ClientResponse:
    """The response to a request: its code, options and payload, and who sent it.

    A response with an error code is a response like any other; ``raise_for_code`` makes an
    exception of it.
    """

    code: Code
    options: Options
    payload: bytes
    peer: Address

    @property
    def is_success(self) -> bool:
        """Whether the code is of class 2."""
        return self.code.is_success

    @property
    def content_format(self) -> int | None:
        """The format of the payload; None where the server does not say."""
        return self.options.content_format

    @property
    def etag(self) -> bytes | None:
        """What names this very representation; None where the server does not say."""
        etags = self.options.etags
        return etags[0] if etags else None

    @property
    def location(self) -> tuple[str, ...]:
        """The path of what a POST has created, one string a segment (RFC 7252 section 5.10.7)."""
        return self.options.location_path

    @property
    def max_age(self) -> int:
        """Seconds for which it is fresh (RFC 7252 section 5.10.5)."""
        max_age = self.options.max_age
        return _DEFAULT_MAX_AGE if max_age is None else max_age

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the server wants to be asked again, if it says so.

        It does with a Max-Age in a 5.03 (RFC 7252 section 5.9.3.4), and with every 4.29
        (RFC 8516).
        """
        if self.code is Code.TOO_MANY_REQUESTS:
            return self.max_age
        return self.options.max_age if self.code is Code.SERVICE_UNAVAILABLE else None

    @property
    def text(self) -> str:
        """The payload as text, which in CoAP is UTF-8. Raises UnicodeDecodeError if it is not."""
        return self.payload.decode()

    def json(self) -> Any:
        """The payload, read as JSON.

        Raises ValueError if the content format is another one, or the payload is no JSON.
        """
        import json  # as few ask for it

        self._must_be("JSON", _JSON)
        try:
            return json.loads(self.payload)
        except RecursionError:
            raise ValueError("the payload is nested too deeply") from None

    def cbor(self) -> Any:
        """The payload, read as CBOR with the package cbor2.

        Raises ValueError if the content format is another one, or the payload is no CBOR;
        ImportError if cbor2 is not installed.
        """
        self._must_be("CBOR", _CBOR)
        try:
            import cbor2
        except ImportError as exc:
            raise ImportError('CBOR needs a package: pip install "coapsep[cbor]"') from exc
        try:
            return cbor2.loads(self.payload)
        except Exception as exc:
            # It has errors of its own, and lets some of others through.
            raise ValueError(f"the payload is no CBOR: {exc}") from exc

    def links(self) -> tuple[Link, ...]:
        """The payload, read as link-format (RFC 6690).

        Raises ValueError if the content format is another one, or the payload is no links.
        """
        self._must_be("link-format", frozenset({ContentFormat.LINK_FORMAT}))
        return linkformat.parse(self.text)

    def problem(self) -> Problem:
        """What went wrong, as the server tells programs (RFC 9290).

        Raises ValueError if the content format is another one, or the payload is no such thing.
        """
        if self.content_format is None:  # the payload of an error is a text, if nothing is said
            raise ValueError("the payload is not problem details: there is no content format")
        self._must_be("problem details", frozenset({ContentFormat.PROBLEM_DETAILS}))
        return Problem.read(self.payload)

    def raise_for_code(self) -> ClientResponse:
        """The response itself if it is a success; else raises UnsuccessfulResponse."""
        if not self.is_success:
            raise UnsuccessfulResponse(self)
        return self

    def _must_be(self, name: str, formats: frozenset[ContentFormat]) -> None:
        if self.content_format is not None and self.content_format not in formats:
            raise ValueError(f"the payload is not {name}: {_format_name(self.content_format)}")

    def __str__(self) -> str:
        return f"{self.code} from {self.peer}, {len(self.payload)} bytes"


def _format_name(number: int) -> str:
    try:
        return f"its content format is {ContentFormat(number).name} ({number})"
    except ValueError:
        return f"its content format is {number}"


class UnsuccessfulResponse(RequestFailed):
    """The response has an error code; ``ClientResponse.raise_for_code`` raises it.

    In a handler that does not catch it, it is 5.00: what a backend says is not what the
    server says.
    """

    def __init__(self, response: ClientResponse) -> None:
        text = _diagnostic(response)
        super().__init__(f"{response.code}: {text}" if text else str(response.code))
        #: What the server said.
        self.response = response

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the server wants to be asked again, if it says so."""
        return self.response.retry_after

    def __reduce__(self) -> tuple[type[UnsuccessfulResponse], tuple[ClientResponse]]:
        return type(self), (self.response,)


def _diagnostic(response: ClientResponse) -> str:
    """The diagnostic payload, for people (RFC 7252 section 5.5.2); of a problem, its text."""
    if response.content_format == ContentFormat.PROBLEM_DETAILS:
        try:
            return str(response.problem())[:200]
        except ValueError:
            return ""
    if response.content_format not in (None, ContentFormat.TEXT):
        return ""
    text = response.payload[:200].decode(errors="replace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
