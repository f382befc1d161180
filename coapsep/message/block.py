"""One block of a body: the value of Block1 and Block2 (RFC 7959 section 2.2)."""

from __future__ import annotations

import attrs

from coapsep.numbers import BLOCK_SIZES

#: What the reserved size exponent 7 would stand for.
_RESERVED = 2048
#: Numbers have 20 bits.
MAX_BLOCKS = 1 << 20
_SIZES = frozenset({*BLOCK_SIZES, _RESERVED})


@attrs.frozen
class Block:
    """Block ``number`` of a body that is cut into blocks of ``size`` bytes.

    ``more`` says that it is not the last one. A size of 2048 stands for the reserved size
    exponent 7, which no message may have; see ``is_valid``.
    """

    number: int
    more: bool
    size: int

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.number < MAX_BLOCKS:
            raise ValueError(f"a block number is from 0 to {MAX_BLOCKS - 1}, not {self.number}")
        if self.size not in _SIZES:
            raise ValueError(f"a block has 16, 32, 64 ... 1024 bytes, not {self.size}")

    @classmethod
    def read(cls, value: int) -> Block:
        """The block that the value of an option stands for."""
        return cls(value >> 4, value & 8 != 0, 16 << (value & 7))

    @property
    def value(self) -> int:
        """The value of the option."""
        return self.number << 4 | self.more << 3 | (self.size.bit_length() - 5)

    @property
    def start(self) -> int:
        """Where its first byte stands in the body."""
        return self.number * self.size

    @property
    def is_valid(self) -> bool:
        """Whether the size is not the reserved one."""
        return self.size != _RESERVED

    def __str__(self) -> str:
        return f"{self.number}/{self.more:d}/{self.size}"
