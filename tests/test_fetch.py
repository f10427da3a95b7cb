"""Weights that come into the home whole and checked, and instructions for what cannot be downloaded."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from geofm_eval.catalog import ModelSpec, WeightsSpec, load_catalog
from geofm_eval.errors import ContractError, Unavailable, WeightsError
from geofm_eval.fetch import fetch_model, fetch_weights, look_up, plan_model
from geofm_eval.fetch.transfer import CHUNK
from geofm_eval.gaps import how_to_get_weights
from tests.http_files import CONTENT, FileServer, serving

PART = 16 * CHUNK
"""Where connections break: less than the content, and a whole number of chunks."""

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving({"/w.pt": CONTENT, "/folder/config.json": b"{}", "/folder/encoder.pt": CONTENT}) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def entry(server: FileServer, path: str = "/w.pt", **fields) -> ModelSpec:
    base = load_catalog().model("imagenet_vitb16")
    weights = WeightsSpec(**{"file": "weights/w.pt", "url": server.url + path, **fields})
    return base.model_copy(update={"slug": "mine", "weights": weights, "source": "https://example.org/mine"})


def folder_entry(server: FileServer, **fields) -> ModelSpec:
    return entry(server, "/folder/", **{"file": "weights/mine", "parts": ("config.json", "encoder.pt"), **fields})


def visible(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file())


def test_file_is_fetched_into_the_home_and_not_fetched_again(server, home):
    lines = fetch_model(entry(server, sha256=SHA256))
    assert (home / "weights" / "w.pt").read_bytes() == CONTENT
    assert visible(home) == ["weights/w.pt"]
    assert "fetched, 3.1 MB" in lines[0]
    assert f"sha256 {SHA256} (as pinned)" in lines[0]
    assert "Apache-2.0" in lines[1]
    assert " exists, " in fetch_model(entry(server, sha256=SHA256))[0]
    assert server.asked == [("GET", "/w.pt", None)]


def test_hash_that_is_not_pinned_is_printed(server, home):
    line = fetch_model(entry(server))[0]
    assert f"sha256 {SHA256} (not pinned in the catalog; compare it with https://example.org/mine)" in line


def test_interrupted_download_stays_and_the_next_one_finishes_it(server, home):
    server.breaks_after = PART + 100
    with pytest.raises(Unavailable, match=r"/w\.pt \(.*run the same command again; the received part is kept"):
        fetch_model(entry(server, sha256=SHA256))
    assert (home / "weights" / "w.pt.part").read_bytes() == CONTENT[:PART]
    assert not (home / "weights" / "w.pt").exists()
    server.breaks_after = None
    fetch_model(entry(server, sha256=SHA256))
    assert (home / "weights" / "w.pt").read_bytes() == CONTENT
    assert server.asked == [("GET", "/w.pt", None), ("GET", "/w.pt", f"bytes={PART}-")]
    assert visible(home) == ["weights/w.pt"]


@pytest.mark.parametrize("digits", [8, 64])
def test_wrong_hash_names_both_and_installs_nothing(server, home, digits):
    with pytest.raises(WeightsError, match=f"sha256 is {SHA256}, expected {'0' * digits} for mine"):
        fetch_model(entry(server, sha256="0" * digits))
    assert not (home / "weights" / "w.pt").exists()
    assert not (home / "weights" / "w.pt.part").exists()


def test_size_stands_in_for_a_hash_that_is_not_known(server, home):
    with pytest.raises(WeightsError, match="has 3,072,000 bytes, expected 3,072,001 for mine"):
        fetch_model(entry(server, bytes=len(CONTENT) + 1))
    assert visible(home) == []
    assert "fetched" in fetch_model(entry(server, bytes=len(CONTENT)))[0]


def test_wrong_file_in_the_home_is_left_alone_and_named(server, home):
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "w.pt").write_bytes(b"mine")
    with pytest.raises(WeightsError, match=rf"w\.pt: sha256 is \w+, expected {SHA256}.*move it away"):
        fetch_model(entry(server, sha256=SHA256))
    assert (home / "weights" / "w.pt").read_bytes() == b"mine"
    assert server.asked == []


def test_folder_appears_whole(server, home):
    lines = "".join(
        f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in (("config.json", b"{}"), ("encoder.pt", CONTENT))
    )
    model = folder_entry(server, sha256=hashlib.sha256(lines.encode()).hexdigest(), bytes=len(CONTENT) + 2)
    server.breaks_after = PART
    with pytest.raises(Unavailable, match=rf"Or put it at {home}/weights/mine yourself"):
        fetch_model(model)
    assert not (home / "weights" / "mine").exists()
    server.breaks_after = None
    fetch_model(model)
    assert visible(home) == ["weights/mine/config.json", "weights/mine/encoder.pt"]
    assert [(path, wanted) for _, path, wanted in server.asked] == [
        ("/folder/config.json", None),
        ("/folder/encoder.pt", None),
        ("/folder/encoder.pt", f"bytes={PART}-"),
    ]
    assert "exists, 3.1 MB" in fetch_model(model)[0]


def test_folder_with_a_wrong_hash_is_not_installed(server, home):
    with pytest.raises(WeightsError, match=f"expected {'0' * 64} for mine"):
        fetch_model(folder_entry(server, sha256="0" * 64))
    assert visible(home) == []


def test_path_that_leaves_the_home_is_refused(server, home):
    for verb in (fetch_model, plan_model):
        with pytest.raises(ContractError, match=rf"'/tmp/w.pt' leads out of {home} \(to .*w\.pt\).*nothing is fetched"):
            verb(entry(server, file="/tmp/w.pt"))
    assert server.asked == []


@pytest.mark.parametrize("file", ["../w.pt", "weights/../../w.pt"])
def test_no_entry_has_a_path_that_climbs(server, home, file):
    with pytest.raises(ValueError, match=rf"'{file}' leaves its folder by '\.\.'"):
        entry(server, file=file)


def test_link_is_read_through_but_never_written_through(server, home, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    home.mkdir()
    (home / "weights").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ContractError, match=rf"leads out of {home} \(to {tmp_path}/elsewhere/w\.pt\)"):
        fetch_model(entry(server))
    (tmp_path / "elsewhere" / "w.pt").write_bytes(CONTENT)
    assert " exists, " in fetch_model(entry(server, sha256=SHA256))[0]
    assert server.asked == []


@pytest.mark.parametrize("part", ["../encoder.pt", "a/b.pt", "/encoder.pt", ".hidden", ""])
def test_part_of_a_folder_is_a_plain_name(part):
    with pytest.raises(ValueError, match="parts"):
        WeightsSpec(file="weights/f", url="https://example.org/f/", parts=(part,))


@pytest.mark.parametrize("fields", [{"url": "https://example.org/f/"}, {"url": "https://e.org/w.pt", "parts": ("a",)}])
def test_folder_needs_parts_and_a_slash(fields):
    with pytest.raises(ValueError, match="a folder needs both"):
        WeightsSpec(file="weights/f", **fields)


def test_address_must_be_one_of_the_web():
    with pytest.raises(ValueError, match="must begin with https://"):
        WeightsSpec(file="weights/f", url="file:///etc/passwd")


def test_dry_run_says_sizes_and_downloads_nothing(server, home):
    assert plan_model(entry(server))[0] == f"mine: would fetch 3.1 MB to {home}/weights/w.pt"
    assert server.asked == [("HEAD", "/w.pt", None)]
    assert "would fetch 3.1 MB" in plan_model(folder_entry(server))[0]
    asked = len(server.asked)
    assert "would fetch 5.0 MB" in plan_model(entry(server, bytes=5_000_000))[0]
    assert len(server.asked) == asked
    server.status = 500
    assert "size unknown" in plan_model(entry(server))[0]
    assert not home.exists()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"the server responded 404 Not Found\)\. The file has moved: look for its new address"),
        (403, r"the server responded 403 Forbidden\)\. The publisher requires an account or an accepted licence"),
        (503, r"the server responded 503 Service Unavailable\)\. Try again later"),
    ],
)
def test_refusal_of_the_server_says_what_to_do(server, home, status, message):
    server.status = status
    with pytest.raises(Unavailable, match=rf"{server.url}/w\.pt \({message}.*Or put it at {home}/weights/w\.pt"):
        fetch_model(entry(server))
    assert visible(home) == []


def test_two_who_want_the_same_file_fetch_it_once(server, home):
    model, path = entry(server, sha256=SHA256), home / "weights" / "w.pt"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: fetch_weights(model, path), range(2)))
    assert [method for method, _, _ in server.asked] == ["GET"]
    assert path.read_bytes() == CONTENT


def test_home_must_be_named(server):
    with pytest.raises(Unavailable, match=r"GEOFM_HOME is not set\. Set it to the folder .*export GEOFM_HOME="):
        fetch_model(entry(server))


def test_size_and_licence_are_told_before_a_home_is_chosen(server):
    first, *_ = plan_model(entry(server, bytes=5_000_000))
    assert first == "mine: would fetch 5.0 MB to GEOFM_HOME/weights/w.pt (GEOFM_HOME is not set)"


def test_weights_without_a_public_address_come_with_instructions(server, home):
    model = entry(server, url=None, how_to_get="Ask the authors for w.pt and put it at GEOFM_HOME/weights/w.pt.")
    for verb in (fetch_model, plan_model):
        assert verb(model)[0] == f"mine: the weights have no public address. {model.weights.how_to_get}"
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "w.pt").write_bytes(CONTENT)
    assert " exists, " in fetch_model(model)[0]


def test_twins_and_controls_need_nothing(home):
    catalog = load_catalog()
    assert fetch_model(catalog.model("mae_vits16_random")) == [
        "mae_vits16_random: is randomly initialised, nothing to fetch"
    ]
    assert plan_model(catalog.model("band_stats")) == ["band_stats: has no weights, nothing to fetch"]


def test_unknown_name_gives_the_nearest_models_and_tasks():
    catalog = load_catalog()
    assert look_up(catalog, "galileo_nano") is catalog.models["galileo_nano"]
    assert look_up(catalog, "eurosat_sim") is catalog.tasks["eurosat_sim"]
    with pytest.raises(ContractError, match="'galileo_nono' is neither a model nor a task; did you mean galileo_nano"):
        look_up(catalog, "galileo_nono")
    with pytest.raises(ContractError, match="did you mean eurosat_sim"):
        look_up(catalog, "eurosat_sin")
    with pytest.raises(ContractError, match="list them with 'geofm-eval models'"):
        look_up(catalog, "qqqq")


def test_instructions_name_the_command_and_the_files(server):
    assert how_to_get_weights(folder_entry(server)) == (
        f"Run: geofm-eval fetch mine; or put config.json and encoder.pt published at {server.url}/folder/ into "
        "GEOFM_HOME/weights/mine."
    )


def test_instructions_without_an_address_keep_the_case_of_names(server):
    text = how_to_get_weights(entry(server, url=None, file="weights/W.PT"))
    assert text == "Put the file published at https://example.org/mine at GEOFM_HOME/weights/W.PT."


def test_published_weights_of_the_catalog_are_pinned_to_a_revision():
    loose = {
        slug: spec.weights.url
        for slug, spec in load_catalog().models.items()
        if spec.weights is not None and "/resolve/main/" in (spec.weights.url or "")
    }
    assert set(loose) <= {"dinov3_sat_vitl16"}


def test_nano_of_the_catalog_has_the_size_and_hash_of_the_real_folder(real_home, monkeypatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    nano = load_catalog().model("galileo_nano")
    assert "sha256 078174be" in fetch_model(nano)[0]
    assert nano.weights.bytes == sum(
        (real_home / "weights/galileo_nano" / n).stat().st_size for n in nano.weights.parts
    )
