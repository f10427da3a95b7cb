"""Run the suite as other processors would: ``python -m benchmarks.studies.trust.machines [options]``.

The default variant runs the selection of ``make bench``; every other variant repeats its probes. Each variant has its
own run and starts from an empty cache, so that stand-ins are generated again too. Finished variants are kept in
``reports/runs/NAME``, and an interrupted one resumes. ``--python`` adds a variant that runs the probes in another
environment, for example with an older torch.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.studies.trust.machines import report, running
from benchmarks.studies.trust.machines.switches import MachineVariant, described, variants
from geofm_eval.errors import GeofmError
from geofm_eval.store import write_bytes


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.studies.trust.machines", description=__doc__)
    found.add_argument("--only", nargs="+", metavar="VARIANT", default=[], help="run only these variants")
    found.add_argument("--list", action="store_true", help="print the machine and its variants, and run nothing")
    found.add_argument("--workers", type=int, default=2, metavar="N", help="processes per variant (default: 2)")
    found.add_argument("--dense", action="store_true", help="also run the dense probes of suite bench")
    found.add_argument("--name", default="machines", help="folder for results in reports/runs (default: machines)")
    found.add_argument("--python", metavar="PATH", help="add a variant that runs the suite with this Python")
    found.add_argument("options", nargs="*", help="after --: pytest options, for example --tasks and --models")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the selected variants that are not finished; print the machine and the table of all finished ones.

    Returns:
        0 if all finished variants passed.
    """
    asked = parser().parse_args(arguments)
    python = asked.python or sys.executable
    place = running.workplace_here(python, asked.options, asked.name, asked.workers, asked.dense)
    machine = described(python, place.base, place.root)
    print("\n".join(report.machine_lines(machine)), flush=True)
    known = variants(machine)
    if asked.python:
        if asked.only:
            parser().error("--python is a variant itself and cannot be combined with --only; remove --only")
        name = f"torch_{machine['torch'].partition('+')[0]}"
        known[name] = MachineVariant(name, note=f"torch {machine['torch'].partition('+')[0]}, 1 thread")
        asked.only = [name]
    if unknown := sorted(set(asked.only) - set(known)):
        parser().error(f"unknown variants: {', '.join(unknown)}; this machine has: {', '.join(known)}")
    if asked.list:
        print("\n".join(_listed(place, known)))
        return 0
    return _run(place, [known[name] for name in asked.only or known])


def _listed(place: running.Workplace, known: dict[str, MachineVariant]) -> list[str]:
    return [
        f"{name}: {one.variables_text or one.note}{' (finished)' if place.result(one).exists() else ''}"
        for name, one in known.items()
    ]


def _run(place: running.Workplace, asked: Sequence[MachineVariant]) -> int:
    for variant in asked:
        try:
            known = running.finished(place, variant)
            if known is None:
                print(f"{variant.name}: {variant.title} ...", file=sys.stderr, flush=True)
                known = running.measure(place, variant)
            print(f"{variant.name}: {'passed' if known.green else 'NOT passed'}", file=sys.stderr, flush=True)
        except GeofmError as error:
            raise SystemExit(str(error)) from None
    found = running.all_finished(place)
    text = "\n".join(["", *report.table(found), "", *report.notes(found)])
    write_bytes(place.folder / "table.md", text.encode())
    print(text)
    return int(not all(facts.green for facts in found))


if __name__ == "__main__":
    sys.exit(main())
