# SPDX-License-Identifier: MIT
"""Measure coapsep and its peers on this machine.  See README.md next to this file."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import installing
import machine
import plot
import suites
from goals import goals_text
from record import Record, SuiteRecord, read
from report import suite_text
from servers import HERE, Unavailable, compile_c
from suite import Bench

Number = TypeVar("Number", int, float)

REST = "the rest"  # of a suite that failed


def bounded(kind: Callable[[str], Number], most: Number) -> Callable[[str], Number]:
    """An argument type: a slip of the finger must not load the machine for hours."""

    def parse(text: str) -> Number:
        value = kind(text)
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {most:g}")
        return value

    return parse


def directory(text: str) -> Path:
    """One that can be written to, now, and not only after the run."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise argparse.ArgumentTypeError(f"{text}: {exc.strerror}") from None
    return path


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    known = suites.names()
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Measure coapsep and other CoAP implementations, on loopback.",
        epilog="suites:\n" + "\n".join(f"  {name:<12}{suites.about(name)}" for name in known),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("suites", nargs="*", metavar="SUITE", help="which, in which order; default: all")
    add("--full", action="store_true", help="the full sizes: up to a million pending requests")
    add("--only", type=lambda text: text.split(","), metavar="A,B,...", help="these subjects only")
    add("--repeats", type=bounded(int, 100), default=3, metavar="N", help="default: 3")
    add(
        "--seconds",
        type=bounded(float, 60),
        default=2.0,
        metavar="SEC",
        help="of a measurement that has no size of its own; default: 2",
    )
    add("--json", type=Path, metavar="FILE", help="write everything to FILE, too")
    add("--plot", type=directory, metavar="DIR", help="draw it, as PNG and SVG")
    add(
        "--read",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing: report on what earlier runs have written, together",
    )
    add(
        installing.OPTION,
        dest="install_peers",
        action="store_true",
        help="first install node-coap and CoAPthon3 into the user's cache; takes the network",
    )
    options = parser.parse_args(arguments)
    options.suites = options.suites or known
    unknown = set(options.suites) - set(known)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"{options.json.parent} is no directory")
    return options


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
            "full": options.full,
        },
        "remarks": remarks,
    }


def run_suite(name: str, bench: Bench) -> SuiteRecord:
    """Measure one suite. A failure of its own is told and costs only what it had not yet."""
    bench.say(f"{name}: {suites.about(name)}")
    record = SuiteRecord(name, notes=bench.notes, left_out=bench.left_out)
    try:
        record.samples.extend(suites.runner(name)(bench))
    except Unavailable as exc:
        bench.leave_out(REST, str(exc))
    except Exception as exc:
        traceback.print_exc()
        bench.leave_out(REST, f"failed: {exc!r}")
    return record


def print_suite(suite: SuiteRecord) -> None:
    """Its tables."""
    text = suite_text(suite.name, suite.samples, suite.notes, suite.left_out)
    print(f"\n{text}\n", flush=True)


def measure_all(options: argparse.Namespace) -> Record:
    """Build, run, tell after each suite, and leave nothing behind."""
    cores = machine.choose_cores()
    record = Record(describe_run(options, cores))
    for remark in record.about["remarks"]:
        print(f"note: {remark}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="coapsep-bench-") as scratch:
        build = Path(scratch)
        try:
            generator = compile_c(HERE / "coapload.c", build)
        except Unavailable as exc:
            sys.exit(f"the load generator cannot be built: {exc}")
        bench = Bench(
            repeats=options.repeats,
            seconds=options.seconds,
            full=options.full,
            only=options.only,
            cores=cores,
            build=build,
            generator=generator,
            cache=installing.cache_directory(),
        )
        for name in options.suites:
            record.suites[name] = run_suite(name, replace(bench, notes={}, left_out={}))
            print_suite(record.suites[name])
            if options.json:  # after each: a long run that is cut short leaves what it had
                record.write(options.json)
    return record


def report_on(paths: Sequence[Path], options: argparse.Namespace) -> Record:
    """The tables of earlier runs."""
    record = read(paths)
    for suite in record.suites.values():
        print_suite(suite)
    if options.json:
        record.write(options.json)
    return record


def leave(signum: int, frame: FrameType | None) -> None:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that no server stays behind."""
    sys.exit(128 + signum)


def main() -> int:
    """Run it all."""
    options = parse_arguments()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, leave)
    if options.install_peers:
        installing.install(installing.cache_directory())
    record = report_on(options.read, options) if options.read else measure_all(options)
    print(f"goals\n{goals_text(record.results())}")
    if options.plot:
        plot.draw(record.results(), options.plot)
    found = record.suites.values()
    return 1 if any(REST in suite.left_out for suite in found) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
