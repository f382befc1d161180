"""Transmission parameters and what follows from them (RFC 7252 section 4.8), and limits."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from coapsep.numbers import BLOCK_SIZES
from coapsep.params import Limits, Tuning

NAN, INFINITY = float("nan"), float("inf")

NOT_POSITIVE = (0, -1, -0.001, NAN, INFINITY, -INFINITY)
NOT_A_COUNT = (0, -1, 1.5, 1.0, NAN, INFINITY, "1", None)


# -- tuning ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ack_timeout", 2),
        ("ack_random_factor", 1.5),
        ("max_retransmit", 4),
        ("nstart", 1),
        ("default_leisure", 5),
        ("probing_rate", 1),
    ],
)
def test_table_2(name: str, value: float) -> None:
    """Section 4.8, table 2: the default values of the protocol parameters."""
    assert getattr(Tuning(), name) == value


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("max_transmit_span", 45),
        ("max_transmit_wait", 93),
        ("max_latency", 100),
        ("processing_delay", 2),
        ("max_rtt", 202),
        ("exchange_lifetime", 247),
        ("non_lifetime", 145),
    ],
)
def test_table_3(name: str, seconds: float) -> None:
    """Section 4.8.2, table 3: the values derived from the defaults."""
    assert getattr(Tuning(), name) == seconds


@pytest.mark.parametrize(
    ("tuning", "span", "wait", "rtt", "exchange", "non"),
    [
        (Tuning(ack_timeout=1, ack_random_factor=1, max_retransmit=2), 3, 7, 201, 204, 103),
        (Tuning(max_retransmit=0), 0, 3, 202, 202, 100),
        (Tuning(max_latency=10), 45, 93, 22, 67, 55),
        (Tuning(ack_timeout=4, max_retransmit=1, max_latency=1), 6, 18, 6, 12, 7),
    ],
)
def test_derived_times_follow_the_parameters(
    tuning: Tuning, span: float, wait: float, rtt: float, exchange: float, non: float
) -> None:
    """Section 4.8.2, the formulas."""
    assert tuning.max_transmit_span == span
    assert tuning.max_transmit_wait == wait
    assert tuning.processing_delay == tuning.ack_timeout
    assert tuning.max_rtt == rtt
    assert tuning.exchange_lifetime == exchange
    assert tuning.non_lifetime == non


BAD_TUNING: dict[str, tuple[object, ...]] = {
    "ack_timeout": NOT_POSITIVE,
    # Section 4.8.1: "ACK_RANDOM_FACTOR MUST NOT be decreased below 1.0".
    "ack_random_factor": (0.999, 0, -1.5, NAN, INFINITY),
    "max_retransmit": (-1, 21, 1.5, 4.0, "4", None),
    "nstart": NOT_A_COUNT,
    "default_leisure": NOT_POSITIVE,
    "probing_rate": NOT_POSITIVE,
    "max_latency": NOT_POSITIVE,
    "empty_ack_delay": (-0.001, -1, NAN, INFINITY),
    # Section 5.3.1 asks for 32 random bits at least; a token has 8 bytes at most (section 3).
    "token_bytes": (0, 3, 9, -8, 4.5, 8.0, NAN, "8", None, True),
    "response_timeout": (*NOT_POSITIVE, "1", True),
    "response_window": NOT_A_COUNT,
    # RFC 7959 section 2.2: powers of two from 16 to 1024.
    "block_size": (0, -16, 1, 8, 15, 17, 100, 1023, 2048, 64.0, "64", None, True, NAN),
    "confirm_every": NOT_A_COUNT,
    "non_notification_gap": (-0.001, -1, NAN, INFINITY, "3", None, True),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_TUNING.items() for value in values]
)
def test_tuning_refuses(name: str, value: object) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        Tuning(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ack_timeout", 0.5),
        ("ack_random_factor", 1.0),
        ("max_retransmit", 0),
        ("max_retransmit", 20),
        ("nstart", 1),
        ("empty_ack_delay", 0),
        ("empty_ack_delay", 1.999),
        ("token_bytes", 4),
        ("token_bytes", 8),
        ("response_timeout", None),
        ("response_timeout", 0.001),
        ("response_timeout", 86_400),
        ("response_window", 1),
        *[("block_size", size) for size in BLOCK_SIZES],
        ("confirm_every", 1),
        ("confirm_every", 1000),
        ("non_notification_gap", 0),
        ("non_notification_gap", 0.001),
    ],
)
def test_tuning_takes(name: str, value: float | None) -> None:
    arguments: dict[str, Any] = {name: value}
    assert getattr(Tuning(**arguments), name) == value


def test_tokens_are_as_hard_to_guess_as_they_can_be() -> None:
    """Section 5.3.1; and there is no limit to how long a response may take (section 5.2.2)."""
    assert Tuning().token_bytes == 8
    assert Tuning().response_timeout is None


def test_blocks_are_as_long_as_they_can_be() -> None:
    """RFC 7959 section 2.2: SZX 6. It fits into the 1152 bytes of RFC 7252 section 4.6."""
    assert Tuning().block_size == 1024


def test_notifications_are_confirmed_and_apart() -> None:
    """RFC 7641 section 4.5.1: not more than one NON in 3 seconds, where nothing is known."""
    assert Tuning().confirm_every == 1
    assert Tuning().non_notification_gap == 3


def test_every_field_of_tuning_is_validated() -> None:
    assert set(BAD_TUNING) == {field.name for field in attrs.fields(Tuning)}


@pytest.mark.parametrize(
    "arguments",
    [{"empty_ack_delay": 2}, {"empty_ack_delay": 3.5}, {"ack_timeout": 0.1}, {"ack_timeout": 0.05}],
    ids=str,
)
def test_the_empty_ack_must_be_sent_before_the_request_is_repeated(
    arguments: dict[str, float],
) -> None:
    """Section 5.2.2: an ACK that comes after the client's timeout is of no use."""
    values: dict[str, Any] = dict(arguments)
    with pytest.raises(ValueError, match=r"empty_ack_delay \(.*\) must be below ack_timeout"):
        Tuning(**values)


# -- limits ----------------------------------------------------------------------------

COUNTS = [
    "datagram_size",
    "options",
    "peers",
    "requests",
    "requests_per_session",
    "pending",
    "pending_per_session",
    "dedup_entries",
    "dedup_entries_per_session",
    "dedup_bytes",
    "body_size",
    "body_bytes",
    "body_bytes_per_session",
    "observers",
    "observers_per_session",
    "amplification_burst",
    "unsent",
    "retry_after",
]

BAD_LIMITS: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(COUNTS, NOT_A_COUNT),
    "token_size": (*NOT_A_COUNT, 1, 7),
    "pending_age": NOT_POSITIVE,
    "body_age": NOT_POSITIVE,
    "token_reuse": ("", "Replace", "keep", None, True),
    "amplification": ("", "Strict", "on", None, True),
    "amplification_rate": NOT_POSITIVE,
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_LIMITS.items() for value in values]
)
def test_limits_refuse(name: str, value: object) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        Limits(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, 1) for name in COUNTS]
    + [("pending_age", 0.001), ("body_age", 0.001), ("token_size", 8), ("token_size", 65_804)]
    + [("token_reuse", "replace"), ("token_reuse", "refuse"), ("amplification_rate", 0.5)]
    + [("amplification", how) for how in ("adaptive", "strict", "off")],
)
def test_limits_take(name: str, value: object) -> None:
    arguments: dict[str, Any] = {name: value}
    assert getattr(Limits(**arguments), name) == value


def test_every_field_of_limits_is_validated() -> None:
    assert set(BAD_LIMITS) == {field.name for field in attrs.fields(Limits)}


def test_the_default_datagram_size_holds_what_the_rfc_expects() -> None:
    """Section 4.6: 1152 bytes for the message, where nothing is known of the path."""
    assert Limits().datagram_size >= 1152


def test_a_body_of_the_largest_size_can_be_kept() -> None:
    limits = Limits()
    assert limits.body_size <= limits.body_bytes_per_session <= limits.body_bytes


def test_a_body_is_kept_as_long_as_a_message_id() -> None:
    """RFC 7959 section 2.5 speaks of EXCHANGE_LIFETIME."""
    assert Limits().body_age == Tuning().exchange_lifetime


def test_what_one_session_may_have_is_a_part_of_what_all_may() -> None:
    limits = Limits()
    for field in attrs.fields(Limits):
        if field.name.endswith("_per_session"):
            whole = field.name.removesuffix("_per_session")
            assert getattr(limits, field.name) < getattr(limits, whole)


@pytest.mark.parametrize("kind", [Tuning, Limits])
def test_they_are_frozen_and_take_keywords_only(kind: type[Any]) -> None:
    first = attrs.fields(kind)[0]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(kind(), first.name, first.default)
    with pytest.raises(TypeError):
        kind(first.default)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"peers": True}, "peers must be a whole number"),
        ({"pending_age": "1"}, "pending_age must be a positive number, not '1'"),
        ({"pending_age": None}, "pending_age must be a positive number, not None"),
        ({"token_reuse": "x"}, 'token_reuse is "replace" or "refuse", not \'x\''),
        ({"datagram_size": 65536}, "datagram_size is at most 65535 bytes"),
        ({"retry_after": 2**32}, "retry_after must fit into a Max-Age"),
        ({"token_size": 7}, "token_size is at least 8 bytes, not 7"),
    ],
)
def test_limits_name_the_field_that_is_wrong(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**wrong)


@pytest.mark.parametrize("field", ["ack_timeout", "ack_random_factor", "empty_ack_delay"])
@pytest.mark.parametrize("value", ["1", None, True, float("nan")])
def test_a_time_is_a_number(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        Tuning(**{field: value})
