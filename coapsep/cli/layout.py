"""JSON and CBOR diagnostic notation, laid out for a terminal: a line for each member.

Both are read as tokens, which are only moved apart: a number stays as the peer wrote it, and
so does a key that is there twice. Colours are the terminal's own, so they fit any background.

Why not Rich: it parses and writes JSON anew, has no CBOR, and would need a second way for
where it is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Containers in one another: what is deeper is no data to look at, and all indentation.
DEEPEST = 64

_INDENT = "  "
_OPENING = ("[", "{")
_CLOSING = ("]", "}")
#: The head of a tag, and of a string in pieces: what is in them stays on one line.
_INLINE = ("(", "(_ ")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')

_KEY, _STRING, _BYTES, _NUMBER, _WORD = "34", "32", "33", "36", "35"


def json_tokens(text: str) -> list[str]:
    """The tokens of a text that is known to be JSON."""
    return _JSON_TOKEN.findall(text)


def lay_out(tokens: Sequence[str], *, colours: bool) -> str:
    """The tokens on indented lines, without a newline at the end.

    Raises ValueError if they are nested too deep.
    """
    pieces: list[str] = []
    open_: list[str] = []
    depth = 0
    for position, token in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else ""
        if token.startswith(_OPENING):
            open_.append(token)
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST}")
            pieces.append(token)
            if not following.startswith(_CLOSING):
                pieces.append(_new_line(depth))
            elif token.endswith("_"):
                pieces.append(" ")
        elif token in _CLOSING:
            open_.pop()
            depth -= 1
            if not tokens[position - 1].startswith(_OPENING):
                pieces.append(_new_line(depth))
            pieces.append(token)
        elif token.endswith(_INLINE):
            open_.append(token)
            pieces.append(token)
        elif token == ")":
            open_.pop()
            pieces.append(token)
        elif token == ",":
            inline = bool(open_) and open_[-1].endswith(_INLINE)
            pieces.append(", " if inline else "," + _new_line(depth))
        elif token == ":":
            pieces.append(": ")
        else:
            pieces.append(_paint(token, is_key=following == ":") if colours else token)
    return "".join(pieces)


def in_line(tokens: Sequence[str]) -> str:
    """The tokens on one line."""
    return "".join({",": ", ", ":": ": ", "[_": "[_ ", "{_": "{_ "}.get(t, t) for t in tokens)


def _new_line(depth: int) -> str:
    return "\n" + _INDENT * depth


def _paint(token: str, *, is_key: bool) -> str:
    if is_key:
        colour = _KEY
    elif token.startswith('"'):
        colour = _STRING
    elif token.startswith("h'"):
        colour = _BYTES
    elif token[0].isdigit() or (token[0] == "-" and token[1:2].isdigit()):
        colour = _NUMBER
    else:
        colour = _WORD
    return f"\x1b[{colour}m{token}\x1b[0m"
