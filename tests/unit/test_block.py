"""Blocks: the value of Block1 and Block2 (RFC 7959 section 2.2)."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep import Block
from coapsep.message.block import MAX_BLOCKS
from coapsep.numbers import BLOCK_SIZES

NUMBERS = st.integers(0, MAX_BLOCKS - 1)


@pytest.mark.parametrize(
    ("block", "value", "text"),
    [
        (Block(0, False, 16), 0, "0/0/16"),
        (Block(0, True, 64), 0b1_010, "0/1/64"),
        (Block(1, False, 128), 0x13, "1/0/128"),
        (Block(3, True, 1024), 0x3E, "3/1/1024"),
        (Block(MAX_BLOCKS - 1, False, 512), 0xFFFFF5, "1048575/0/512"),
        (Block(2, True, 2048), 0x2F, "2/1/2048"),  # reserved
    ],
)
def test_values(block: Block, value: int, text: str) -> None:
    """Section 2.2, figures 2 and 3: NUM, M and SZX; as text, in the manner of section 3."""
    assert block.value == value
    assert Block.read(value) == block
    assert str(block) == text


@given(st.integers(0, 0xFFFFFF))
def test_every_value_of_three_bytes_is_a_block(value: int) -> None:
    block = Block.read(value)
    assert block.value == value
    assert block.is_valid == (value & 7 != 7)


@given(NUMBERS, st.booleans(), st.sampled_from(BLOCK_SIZES))
def test_every_block_has_a_value(number: int, more: bool, size: int) -> None:
    block = Block(number, more, size)
    assert Block.read(block.value) == block
    assert block.value < 1 << 24
    assert block.is_valid


@given(NUMBERS, st.sampled_from(BLOCK_SIZES))
def test_the_same_place_in_smaller_blocks(number: int, size: int) -> None:
    """Section 2.3: what changes the size changes the number, so that the place stays."""
    start = Block(number, False, size).start
    assert start == number * size
    smaller = start // 16
    if smaller < MAX_BLOCKS:
        assert Block(smaller, False, 16).start == start


@pytest.mark.parametrize("number", [-1, MAX_BLOCKS, 1 << 24])
def test_a_number_has_20_bits(number: int) -> None:
    with pytest.raises(ValueError, match=f"from 0 to 1048575, not {number}"):
        Block(number, False, 16)


@pytest.mark.parametrize("size", [0, 1, 8, 15, 17, 100, 1023, 1025, 4096, -16])
def test_a_size_is_a_power_of_two(size: int) -> None:
    with pytest.raises(ValueError, match=f"1024 bytes, not {size}"):
        Block(0, False, size)


def test_a_value_that_no_option_can_have_is_no_block() -> None:
    with pytest.raises(ValueError, match="a block number"):
        Block.read(1 << 24)


def test_blocks_are_values() -> None:
    block = Block(1, True, 16)
    assert hash(block) == hash(Block(1, True, 16))
    assert len({block, Block(1, True, 32), Block(1, False, 16), Block(2, True, 16)}) == 4
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        block.number = 2  # type: ignore[misc]  # that is the point
