"""libcoap's client against the example server."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.processes import CoapClient, Dialogue, ExampleServer, free_port
from tests.interop.raw import LossyLink, RawPeer, parse

#: A CON whose answer rides in the ACK, and one whose answer is a message of its own.
PIGGYBACKED = [("sent", "CON", "GET"), ("received", "ACK", "2.05")]
SEPARATE = [
    ("sent", "CON", "GET"),
    ("received", "ACK", "0.00"),
    ("received", "CON", "2.05"),
    ("sent", "ACK", "0.00"),
]


def assert_separate(dialogue: Dialogue) -> None:
    """An empty ACK, then the answer with a message ID of its own, which is acknowledged."""
    assert dialogue.shape == SEPARATE
    asked, accepted, answer, confirmed = dialogue.messages
    assert (accepted.mid, accepted.token, accepted.payload) == (asked.mid, "", "")
    assert (answer.token, answer.payload) == (asked.token, "done")
    assert confirmed.mid == answer.mid


# -- one request at a time ---------------------------------------------------------------


def test_a_quick_answer_rides_in_the_ack(server: ExampleServer, coap_client: CoapClient) -> None:
    dialogue = coap_client.ask(server.uri("/hello"))
    assert dialogue.shape == PIGGYBACKED
    asked, answer = dialogue.messages
    assert (answer.mid, answer.token, answer.payload) == (asked.mid, asked.token, "hello")
    assert answer.options == "Content-Format:text/plain"


def test_the_user_sees_the_payload_and_no_more(
    server: ExampleServer, coap_client: CoapClient
) -> None:
    assert coap_client.plain(server.uri("/hello")) == (0, "hello\n", "")
    assert coap_client.plain(server.uri("/async?1")) == (0, "done\n", "")


def test_the_root_has_a_text(server: ExampleServer, coap_client: CoapClient) -> None:
    finished = coap_client.plain(server.uri("/"))
    assert finished.errors == ""
    assert finished.output.startswith("This is the example server of coapsep")
    assert finished.output.endswith("/.well-known/core    all of this for machines\n\n")


def test_the_time_is_the_time(server: ExampleServer, coap_client: CoapClient) -> None:
    dialogue = coap_client.ask(server.uri("/time"))
    assert dialogue.shape == PIGGYBACKED
    told = datetime.fromisoformat(dialogue.answer.payload)
    assert told.utcoffset() == timedelta(0)
    assert abs(datetime.now(timezone.utc) - told) < timedelta(seconds=10)
    assert "Max-Age:1" in dialogue.answer.options


@pytest.mark.parametrize("path", ["/async?1", "/slow?1"])
def test_a_late_answer_is_a_message_of_its_own(
    server: ExampleServer, coap_client: CoapClient, path: str
) -> None:
    began = time.monotonic()
    dialogue = coap_client.ask(server.uri(path))
    assert_separate(dialogue)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(("path", "payload"), [("/hello", "hello"), ("/async?1", "done")])
def test_a_non_is_answered_by_one_non(
    server: ExampleServer, coap_client: CoapClient, path: str, payload: str
) -> None:
    dialogue = coap_client.ask(server.uri(path), "-N")
    assert dialogue.shape == [("sent", "NON", "GET"), ("received", "NON", "2.05")]
    asked, answer = dialogue.messages
    assert (answer.token, answer.payload) == (asked.token, payload)


def test_a_resource_is_created_changed_read_and_deleted(
    fresh_server: ExampleServer, coap_client: CoapClient
) -> None:
    uri = fresh_server.uri("/example_data")
    steps = [
        ("get", [], "4.04", "PUT something here first"),
        ("put", ["-e", "first", "-t", "0"], "2.01", ""),
        ("get", [], "2.05", "first"),
        ("put", ["-e", "second", "-t", "0"], "2.04", ""),
        ("get", [], "2.05", "second"),
        ("delete", [], "2.02", ""),
        ("get", [], "4.04", "PUT something here first"),
        ("delete", [], "2.02", ""),
        ("put", ["-e", "third", "-t", "0"], "2.01", ""),
    ]
    for method, options, code, payload in steps:
        answer = coap_client.ask(uri, *options, method=method).answer
        assert (answer.type, answer.code, answer.payload) == ("ACK", code, payload), method


@pytest.mark.parametrize("content_format", ["0", "42", "50", "60", "65000"])
def test_a_payload_comes_back_as_it_was(
    fresh_server: ExampleServer, coap_client: CoapClient, tmp_path: Path, content_format: str
) -> None:
    body = bytes(range(256)) * 3  # below libcoap's size of a block
    (tmp_path / "body").write_bytes(body)
    uri = fresh_server.uri("/example_data")
    put = coap_client.ask(uri, "-t", content_format, "-f", str(tmp_path / "body"), method="put")
    got = coap_client.ask(uri, "-o", str(tmp_path / "got"))
    assert (put.answer.code, got.answer.code) == ("2.01", "2.05")
    assert (tmp_path / "got").read_bytes() == body
    assert got.answer.options in put.request.options  # the content format
    assert got.answer.options.startswith("Content-Format:")


def test_the_counter_counts_gets_and_posts(
    fresh_server: ExampleServer, coap_client: CoapClient
) -> None:
    uri = fresh_server.uri("/counter")
    told = [coap_client.ask(uri, method=m).answer for m in ("get", "post", "post", "get")]
    assert [(a.code, a.payload) for a in told] == [
        ("2.05", "1"),
        ("2.04", "2"),
        ("2.04", "3"),
        ("2.05", "4"),
    ]


@pytest.mark.parametrize("resource", ["async", "slow"])
@pytest.mark.parametrize(
    ("query", "diagnostic"),
    [
        ("0", "the seconds must be above 0 and at most 86400"),
        ("-1", "the seconds must be above 0 and at most 86400"),
        ("86401", "the seconds must be above 0 and at most 86400"),
        ("1e9", "the seconds must be above 0 and at most 86400"),
        ("nan", "the query must be a number of seconds, such as ?5"),
        ("inf", "the query must be a number of seconds, such as ?5"),
        ("x", "the query must be a number of seconds, such as ?5"),
        ("1_0", "the query must be a number of seconds, such as ?5"),
        ("%D9%A3", "the query must be a number of seconds, such as ?5"),  # an Arabic 3
    ],
)
def test_seconds_that_are_none(
    server: ExampleServer, coap_client: CoapClient, resource: str, query: str, diagnostic: str
) -> None:
    uri = server.uri(f"/{resource}?{query}")
    answer = coap_client.ask(uri).answer
    assert (answer.type, answer.code, answer.payload) == ("ACK", "4.00", diagnostic)
    assert coap_client.plain(uri) == (0, "", f"4.00 {diagnostic}\n")


@pytest.mark.parametrize(
    ("path", "method", "code", "payload"),
    [
        ("/nothing", "get", "4.04", "Not Found"),
        ("/hello/more", "get", "4.04", "Not Found"),
        ("/hello/", "get", "4.04", "Not Found"),
        ("/hello", "post", "4.05", "Method Not Allowed"),
        ("/hello", "put", "4.05", "Method Not Allowed"),
        ("/async?1", "delete", "4.05", "Method Not Allowed"),
        ("/hello", "fetch", "4.05", "Method Not Allowed"),
        ("/hello", "patch", "4.05", "Method Not Allowed"),
        ("/hello", "ipatch", "4.05", "Method Not Allowed"),
        ("/.well-known/core", "put", "4.05", "Method Not Allowed"),
    ],
)
def test_what_is_not_there(
    server: ExampleServer,
    coap_client: CoapClient,
    path: str,
    method: str,
    code: str,
    payload: str,
) -> None:
    answer = coap_client.ask(server.uri(path), "-e", "x", method=method).answer
    assert (answer.type, answer.code, answer.payload) == ("ACK", code, payload)


def test_accept_is_kept(server: ExampleServer, coap_client: CoapClient) -> None:
    text = coap_client.ask(server.uri("/hello"), "-A", "text/plain")
    json = coap_client.ask(server.uri("/hello"), "-A", "application/json")
    assert (text.answer.code, text.answer.payload) == ("2.05", "hello")
    assert (json.answer.code, json.answer.payload) == ("4.06", "Not Acceptable")


# -- discovery ---------------------------------------------------------------------------


def test_discovery_lists_every_resource(server: ExampleServer, coap_client: CoapClient) -> None:
    answer = coap_client.ask(server.uri("/.well-known/core")).answer
    assert (answer.type, answer.code) == ("ACK", "2.05")
    assert answer.options == "Content-Format:application/link-format"
    targets = {link.partition(";")[0] for link in answer.payload.split(",<")}
    assert {target.strip("<>") for target in targets} == {
        "/",
        "/hello",
        "/time",
        "/async",
        "/slow",
        "/counter",
        "/example_data",
        "/obs",
        "/large",
        "/upload",
    }


@pytest.mark.parametrize(
    ("query", "payload"),
    [
        ("rt=clock", '</time>;ct=0;title="Clock";rt="clock"'),
        ("rt=cl*", '</time>;ct=0;title="Clock";rt="clock"'),
        ("rt", '</time>;ct=0;title="Clock";rt="clock"'),
        ("rt=clocks", ""),
        ("href=/hello", '</hello>;ct=0;title="Greeting"'),
        ("href=/hel*", '</hello>;ct=0;title="Greeting"'),
        ("href=/nothing", ""),
    ],
)
def test_discovery_is_filtered(
    server: ExampleServer, coap_client: CoapClient, query: str, payload: str
) -> None:
    answer = coap_client.ask(server.uri(f"/.well-known/core?{query}")).answer
    assert (answer.type, answer.code, answer.payload) == ("ACK", "2.05", payload)
    assert answer.options == "Content-Format:application/link-format"


# -- tokens and addresses ----------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "8 bytes!"]
)
@pytest.mark.parametrize(("path", "payload"), [("/hello", "hello"), ("/slow?0.15", "done")])
def test_the_token_comes_back(
    server: ExampleServer, coap_client: CoapClient, token: str, path: str, payload: str
) -> None:
    dialogue = coap_client.ask(server.uri(path), "-T", token)
    # -T gives the token before the first one.
    assert bytes.fromhex(dialogue.request.token)[:-1] == token.encode()[:-1]
    assert (dialogue.answer.token, dialogue.answer.payload) == (dialogue.request.token, payload)


def test_over_ipv6(server: ExampleServer, coap_client: CoapClient, ipv6: str) -> None:
    assert coap_client.ask(server.uri("/hello", ipv6)).shape == PIGGYBACKED
    assert_separate(coap_client.ask(server.uri("/async?1", ipv6)))
    non = coap_client.ask(server.uri("/hello", ipv6), "-N")
    assert non.shape == [("sent", "NON", "GET"), ("received", "NON", "2.05")]


def test_a_name_in_the_uri_is_no_matter(server: ExampleServer, coap_client: CoapClient) -> None:
    dialogue = coap_client.ask(server.uri("/hello", "localhost"), "-a", "127.0.0.1")
    assert "Uri-Host:localhost" in dialogue.request.options
    assert dialogue.shape == PIGGYBACKED


# -- datagrams that are lost -------------------------------------------------------------


class Losses(NamedTuple):
    """What happened to clients whose datagrams, or the server's, were lost."""

    requests: list[Dialogue]
    answers: list[tuple[LossyLink, Dialogue]]
    late: list[tuple[LossyLink, Dialogue]]
    unacknowledged: LossyLink
    count_of_requests: str
    count_of_answers: str


@pytest.fixture(scope="module")
def losses(coap_client: CoapClient) -> Losses:
    """Each loss costs seconds, so all of these clients wait side by side."""
    with ExitStack() as stack:
        counting_requests = stack.enter_context(ExampleServer())
        counting_answers = stack.enter_context(ExampleServer())
        answering_late = stack.enter_context(ExampleServer())

        def link(server: ExampleServer, *lose: int) -> LossyLink:
            return stack.enter_context(LossyLink(server.port, lose))

        counter = counting_requests.uri("/counter")
        requests = [
            coap_client.start(counter, "-l", loss, method="post", give_up=14)
            for loss in ("1", "1", "2", "1,3", "2-4", "1,4-9")
        ]
        answers = [
            (via, coap_client.start(via.uri("/counter"), method="post", give_up=14))
            for via in (link(counting_answers, *lose) for lose in ((1,), (1,), (2,), ()))
        ]
        # The server sends: 1 the empty ACK, 2 the answer.
        late = [
            (via, coap_client.start(via.uri("/async?1"), give_up=14))
            for via in (link(answering_late, *lose) for lose in ((1,), (2,), (1, 2)))
        ]
        # This one loses its ACK, and has gone when the answer comes again.
        unacknowledged = link(answering_late)
        leaving = coap_client.start(unacknowledged.uri("/async?1"), "-l", "2", give_up=14)
        assert leaving.finish().shape == [*SEPARATE[:3], ("dropped", "ACK", "0.00")]
        unacknowledged.wait_for(3)
        return Losses(
            [one.finish() for one in requests],
            [(via, one.finish()) for via, one in answers],
            [(via, one.finish()) for via, one in late],
            unacknowledged,
            coap_client.ask(counter).answer.payload,
            coap_client.ask(counting_answers.uri("/counter")).answer.payload,
        )


def test_lost_requests_are_executed_once_each(losses: Losses) -> None:
    for dialogue in losses.requests:
        # The copies are one message, and only the last one got through.
        assert len({message.mid for message in dialogue.messages}) == 1
        assert (dialogue.answer.type, dialogue.answer.code) == ("ACK", "2.04")
    assert [len(dialogue.of("dropped")) for dialogue in losses.requests] == [1, 1, 0, 1, 0, 1]
    assert {int(dialogue.answer.payload) for dialogue in losses.requests} == set(range(1, 7))
    assert losses.count_of_requests == "7"


def test_lost_answers_are_repeated_and_not_executed_again(losses: Losses) -> None:
    for (link, dialogue), sent in zip(losses.answers, (2, 2, 1, 1), strict=True):
        assert len(link.from_client) == len(link.from_server) == sent
        assert len(set(link.from_client)) == len(set(link.from_server)) == 1
        assert (dialogue.answer.type, dialogue.answer.code) == ("ACK", "2.04")
    assert {int(dialogue.answer.payload) for _, dialogue in losses.answers} == {1, 2, 3, 4}
    assert losses.count_of_answers == "5"


def test_a_late_answer_survives_the_loss_of_any_datagram(losses: Losses) -> None:
    for link, dialogue in losses.late:
        assert (dialogue.answer.type, dialogue.answer.code) == ("CON", "2.05")
        assert dialogue.answer.payload == "done"
        assert dialogue.shape[-1] == ("sent", "ACK", "0.00")
        # However often it was sent, it is one datagram: there was one execution.
        assert len({data for data in link.from_server if parse(data).code == "2.05"}) == 1
    lost_ack, lost_answer, lost_both = losses.late
    assert lost_ack[1].shape == [SEPARATE[0], *SEPARATE[2:]]  # the answer will do
    assert lost_answer[1].shape == SEPARATE
    sent = [parse(data).code for data in lost_answer[0].from_server]
    assert sent == ["0.00", "2.05", "2.05"]
    assert len(lost_both[0].from_server) >= 3


def test_an_answer_whose_ack_was_lost_comes_again(losses: Losses) -> None:
    accepted, answer, again = losses.unacknowledged.from_server[:3]
    assert parse(accepted).code == "0.00"
    assert (parse(answer).code, parse(answer).payload) == ("2.05", b"done")
    assert again == answer
    assert len(losses.unacknowledged.from_client) == 1


# -- a client that starts again with the same port and token ------------------------------


def test_a_second_client_on_the_same_port_is_answered_too(
    fresh_server: ExampleServer, coap_client: CoapClient
) -> None:
    port = str(free_port())
    hellos = [coap_client.ask(fresh_server.uri("/hello"), "-p", port) for _ in range(2)]
    assert [d.request.token for d in hellos] == ["01", "01"]
    assert [d.answer.payload for d in hellos] == ["hello", "hello"]
    counts = [
        coap_client.ask(fresh_server.uri("/counter"), "-p", port, method="post") for _ in range(2)
    ]
    assert [d.request.token for d in counts] == ["01", "01"]
    # Its message IDs are drawn; should it draw one twice, the second request is a copy.
    same = counts[0].request.mid == counts[1].request.mid
    assert [d.answer.payload for d in counts] == ["1", "1" if same else "2"]


def test_a_second_client_joins_the_pending_request_of_the_first(
    server: ExampleServer, coap_client: CoapClient
) -> None:
    port = free_port()
    uri = server.uri("/async?2")
    first = coap_client.ask(uri, "-p", str(port), give_up=1)
    assert first.shape == SEPARATE[:2]  # it gave up, its request acknowledged and pending
    began = time.monotonic()
    second = coap_client.ask(uri, "-p", str(port), give_up=5)
    assert_separate(second)
    assert second.request.token == first.request.token == "01"
    # It got the answer to the first request: one of its own takes 2 s.
    assert time.monotonic() - began < 2
    # Nothing else is under way to that port: there was one execution.
    with RawPeer(server.port, own_port=port) as afterwards:
        afterwards.expect_silence(1.5)
        assert afterwards.drawn() == []


def test_two_clients_at_once_get_one_answer(server: ExampleServer, coap_client: CoapClient) -> None:
    port = free_port()
    uri = server.uri("/async?1")
    # Both hold the port, which libcoap allows; the system gives what arrives to one of them.
    under_way = [coap_client.start(uri, "-p", str(port), give_up=2) for _ in range(2)]
    dialogues = [one.finish() for one in under_way]
    requests = [dialogue.request for dialogue in dialogues]
    assert {request.token for request in requests} == {"01"}
    received = [message for dialogue in dialogues for message in dialogue.received]
    acknowledged = {message.mid for message in received if message.type == "ACK"}
    assert acknowledged == {request.mid for request in requests}
    answers = [message for message in received if message.code == "2.05"]
    assert {(answer.token, answer.payload) for answer in answers} == {("01", "done")}
    assert len({answer.mid for answer in answers}) == 1


# -- what this version does not know -----------------------------------------------------


@pytest.mark.parametrize("number", [1, 5, 9, 65001])
def test_a_critical_option_that_is_not_understood(
    server: ExampleServer, coap_client: CoapClient, number: int
) -> None:
    value = "" if number == 5 else "x"
    answer = coap_client.ask(server.uri("/hello"), "-O", f"{number},{value}").answer
    assert (answer.type, answer.code) == ("ACK", "4.02")
    assert answer.payload.startswith("not understood: ")


def test_an_elective_option_that_is_not_understood(
    server: ExampleServer, coap_client: CoapClient
) -> None:
    answer = coap_client.ask(server.uri("/hello"), "-O", "65000,x").answer
    assert (answer.code, answer.payload) == ("2.05", "hello")


def test_observe_is_ignored(server: ExampleServer, coap_client: CoapClient) -> None:
    dialogue = coap_client.ask(server.uri("/hello"), "-s", "1", give_up=2)
    assert "Observe:0" in dialogue.request.options
    assert dialogue.shape == PIGGYBACKED
    assert "Observe" not in dialogue.answer.options


def test_a_proxy_it_is_not(server: ExampleServer, coap_client: CoapClient) -> None:
    proxy = server.uri("").rstrip("/")
    answer = coap_client.ask("coap://192.0.2.1/hello", "-P", proxy).answer
    assert (answer.type, answer.code) == ("ACK", "5.05")


def test_many_clients_at_once(server: ExampleServer, coap_client: CoapClient) -> None:
    began = time.monotonic()
    under_way = [coap_client.start(server.uri("/async?1")) for _ in range(20)]
    for one in under_way:
        assert_separate(one.finish())
    assert time.monotonic() - began < 10  # one after another takes 20
