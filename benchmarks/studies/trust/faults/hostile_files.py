"""Hostile files: each must end in an error of this library, and none may run code."""

import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.studies.trust.faults import world
from benchmarks.studies.trust.faults.damage import Verdict
from geofm_eval.catalog import load_catalog
from geofm_eval.errors import GeofmError
from geofm_eval.expected import read_ranges
from geofm_eval.records import read_outcomes, read_record, record_path, unpack
from geofm_eval.records.outcomes import MOST_BYTES

DEEP = 100_000


class Harm:
    """Creates a marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


def hostile(folder: Path) -> dict[str, Verdict]:
    """Read every file; return the verdicts by name."""
    marker = folder / "code_ran"
    found: dict[str, Verdict] = {}
    for name, attempt in _attempts(folder, marker):
        try:
            attempt()
            verdict: Verdict = "right"
        except GeofmError as error:
            verdict = "reported" if len(str(error)) <= 600 + len(str(folder)) else "traceback"
        except Exception:
            verdict = "traceback"
        if marker.exists():
            verdict = "code run"
            marker.unlink()
        found[name] = verdict
    return found


def _attempts(folder: Path, marker: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    yield from _json(folder)
    yield from _arrays(folder, marker)
    yield from _tars(folder)
    yield from _toml(folder, marker)


def _json(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    texts = {
        "deep lists": "[" * DEEP,
        "deep tables": '{"a": ' * DEEP,
        "deep and closed": '{"schema_version": 3, "x": ' + "[" * 5000 + "]" * 5000 + "}",
        "endless number": '{"schema_version": ' + "9" * 6000 + "}",
        "large number": '{"schema_version": ' + "9" * 4000 + "}",
        "key twice": '{"schema_version": 3, "schema_version": 2}',
        "infinity": '{"schema_version": 1e400}',
        "NaN": '{"schema_version": NaN}',
        "no text": "\x00\x01",
        "null": "null",
    }
    for number, (name, text) in enumerate(texts.items()):
        path = folder / f"record{number}.json"
        path.write_text(text, encoding="utf-8")
        yield f"record: {name}", lambda path=path: read_record(path)  # type: ignore[misc]


def _arrays(folder: Path, marker: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    run = world.write_run(folder / "hostile")
    path = record_path(run, "probe", "oak-colours-linear-final")
    record = read_record(path)

    def npz(name: str, content: bytes) -> None:
        with zipfile.ZipFile(path.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, content)

    def harmful() -> None:
        np.savez(path.with_suffix(".npz"), ids=np.array([Harm(marker)], dtype=object))
        read_outcomes(run, record)

    def raw_pickle() -> None:
        path.with_suffix(".npz").write_bytes(pickle.dumps(Harm(marker)))
        read_outcomes(run, record)

    def bomb() -> None:
        with (
            zipfile.ZipFile(path.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
            file.open("ids.npy", "w", force_zip64=True) as member,
        ):
            for _ in range(MOST_BYTES // 2**24 + 1):
                member.write(bytes(2**24))
        read_outcomes(run, record)

    def endless() -> None:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
        npz("ids.npy", header.getvalue())
        read_outcomes(run, record)

    yield "outcomes: object array", harmful
    yield "outcomes: pickle", raw_pickle
    yield "outcomes: endless shape", endless
    yield "outcomes: unpack to more than memory", bomb


def _tars(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    members: dict[str, dict[str, object]] = {
        "300 letters": {"name": "probe/" + "a" * 300 + ".json"},
        "absolute path": {"name": "/etc/passwd"},
        "path out": {"name": "../evil.json"},
        "path out below": {"name": "probe/../../evil.json"},
        "line feed": {"name": "probe/a\nb.json"},
        "symbolic link": {"name": "probe/x.json", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        "hard link": {"name": "probe/x.json", "type": tarfile.LNKTYPE, "linkname": "probe/y.json"},
        "device": {"name": "probe/x.json", "type": tarfile.CHRTYPE},
        "pipe": {"name": "probe/x.json", "type": tarfile.FIFOTYPE},
    }
    for name, fields in members.items():
        path = folder / f"{name.replace(' ', '_')}.tar.xz"
        with tarfile.open(path, "w:xz") as tar:
            info = tarfile.TarInfo(str(fields["name"]))
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info)
        yield f"archive: {name}", lambda path=path: unpack(path)  # type: ignore[misc]
    for name, content in {"no xz": b"hello" * 100, "cut": lzma.compress(bytes(10**6))[:-9]}.items():
        path = folder / f"{name.replace(' ', '_')}.tar.xz"
        path.write_bytes(content)
        yield f"archive: {name}", lambda path=path: unpack(path)  # type: ignore[misc]


def _toml(folder: Path, marker: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n", encoding="utf-8")
    entry = (
        '[models.{slug}]\ntitle = "e"\nfamily = "control"\narchitecture = "{code}"\ndepth = 2\nwidth = 6\n'
        'bands = ["B04", "B03", "B02"]\nproduct = "any"\nnormalisation = {{ high = 2750.0 }}\nrandom_seed = 1\n'
    )
    texts = {
        "deep": "a = " + "[" * DEEP,
        "endless number": "a = " + "9" * 6000,
        "long value": f'[models.mine]\ntitle = "{"a" * 100_000}"\nfamily = "{"b" * 100_000}"\n',
        "code in a file": entry.format(slug="evil_file", code="evil.py:build"),
        "code in a module": entry.format(slug="evil_module", code="os:system"),
    }
    for name, text in texts.items():
        path = folder / f"catalog_{name.replace(' ', '_')}.toml"
        path.write_text(text, encoding="utf-8")
        yield f"catalog: {name}", lambda path=path: load_catalog([path])  # type: ignore[misc]
    path = folder / "deep.toml"
    path.write_text('task = "deep"\nprobe = ' + "[" * DEEP, encoding="utf-8")
    yield "ranges: deep", lambda: read_ranges(path)
