"""Run the suite as other processors would: ``python -m benchmarks.studies.trust.machines [options]``.

By default the selection of ``make bench`` runs as a whole, and its closed probes run again under every variant, each in
a run of its own and from an empty cache, so that stand-ins are generated again too. Finished variants are kept in
``reports/runs/NAME``, an interrupted one goes on. ``--python`` runs the closed probes under another environment, such
as one with an older torch, which is then a variant beside the others.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.studies.trust.machines import report, running
from benchmarks.studies.trust.machines.switches import Variant, described, variants
from geofm_eval.errors import GeofmError
from geofm_eval.store import write_bytes


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.studies.trust.machines", description=__doc__)
    found.add_argument("--only", nargs="+", metavar="VARIANT", default=[], help="these variants alone")
    found.add_argument("--list", action="store_true", help="print the machine and its variants, and run nothing")
    found.add_argument("--workers", type=int, default=2, metavar="N", help="processes per variant (default: 2)")
    found.add_argument("--dense", action="store_true", help="the dense probes of suite bench too")
    found.add_argument("--name", default="machines", help="folder of the results below reports/runs")
    found.add_argument("--python", metavar="PATH", help="run the suite with this Python, as one more variant")
    found.add_argument("options", nargs="*", help="behind --: options of pytest, such as --tasks and --models")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and still to be run; print the machine and the table of all that is finished.

    Returns:
        0 where all finished variants are green.
    """
    asked = parser().parse_args(arguments)
    python = asked.python or sys.executable
    place = running.here(python, asked.options, asked.name, asked.workers, asked.dense)
    machine = described(python, place.base, place.root)
    print("\n".join(report.machine_lines(machine)), flush=True)
    known = variants(machine)
    if asked.python:
        if asked.only:
            parser().error("--python is a variant of its own: leave --only out")
        name = f"torch_{machine['torch'].partition('+')[0]}"
        known[name] = Variant(name, note=f"torch {machine['torch'].partition('+')[0]}, 1 thread")
        asked.only = [name]
    if unknown := sorted(set(asked.only) - set(known)):
        parser().error(f"unknown here: {', '.join(unknown)}; variants: {', '.join(known)}")
    if asked.list:
        print("\n".join(_listed(place, known)))
        return 0
    return _run(place, [known[name] for name in asked.only or known])


def _listed(place: running.Workplace, known: dict[str, Variant]) -> list[str]:
    return [
        f"{name}: {one.switches or one.note}{' (finished)' if place.result(one).exists() else ''}"
        for name, one in known.items()
    ]


def _run(place: running.Workplace, asked: Sequence[Variant]) -> int:
    for variant in asked:
        try:
            known = running.finished(place, variant)
            if known is None:
                print(f"{variant.name}: {variant.title} ...", file=sys.stderr, flush=True)
                known = running.measure(place, variant)
            print(f"{variant.name}: {'green' if known.green else 'NOT green'}", file=sys.stderr, flush=True)
        except GeofmError as error:
            raise SystemExit(str(error)) from None
    found = running.all_finished(place)
    text = "\n".join(["", *report.table(found), "", *report.notes(found)])
    write_bytes(place.folder / "table.md", text.encode())
    print(text)
    return int(not all(facts.green for facts in found))


if __name__ == "__main__":
    sys.exit(main())
