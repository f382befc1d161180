# SPDX-License-Identifier: MIT
"""Compare coapsep's server with others on this machine.  See README.md next to this file."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import machine
from load import Measurement, closed_loop, run_load, to_measurement
from report import doubts, figures_text, ratios, ratios_text, summarise
from servers import HERE, KINDS, Prepared, Unavailable, compile_c, running

Number = TypeVar("Number", int, float)

DEFAULT_SERVERS = "coapsep,coapsep-sync,aiocoap,libcoap,echo-codec"


@dataclass
class Outcome:
    """What a run has gathered."""

    measurements: list[Measurement] = field(default_factory=list)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def leave_out(self, server: str, reason: str) -> None:
        """Drop the server with all its figures: a median of fewer repeats would mislead."""
        self.left_out[server] = reason
        self.notes.pop(server, None)
        self.measurements = [m for m in self.measurements if m.server != server]
        say(f"{server} is left out: {reason}")


@dataclass(frozen=True)
class Bench:
    """The means of a run, all made ready."""

    options: argparse.Namespace
    cores: machine.Cores
    build: Path
    generator: Path

    def measure(
        self, name: str, prepared: Prepared, repeat: int, window: int
    ) -> tuple[Measurement, dict[str, Any]]:
        """Start the server afresh, load it, stop it; return the figures and its note."""
        workload = closed_loop(window, self.options.seconds)
        with running(prepared, self.cores.server, self.build / f"{name}.log") as server:
            report = run_load(self.generator, server, workload, self.cores.load)
        return to_measurement(name, repeat, window, report), server.note


def say(text: str) -> None:
    """Progress goes to stderr, so that the tables can be redirected."""
    print(text, file=sys.stderr, flush=True)


def bounded(kind: Callable[[str], Number], most: Number) -> Callable[[str], Number]:
    """An argument type: a slip of the finger must not load the machine for hours."""

    def parse(text: str) -> Number:
        value = kind(text)
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {most:g}")
        return value

    return parse


def windows(text: str) -> list[int]:
    """The argument of -W: a list such as ``1,64``."""
    return list(dict.fromkeys(bounded(int, 1024)(part) for part in text.split(",")))


def server_names(text: str) -> list[str]:
    """The argument of --servers."""
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in KINDS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(KINDS)}")
    return names


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    known = "\n".join(f"  {name:<14}{kind.about}" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Compare CoAP servers under the same load, on loopback.",
        epilog=f"servers:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--servers",
        type=server_names,
        default=DEFAULT_SERVERS,
        metavar="A,B,...",
        help="default: %(default)s",
    )
    add("--repeats", type=bounded(int, 100), default=3, metavar="N", help="default: 3")
    add(
        "--seconds",
        type=bounded(float, 60),
        default=2.0,
        metavar="SEC",
        help="of each measurement; default: 2",
    )
    add(
        "-W",
        "--windows",
        type=windows,
        default="64",
        metavar="N,...",
        help="requests under way at once, each number measured in turn; default: 64",
    )
    add("--json", type=Path, metavar="FILE", help="write everything to FILE, too")
    options = parser.parse_args(arguments)
    if options.json and not options.json.parent.is_dir():
        parser.error(f"{options.json.parent} is no directory")  # now, not after the run
    return options


def prepare_servers(names: Sequence[str], build: Path, outcome: Outcome) -> dict[str, Prepared]:
    """Build what has to be built; what cannot be built is left out."""
    prepared = {}
    for name in names:
        try:
            prepared[name] = KINDS[name].prepare(build)
        except Unavailable as exc:
            outcome.leave_out(name, str(exc))
    return prepared


def schedule(options: argparse.Namespace, names: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Interleaved: whatever drifts on the machine then meets all servers alike."""
    for repeat in range(1, options.repeats + 1):
        for window in options.windows:
            for name in names:
                yield repeat, window, name


def run_all(bench: Bench, prepared: dict[str, Prepared], outcome: Outcome) -> None:
    """Measure everything that has not been left out on the way."""
    for repeat, window, name in schedule(bench.options, list(prepared)):
        if name in outcome.left_out:
            continue
        try:
            figures, note = bench.measure(name, prepared[name], repeat, window)
        except Unavailable as exc:
            outcome.leave_out(name, str(exc))
            continue
        outcome.measurements.append(figures)
        versions = {**prepared[name].versions, **note.get("versions", {})}
        outcome.notes[name] = {**note, "versions": versions}
        say(f"{repeat}/{bench.options.repeats}  W={window:<4} {name:<14}{figures.rps:>9.0f} req/s")


def about_servers(outcome: Outcome) -> str:
    """What was measured, with versions and the garbage collector's state at the end."""
    lines = []
    for name, note in outcome.notes.items():
        versions = ", ".join(f"{what} {which}" for what, which in note["versions"].items())
        parts = filter(None, [KINDS[name].about, versions, gc_text(note.get("gc"))])
        lines.append(f"  {name:<14}{'; '.join(parts)}")
    lines += [f"  {name:<14}left out: {reason}" for name, reason in outcome.left_out.items()]
    return "\n".join(lines)


def gc_text(state: dict[str, Any] | None) -> str:
    """The state of a Python peer's garbage collector in a few words."""
    if state is None:
        return ""
    if not state["enabled"]:
        return "gc off"
    frozen = f", {state['frozen']} frozen" if state["frozen"] else ""
    return f"gc {'/'.join(map(str, state['threshold']))}{frozen}"


def print_report(options: argparse.Namespace, outcome: Outcome) -> None:
    """The tables."""
    summaries = summarise(outcome.measurements)
    found = ratios(summaries)
    print(f"\nservers\n{about_servers(outcome)}")
    for window in options.windows if summaries else ():
        extent = f"{options.repeats} x {options.seconds:g} s"
        print(f"\nGET /hello, closed loop, W={window}, {extent}: median (min-max)")
        print(figures_text(summaries, window))
        if found:
            print(f"\nratios of medians, W={window} (more req/s is better, less of the rest)")
            print(ratios_text(found, window))
    doubtful = doubts(summaries)
    if doubtful:
        print("\ndoubtful", *doubtful, sep="\n  ")


def write_json(path: Path, about: dict[str, Any], outcome: Outcome) -> None:
    """Everything that was found, and what it takes to repeat it."""
    summaries = summarise(outcome.measurements)
    document = {
        **about,
        "servers": outcome.notes,
        "left_out": outcome.left_out,
        "summaries": [summary.as_json() for summary in summaries],
        "ratios": [ratio.as_json() for ratio in ratios(summaries)],
        "doubts": doubts(summaries),
        "measurements": [vars(m) for m in outcome.measurements],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def describe_run(options: argparse.Namespace, cores: machine.Cores) -> dict[str, Any]:
    """What is known before the run; remarks are reasons to trust the figures less."""
    load_average = machine.load_average()
    remarks = [cores.remark] if cores.remark else []
    if load_average > 0.5:
        remarks.append(f"the load average was {load_average:g} before: was other work going on?")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "revision": machine.revision(HERE.parent),
        "machine": machine.describe(cores, load_average),
        "settings": {
            "repeats": options.repeats,
            "seconds": options.seconds,
            "windows": options.windows,
        },
        "remarks": remarks,
    }


def measure_all(options: argparse.Namespace, cores: machine.Cores) -> Outcome:
    """Build, run, and leave nothing behind."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="coapsep-bench-") as directory:
        build = Path(directory)
        try:
            generator = compile_c(HERE / "coapload.c", build)
        except Unavailable as exc:
            sys.exit(f"the load generator cannot be built: {exc}")
        prepared = prepare_servers(options.servers, build, outcome)
        run_all(Bench(options, cores, build, generator), prepared, outcome)
    return outcome


def leave(signum: int, frame: FrameType | None) -> None:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that no server stays behind."""
    sys.exit(128 + signum)


def main() -> int:
    """Run it all."""
    options = parse_arguments()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, leave)
    cores = machine.choose_cores()
    about = describe_run(options, cores)
    for remark in about["remarks"]:
        say(f"note: {remark}")
    outcome = measure_all(options, cores)
    print_report(options, outcome)
    if options.json:
        write_json(options.json, about, outcome)
    return 0 if outcome.measurements else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
