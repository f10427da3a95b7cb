"""Archives are verified whole before use; what no archive of a run holds is refused."""

import hashlib
import io
import json
import lzma
import random
import tarfile
from pathlib import Path

import pytest

from geofm_eval.errors import DataError
from geofm_eval.records import archive as archives
from geofm_eval.records import pack, read_records, unpack
from geofm_eval.seals import sealed
from tests.synthetic_run import MODELS, make_record, write_record

MODEL = next(model for model in MODELS if model.slug == "galileo_nano")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    for tap in ("block00", "block01", "final"):
        record, outcomes = make_record(MODEL, "eurosat_sim", "linear", tap)
        write_record(record, outcomes, tmp_path / "run")
    path = tmp_path / "small.tar.xz"
    pack(tmp_path / "run", path, {record.case.id})
    return path


def contents(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def written(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(buffer.getvalue())
    return path


def member(name: str, content: bytes = b"{}", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def test_no_changed_bit_and_no_cut_gives_other_records(packed: Path):
    whole, raw, rng, refused = contents(unpack(packed)), packed.read_bytes(), random.Random(0), 0
    for number in range(60):
        damaged = bytearray(raw)
        if number % 3 == 2:
            del damaged[rng.randrange(len(raw)) :]
        else:
            damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        packed.write_bytes(damaged)
        try:
            assert contents(unpack(packed)) == whole
        except DataError:
            refused += 1
    assert refused == 60


def test_the_list_of_members_comes_first_and_holds_their_hashes(packed: Path):
    with tarfile.open(packed) as tar:
        names = tar.getnames()
        listed = json.loads(tar.extractfile("members.json").read())["members"]
        own = {name: hashlib.sha256(tar.extractfile(name).read()).hexdigest() for name in names[1:]}
    assert names[0] == "members.json"
    assert listed == own


def test_a_member_that_its_list_lacks_or_has_otherwise_is_refused(tmp_path: Path):
    listed = json.dumps(sealed({"members": {"probe/x.json": hashlib.sha256(b"{}").hexdigest()}})).encode()
    for members in ([member("probe/x.json", b"[]")], [], [member("probe/x.json"), member("probe/y.json")]):
        path = written(tmp_path / "a.tar.xz", [member("members.json", listed), *members])
        with pytest.raises(DataError, match="differ from its list"):
            unpack(path)


def test_an_archive_of_an_older_version_has_no_list_and_is_read(tmp_path: Path):
    folder = unpack(written(tmp_path / "old.tar.xz", [member("probe/x.json", b"{}")]))
    assert contents(folder).keys() == {"probe/x.json"}


HOSTILE = {
    "a long name": [member("probe/" + "a" * 300 + ".json")],
    "an absolute path": [member("/etc/passwd")],
    "a path out of the folder": [member("../evil.json")],
    "a path out of a folder below": [member("probe/../../evil.json")],
    "a deep path": [member("a/b/c/d.json")],
    "a line feed": [member("probe/a\nb.json")],
    "a symbolic link": [member("probe/x.json", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "a hard link": [member("probe/x.json", b"", type=tarfile.LNKTYPE, linkname="probe/y.json")],
    "a device": [member("probe/x.json", b"", type=tarfile.CHRTYPE)],
    "a pipe": [member("probe/x.json", b"", type=tarfile.FIFOTYPE)],
    "a name twice": [member("probe/x.json"), member("probe/x.json", b"[]")],
    "no member": [],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_run_holds_is_refused_and_nothing_is_left(tmp_path: Path, name: str):
    path = written(tmp_path / "hostile.tar.xz", HOSTILE[name])
    with pytest.raises(DataError, match=r"hostile\.tar\.xz: not a complete archive of a run") as caught:
        unpack(path)
    assert len(str(caught.value).replace(str(path), "")) <= 400
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert not (tmp_path / "evil.json").exists()


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 10**6)
    (tmp_path / "bomb.tar.xz").write_bytes(lzma.compress(bytes(10**7)))
    with pytest.raises(DataError, match="more than 1000000 bytes"):
        unpack(tmp_path / "bomb.tar.xz")


def test_bytes_after_the_end_are_refused(packed: Path):
    packed.write_bytes(packed.read_bytes() + b"more")
    with pytest.raises(DataError, match="there are bytes after its end"):
        unpack(packed)


@pytest.mark.parametrize("harm", ["edited", "deleted", "added"])
def test_a_folder_that_is_not_as_it_was_unpacked_is_unpacked_again(packed: Path, harm: str):
    folder = unpack(packed)
    before = contents(folder)
    path = next(folder.glob("probe/*.json"))
    if harm == "edited":
        path.write_text(path.read_text(encoding="utf-8").replace("accuracy", "accurate"), encoding="utf-8")
    elif harm == "deleted":
        path.unlink()
    else:
        path.with_name("other.json").write_text("{}", encoding="utf-8")
    assert contents(unpack(packed)) == before


def test_tables_beside_the_records_do_not_count(packed: Path):
    folder = unpack(packed)
    (folder / "tables").mkdir()
    (folder / "tables" / "x.json").write_text("{}", encoding="utf-8")
    assert (unpack(packed) / "tables" / "x.json").exists()
    assert len(read_records(folder)[0]) == 3
