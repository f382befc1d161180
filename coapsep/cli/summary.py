"""A response as one line: its code, where something was created, and what an error says."""

from __future__ import annotations

from coapsep.cli.payloads import in_few_words
from coapsep.client.response import ClientResponse
from coapsep.message.uri import write_segment


def summary_of(response: ClientResponse) -> str:
    """The line, which is printable."""
    line = str(response.code)
    options = response.options
    if options.location_path or options.location_query:
        path = "/" + "/".join(map(write_segment, options.location_path))
        query = "&".join(map(write_segment, options.location_query))
        line += f": {path}{'?' if query else ''}{query}"
    if response.payload:
        words = in_few_words(response.payload, response.content_format)
        if not line.lower().endswith(words.lower()):  # some servers only name the code
            line += f": {words}"
    if response.retry_after is not None:
        line += f" (ask again after {response.retry_after} s)"
    return line
