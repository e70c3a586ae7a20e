"""Tables 5.1 and 3.1 and Figures 3.1 and 5.1 of the paper, on the regenerated set.

    python benchmarks/paper_tables.py --table 5.1 --budget 40 --images ptceo2.npy
    python benchmarks/paper_tables.py --figure 5.1 --budget 8 --images ptceo2.npy

The set is simulated first if its file is not there (17,955 images, 4.7 GB; 10-35 minutes on two
cores). Kill the script at any moment: the same command goes on where it was, and rows that are done
are not done again, nor those that two experiments share. With --stop-after it ends by itself, with
exit status 75 if anything is left. --n-images, --max-train, --n-test and a small --budget make a
rehearsal. Ends with one JSON line; the tables stand in --output, where the documentation shows them
from. See benchmarks/README.md for what takes how long.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from _paper.experiments import EXPERIMENTS
from _paper.images import load
from _paper.work import Work, stop_after

RESULTS = Path(__file__).parent / "results"
# EX_TEMPFAIL of sysexits.h: come again.
UNFINISHED = 75


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--table", choices=["5.1", "3.1"])
    which.add_argument("--figure", choices=["3.1", "5.1"])
    parser.add_argument("--images", type=Path, required=True, help="file of the set, .npy")
    parser.add_argument("--budget", type=float, required=True, help="minutes of each training")
    parser.add_argument(
        "--paper-budget", type=float, metavar="MINUTES",
        help="minutes of each training of the paper's networks, by default --budget",
    )  # fmt: skip
    parser.add_argument(
        "--rehearsal", type=float, default=2.0, help="minutes of trainings no CPU can do"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ...")
    parser.add_argument("--output", type=Path, help="JSON; by default in benchmarks/results")
    parser.add_argument("--work", type=Path, help="folder of what is done; by default OUTPUT's")
    parser.add_argument("--stop-after", type=float, metavar="MINUTES")
    parser.add_argument(
        "--split", choices=["images", "models"], default="images",
        help="hold out single images, as the paper does, or whole atomic models",
    )  # fmt: skip
    parser.add_argument("--max-train", type=int, help="images of a training, by default all")
    parser.add_argument("--n-test", type=int, default=40, help="images tested on, of each group")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="rows of a table with one of these in their names"
    )
    parser.add_argument("--n-images", type=int, help="simulate only so many")
    parser.add_argument("--images-per-model", type=int, help="simulate only so many of a model")
    parser.add_argument("--preset", default="default", help="of make_ptceo2")
    parser.add_argument(
        "--n-jobs",
        type=int,
        help="processes that simulate; by default one per core, or one on a GPU",
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if args.only and (args.figure or args.output is None):
        parser.error("--only is for tables, and needs an --output of its own")
    kind, number = ("table", args.table) if args.table else ("figure", args.figure)
    if args.output is None:
        args.output = RESULTS / f"{kind}-{number}-{args.device.split(':')[0]}.json"
    if args.n_jobs is None:
        args.n_jobs = -1 if args.device == "cpu" else 1
    if args.paper_budget is None:
        args.paper_budget = args.budget
    if args.work is None:
        args.work = args.output.parent / "paper_tables.work"
    for name in (
        "budget",
        "paper_budget",
        "rehearsal",
        "n_test",
        "max_train",
        "n_images",
        "stop_after",
    ):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} must be positive, got {value}")
    return args, EXPERIMENTS[kind, number]


def main():
    """Run the command line."""
    args, experiment = parse()
    start = time.perf_counter()
    try:
        with stop_after(args.stop_after):
            report = experiment(args, load(args), Work(args.work))
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on.", file=sys.stderr)
        sys.exit(UNFINISHED)
    report.finish()
    summary = {
        "output": args.output.name,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "rows": {t["caption"]: t["rows"] for t in report.content["tables"]},
    }
    print(json.dumps(summary, ensure_ascii=False))


if __name__ == "__main__":
    main()
