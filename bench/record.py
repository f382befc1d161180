# SPDX-License-Identifier: MIT
"""What a run has found, suite by suite, and the file it is kept in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goals import goals_json
from report import doubts, ratios
from results import Results, group
from sample import Sample


@dataclass
class SuiteRecord:
    """One suite: its samples, what its subjects tell of themselves, and what is missing."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the file; ratios and doubts are there to be read, not to be read back."""
        groups = group(self.samples)
        return {
            "notes": self.notes,
            "left_out": self.left_out,
            "ratios": [
                {"setting": setting, "of": ours, "to": peer, **values}
                for (setting, ours, peer), values in ratios(groups).items()
            ],
            "doubts": doubts(groups),
            "samples": [vars(sample) for sample in self.samples],
        }


@dataclass
class Record:
    """A whole run, and where and how it was made."""

    about: dict[str, Any]
    suites: dict[str, SuiteRecord] = field(default_factory=dict)

    def results(self) -> Results:
        """All samples, to look them up."""
        return Results({name: tuple(suite.samples) for name, suite in self.suites.items()})

    def write(self, path: Path) -> None:
        """Everything that was found, and what it takes to repeat it."""
        document = {
            **self.about,
            "goals": goals_json(self.results()),
            "suites": {name: suite.as_json() for name, suite in self.suites.items()},
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read(paths: Iterable[Path]) -> Record:
    """Earlier runs as one; where two have the same suite, that of the later file counts."""
    record = Record({"runs": []})
    for path in paths:
        document = json.loads(path.read_text(encoding="utf-8"))
        suites = document.pop("suites")
        del document["goals"]
        record.about["runs"] += document.get("runs") or [document]
        for name, suite in suites.items():
            samples = [Sample(**sample) for sample in suite["samples"]]
            record.suites[name] = SuiteRecord(name, samples, suite["notes"], suite["left_out"])
    return record
