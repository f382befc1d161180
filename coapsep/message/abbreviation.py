"""Uri-Path-Abbrev: a number that stands for a whole path (draft-ietf-core-uri-path-abbrev).

A request has this option or Uri-Path, never both. A server treats it like the path that it
stands for; a number that is not known here is a critical option that is not understood: 4.02,
since the path itself may well be there (section 2.1). A client sends it only to a server of
which it is known that it takes it (section 2.2).
"""

from __future__ import annotations

from coapsep.message.options import Options
from coapsep.numbers import OptionNumber

#: The registry of section 6.2, as far as the draft fills it.
_PATHS: dict[int, tuple[str, ...]] = {
    0: (".well-known", "core"),
    1: (".well-known", "rd"),
    2: (".well-known", "edhoc"),
    301: (".well-known", "est", "crts"),
    302: (".well-known", "est", "sen"),
    303: (".well-known", "est", "sren"),
    304: (".well-known", "est", "skg"),
    305: (".well-known", "est", "skc"),
    306: (".well-known", "est", "att"),
    401: (".well-known", "brski", "es"),
    402: (".well-known", "brski", "rv"),
    403: (".well-known", "brski", "vs"),
}


def expand(number: int) -> tuple[str, ...] | None:
    """The path that a number stands for; None if it is not known."""
    return _PATHS.get(number)


def expand_path(options: Options) -> Options | None:
    """The options with Uri-Path in place of Uri-Path-Abbrev; the same if it is not there.

    None where the request must be refused with 4.02: the number is not known, or there is a
    Uri-Path as well (section 2.4).
    """
    number = options.uri_path_abbrev
    if number is None:
        return options
    path = expand(number)
    if path is None or OptionNumber.URI_PATH in options:
        return None
    return options.without(OptionNumber.URI_PATH_ABBREV).replace(OptionNumber.URI_PATH, *path)
