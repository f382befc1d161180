# SPDX-License-Identifier: MIT
"""What all suites have measured: samples grouped into repeats of each other, and looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from sample import Sample

#: The conditions of some samples, in a form that can be a key.
Setting = tuple[tuple[str, "float | str"], ...]


@dataclass(frozen=True)
class Spread:
    """The median of some repeats and how far they lie apart."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of one value or more."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1])


#: By setting, subject and metric; each in the order in which they were measured.
Groups = dict[Setting, dict[str, dict[str, Spread]]]


def group(samples: Iterable[Sample]) -> Groups:
    """Make a spread of all repeats of the same."""
    values: dict[Setting, dict[str, dict[str, list[float]]]] = {}
    for sample in samples:
        subjects = values.setdefault(setting_of(sample), {})
        subjects.setdefault(sample.subject, {}).setdefault(sample.metric, []).append(sample.value)
    return {
        setting: {
            subject: {metric: Spread.of(found) for metric, found in metrics.items()}
            for subject, metrics in subjects.items()
        }
        for setting, subjects in values.items()
    }


def setting_of(sample: Sample) -> Setting:
    """Its setting as a key."""
    return tuple(sorted(sample.setting.items()))


def setting_text(setting: Setting) -> str:
    """For people: ``N=20000, gc=frozen``."""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in setting
    )


@dataclass(frozen=True)
class Results:
    """The samples of each suite."""

    suites: Mapping[str, tuple[Sample, ...]]

    def spread(
        self, suite: str, subject: str, metric: str, **setting: float | str
    ) -> Spread | None:
        """Of the samples whose setting has these values, and maybe more; None without any."""
        found = [
            sample.value
            for sample in self.suites.get(suite, ())
            if sample.subject == subject
            and sample.metric == metric
            and all(sample.setting.get(name) == value for name, value in setting.items())
        ]
        return Spread.of(found) if found else None
