"""The example server beside libcoap's: the same requests, the same answers."""

from __future__ import annotations

import pytest

from tests.interop.processes import CoapClient, Dialogue, ExampleServer, LibcoapServer


@pytest.fixture
def ask_both(
    server: ExampleServer, libcoap_server: LibcoapServer, coap_client: CoapClient
) -> AskBoth:
    """Puts one question to both servers."""
    return AskBoth(server, libcoap_server, coap_client)


class AskBoth:
    """Puts one question to both servers; the first answer is that of the example server."""

    def __init__(
        self, server: ExampleServer, libcoap_server: LibcoapServer, client: CoapClient
    ) -> None:
        self._uris = (server.uri, libcoap_server.uri)
        self._client = client

    def dialogues(self, path: str, *options: str, method: str = "get") -> tuple[Dialogue, Dialogue]:
        """What goes over the wire, asked at the same time."""
        started = [self._client.start(uri(path), *options, method=method) for uri in self._uris]
        ours, theirs = (one.finish() for one in started)
        return ours, theirs

    def shown(self, path: str, *options: str, method: str = "get") -> tuple[str, str]:
        """What the user of coap-client sees of each: its output and its errors."""
        started = [
            self._client.start_plain(uri(path), *options, method=method) for uri in self._uris
        ]
        ours, theirs = (one.finish() for one in started)
        assert ours.code == theirs.code == 0
        return ours.output + ours.errors, theirs.output + theirs.errors


@pytest.mark.parametrize("options", [[], ["-N"]])
def test_async_is_answered_in_the_same_way(ask_both: AskBoth, options: list[str]) -> None:
    ours, theirs = ask_both.dialogues("/async?1", *options)
    assert ours.shape == theirs.shape
    assert (ours.answer.code, ours.answer.payload) == ("2.05", "done")
    assert (theirs.answer.code, theirs.answer.payload) == ("2.05", "done")
    if not options:
        kinds = [("ACK", "0.00"), ("CON", "2.05")]
        assert [(m.type, m.code) for m in ours.received] == kinds
        assert [(m.type, m.code) for m in theirs.received] == kinds


def test_async_looks_the_same_to_its_user(ask_both: AskBoth) -> None:
    assert ask_both.shown("/async?1") == ("done\n", "done\n")


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [
        ("/async?0", "get", "4.00"),
        ("/nothing", "get", "4.04"),
        ("/async", "delete", "4.05"),
        ("/async", "put", "4.05"),
        ("/.well-known/core", "delete", "4.05"),
    ],
)
def test_refusals_have_the_same_code(ask_both: AskBoth, path: str, method: str, code: str) -> None:
    for dialogue in ask_both.dialogues(path, method=method):
        assert (dialogue.answer.type, dialogue.answer.code) == ("ACK", code)
        assert dialogue.answer.mid == dialogue.request.mid


@pytest.mark.parametrize(
    ("path", "method", "text"),
    [
        ("/nothing", "get", "4.04 Not Found\n"),
        ("/async", "delete", "4.05 Method Not Allowed\n"),
    ],
)
def test_refusals_look_the_same_to_their_user(
    ask_both: AskBoth, path: str, method: str, text: str
) -> None:
    assert ask_both.shown(path, method=method) == (text, text)


def test_what_was_put_is_read(fresh_server: ExampleServer, coap_client: CoapClient) -> None:
    with LibcoapServer() as theirs:
        both = AskBoth(fresh_server, theirs, coap_client)
        for text, code in (("first", "2.01"), ("a second, longer one", "2.04"), ("3", "2.04")):
            for dialogue in both.dialogues("/example_data", "-e", text, method="put"):
                kinds = [(m.type, m.code, m.payload) for m in dialogue.received]
                assert kinds == [("ACK", code, "")]
            for dialogue in both.dialogues("/example_data"):
                kinds = [(m.type, m.code, m.payload) for m in dialogue.received]
                assert kinds == [("ACK", "2.05", text)]
            assert both.shown("/example_data") == (f"{text}\n", f"{text}\n")


def test_discovery_has_the_same_form(ask_both: AskBoth) -> None:
    for dialogue in ask_both.dialogues("/.well-known/core"):
        assert (dialogue.answer.type, dialogue.answer.code) == ("ACK", "2.05")
        # 40 by its name.
        assert dialogue.answer.options == "Content-Format:application/link-format"
        links = dialogue.answer.payload.split(",<")
        targets = {link.partition(";")[0].strip("<>") for link in links}
        assert {"/", "/time", "/async", "/example_data"} <= targets
        (about_async,) = (link for link in links if link.startswith("/async>"))
        assert "ct=0" in about_async


def test_a_filter_finds_the_same(ask_both: AskBoth) -> None:
    for dialogue in ask_both.dialogues("/.well-known/core?href=/async"):
        assert dialogue.answer.payload.startswith("</async>;")
        assert dialogue.answer.payload.count("<") == 1
