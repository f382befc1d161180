"""ClientResponse: what is read out of a response, and what becomes of an error."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable

import pytest
from trio.testing import MockClock

from coapsep import (
    Client,
    ClientResponse,
    CoapError,
    Code,
    ContentFormat,
    Link,
    Options,
    PeerUnreachable,
    Request,
    RequestFailed,
    RequestTimedOut,
    Response,
    ResponseError,
    Router,
    Server,
    Type,
    UnsuccessfulResponse,
    open_server,
)
from coapsep.testing import Network
from tests.shell.client.asking import PEER
from tests.shell.peer import SERVER, open_peer


def response(
    payload: bytes = b"",
    content_format: int | None = None,
    *,
    code: Code = Code.CONTENT,
    max_age: int | None = None,
) -> ClientResponse:
    options = Options.build(content_format=content_format, max_age=max_age)
    return ClientResponse(code, options, payload, PEER)


# -- text, JSON, CBOR, links -------------------------------------------------------------


@pytest.mark.parametrize("content_format", [None, 0, 50, 42])
def test_text_is_utf8_whatever_the_format(content_format: int | None) -> None:
    assert response("grün".encode(), content_format).text == "grün"
    with pytest.raises(UnicodeDecodeError):
        _ = response(b"\xff", content_format).text


@pytest.mark.parametrize("content_format", [None, 50, 51, 52, 110, 111])
def test_json(content_format: int | None) -> None:
    assert response(b'{"a": [1, 2.5, null]}', content_format).json() == {"a": [1, 2.5, None]}


@pytest.mark.parametrize("content_format", [None, 60, 112, 113, 257])
def test_cbor(content_format: int | None) -> None:
    assert response(b"\xa1\x61a\x82\x01\xf6", content_format).cbor() == {"a": [1, None]}


@pytest.mark.parametrize("content_format", [None, 40])
def test_links(content_format: int | None) -> None:
    assert response(b'</a>;rt="b",</c>', content_format).links() == (
        Link.of("/a", rt="b"),
        Link.of("/c"),
    )


@pytest.mark.parametrize("read", [ClientResponse.json, ClientResponse.cbor, ClientResponse.links])
@pytest.mark.parametrize(
    ("content_format", "name"),
    [(0, r"is TEXT \(0\)$"), (42, r"is OCTET_STREAM \(42\)$"), (9999, "is 9999$")],
)
def test_another_format_is_not_guessed_at(
    read: Callable[[ClientResponse], object], content_format: int, name: str
) -> None:
    with pytest.raises(ValueError, match=f"the payload is not .*: its content format {name}"):
        read(response(b"{}", content_format))


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff\xfe", b"1 2", b"[" * 60_000])
def test_a_payload_that_is_no_json(payload: bytes) -> None:
    with pytest.raises(ValueError):
        response(payload, ContentFormat.JSON).json()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x82\x01",
        b"\xff",
        b"\x61\xff",  # text that is not UTF-8
        b"\x81" * 2000,  # nested too deeply
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",  # eight exabytes to come
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xc0\x61x",  # a date that is none
    ],
)
def test_a_payload_that_is_no_cbor(payload: bytes) -> None:
    with pytest.raises(ValueError, match="the payload is no CBOR"):
        response(payload, ContentFormat.CBOR).cbor()


def test_cbor_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cbor2", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'pip install "coapsep\[cbor\]"'):
        response(b"\x01", ContentFormat.CBOR).cbor()
    with pytest.raises(ValueError, match="is not CBOR"):  # which is told first
        response(b"\x01", ContentFormat.TEXT).cbor()
    assert response(b"1", ContentFormat.JSON).json() == 1


@pytest.mark.parametrize("payload", [b"", b"</a", b"\xff", b"no links"])
def test_a_payload_that_is_no_list_of_links(payload: bytes) -> None:
    if payload:
        with pytest.raises(ValueError):
            response(payload, ContentFormat.LINK_FORMAT).links()
    else:
        assert response(payload, ContentFormat.LINK_FORMAT).links() == ()


# -- codes -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [Code.CREATED, Code.CONTENT, Code(0x5E)], ids=str)
def test_a_success_raises_nothing(code: Code) -> None:
    success = response(code=code)
    assert success.is_success
    assert success.raise_for_code() is success


@pytest.mark.parametrize("code", [Code.BAD_REQUEST, Code.GATEWAY_TIMEOUT, Code(0x60)], ids=str)
def test_any_other_code_is_raised(code: Code) -> None:
    failure = response(code=code)
    assert not failure.is_success
    with pytest.raises(UnsuccessfulResponse, match=str(code)) as caught:
        failure.raise_for_code()
    assert caught.value.response is failure
    assert isinstance(caught.value, RequestFailed)
    assert not isinstance(caught.value, ResponseError)


@pytest.mark.parametrize(
    ("payload", "content_format", "text"),
    [
        (b"", None, "4.04 Not Found"),
        (b"no such lamp", None, "4.04 Not Found: no such lamp"),
        ("keine Lämp".encode(), 0, "4.04 Not Found: keine Lämp"),
        (b"{}", 50, "4.04 Not Found"),
        (b"a\nb\x1b[31m\xff", None, "4.04 Not Found: a\\nb\\x1b[31m�"),
        (b"x" * 300, None, "4.04 Not Found: " + "x" * 200),
    ],
)
def test_the_text_of_the_error_is_the_diagnostic_payload(
    payload: bytes, content_format: int | None, text: str
) -> None:
    """For people (RFC 7252 section 5.5.2), whose terminal it must not steer."""
    error = UnsuccessfulResponse(response(payload, content_format, code=Code.NOT_FOUND))
    assert str(error) == text


def test_max_age_has_a_default() -> None:
    assert response().max_age == 60
    assert response(max_age=0).max_age == 0
    assert response(max_age=2**32 - 1).max_age == 2**32 - 1


@pytest.mark.parametrize(
    ("code", "max_age", "seconds"),
    [
        (Code.SERVICE_UNAVAILABLE, None, None),
        (Code.SERVICE_UNAVAILABLE, 0, 0),
        (Code.SERVICE_UNAVAILABLE, 7, 7),
        (Code.TOO_MANY_REQUESTS, None, 60),
        (Code.TOO_MANY_REQUESTS, 0, 0),
        (Code.TOO_MANY_REQUESTS, 7, 7),
        (Code.CONTENT, 7, None),
        (Code.NOT_FOUND, 7, None),
        (Code.BAD_GATEWAY, 7, None),
    ],
)
def test_when_to_come_back(code: Code, max_age: int | None, seconds: int | None) -> None:
    told = response(code=code, max_age=max_age)
    assert told.retry_after == seconds
    assert UnsuccessfulResponse(told).retry_after == seconds


async def test_the_time_to_wait_arrives(
    autojump_clock: MockClock, router: Router, server: Server, client: Client
) -> None:
    @router.get("/busy")
    def busy(request: Request) -> Response:
        return Response(Code.SERVICE_UNAVAILABLE, "later", max_age=7)

    with pytest.raises(UnsuccessfulResponse, match=r"^5\.03 Service Unavailable: later$") as caught:
        (await client.get(PEER, "/busy")).raise_for_code()
    assert caught.value.retry_after == 7


def test_what_a_response_looks_like() -> None:
    assert str(response(b"12345")) == "2.05 Content from 10.0.0.1:5683, 5 bytes"
    assert response(b"x", 0).content_format == 0
    assert response(b"x").content_format is None


@pytest.mark.parametrize(
    "error",
    [
        UnsuccessfulResponse(response(b"no", code=Code(0x9A))),
        RequestTimedOut("10.0.0.1:5683: no acknowledgement came"),
        PeerUnreachable("nobody"),
    ],
)
def test_errors_pass_between_processes(error: CoapError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    if isinstance(error, UnsuccessfulResponse):
        assert again.response == error.response


# -- in a gateway ------------------------------------------------------------------------


async def test_what_a_backend_says_is_not_what_the_gateway_says(
    autojump_clock: MockClock, network: Network, router: Router, client: Client
) -> None:
    """A failed request of a handler is a fault of the server: 5.00, without a word of it."""
    backend = Router()

    @backend.get("/secret")
    def secret(request: Request) -> Response:
        return Response(Code.FORBIDDEN, "the password is 1234", max_age=9)

    @router.get("/relay")
    async def relay(request: Request) -> bytes:
        return (await client.get("coap://10.0.0.8/secret")).raise_for_code().payload

    @router.get("/dead")
    async def dead(request: Request) -> bytes:
        return (await client.get("coap://10.0.0.9/")).payload

    @router.get("/careful")
    async def careful(request: Request) -> str:
        try:
            return (await client.get("coap://10.0.0.8/secret")).raise_for_code().text
        except UnsuccessfulResponse as exc:
            raise ResponseError(Code.BAD_GATEWAY, f"the backend said {exc.response.code}") from exc

    async with (
        open_server(backend, transport=network.bind("10.0.0.8")),
        open_server(router, transport=network.bind(SERVER)),
        open_peer(network, "10.0.0.5") as peer,
    ):
        peer.request("/relay")
        told = await peer.expect(Type.ACK, Code.INTERNAL_SERVER_ERROR, payload=b"")
        assert told.options == Options()
        peer.request("/careful", token=b"2")
        await peer.expect(Type.ACK, Code.BAD_GATEWAY, payload=b"the backend said 4.03 Forbidden")
        request = peer.request("/dead", token=b"3")
        await peer.expect_ack(request)
        await peer.expect_separate(b"3", b"", Code.INTERNAL_SERVER_ERROR)
