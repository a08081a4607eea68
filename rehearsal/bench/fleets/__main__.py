"""`python -m rehearsal.bench.fleets`: the figures for fleets of several sizes, by themselves."""

from __future__ import annotations

import argparse
import os
import sys

from rehearsal.bench.fleets import measure, table
from rehearsal.bench.fleets.measure import SERVERS


def main(arguments: list[str]) -> int:
    """Print progress and the tables; exit status 0."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.bench.fleets", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how often each command is run; medians are shown")
    parser.add_argument("--servers", type=int, action="append", help="a size; several times for several")
    parser.add_argument("--json", action="store_true", help="all that was found, as JSON, after the tables")
    options = parser.parse_args(arguments)
    found = measure(options.runs, lambda said: print(said, flush=True), options.servers or SERVERS)
    print("\n".join(["", *table(found)]))
    if options.json:
        print(found.model_dump_json(indent=1))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
