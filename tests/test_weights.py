"""Weight files: found, hashed, read without running code, and loaded without silent gaps."""

import hashlib
import os
import pickle
import subprocess

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from geofm_eval.backbones.weights import load_into, locate, read_state_dict, state_dict_sha256
from geofm_eval.catalog import ModelSpec, WeightsSpec, load_catalog
from geofm_eval.errors import ContractError, Unavailable, WeightsError
from geofm_eval.fetch import path_sha256, published_address
from geofm_eval.store import file_sha256
from tests.http_files import serving


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64))


def entry(weights: WeightsSpec) -> ModelSpec:
    base = load_catalog().model("imagenet_vitb16")
    return base.model_copy(update={"slug": "mine", "weights": weights})


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth"])
def test_every_format_gives_back_the_same_tensors(tmp_path, suffix):
    state, path = network().state_dict(), tmp_path / f"weights.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    found = read_state_dict(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_state_dict_inside_a_training_checkpoint_is_found(tmp_path, wrapper):
    torch.save({"epoch": 3, wrapper: network().state_dict()}, tmp_path / "checkpoint.pth")
    assert read_state_dict(tmp_path / "checkpoint.pth").keys() == network().state_dict().keys()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_file_is_named_with_its_size(tmp_path, suffix, share):
    state, path = network().state_dict(), tmp_path / f"weights.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(WeightsError, match=rf"weights\.{suffix}: cannot be read .*bytes.*truncated.*fetch it again"):
        read_state_dict(path)


class Evil:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [True, False])
def test_pickle_that_wants_to_run_code_is_refused_and_not_run(tmp_path, legacy):
    path, target = tmp_path / "evil.pth", tmp_path / "was_here"
    content = {"weight": Evil(target)}
    path.write_bytes(pickle.dumps(content, protocol=2)) if legacy else torch.save(content, path)
    with pytest.raises(WeightsError, match=r"evil\.pth.*(run or import '\S*mkdir'.*refused|cannot be read)"):
        read_state_dict(path)
    assert not target.exists()


def test_file_without_a_state_dict_says_what_it_holds(tmp_path):
    torch.save({"epoch": 1, "loss": 0.5}, tmp_path / "log.pt")
    with pytest.raises(WeightsError, match=r"a dictionary with the keys \['epoch', 'loss'\], expected a state dict"):
        read_state_dict(tmp_path / "log.pt")


def test_load_fills_every_tensor_and_reports_nothing():
    source, target = network(), nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64))
    assert load_into(target, source.state_dict(), WeightsSpec(file="f"), "f") == ((), ())
    assert state_dict_sha256(target.state_dict()) == state_dict_sha256(source.state_dict())


def test_missing_and_unexpected_keys_are_errors_unless_listed():
    state = network().state_dict()
    state["head.weight"] = state.pop("1.bias")
    with pytest.raises(WeightsError, match=r"1 missing keys \(1\.bias\); 1 unexpected keys \(head\.weight\)"):
        load_into(network(), state, WeightsSpec(file="f"), "f")
    rules = WeightsSpec(file="f", missing=("1.bias",), unexpected=("head.weight",))
    assert load_into(network(), state, rules, "f") == (("1.bias",), ("head.weight",))


def test_prefix_is_stripped_and_dropped_keys_are_not_counted():
    state = {f"encoder.{key}": tensor for key, tensor in network().state_dict().items()}
    state["decoder.weight"] = torch.zeros(2)
    rules = WeightsSpec(file="f", strip_prefix="encoder.", drop=("decoder.",))
    assert load_into(network(), state, rules, "f") == ((), ())


def test_weights_of_another_architecture_name_the_shapes():
    wider = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128))
    with pytest.raises(
        WeightsError, match=r"the weights do not match this architecture.*\(128, 64\), model \(64, 64\)"
    ):
        load_into(network(), wider.state_dict(), WeightsSpec(file="f"), "f")


def test_failed_load_leaves_the_network_as_it_was():
    target = network()
    before = state_dict_sha256(target.state_dict())
    with pytest.raises(WeightsError):
        load_into(target, {"0.weight": torch.ones(64, 64)}, WeightsSpec(file="f"), "f")
    assert state_dict_sha256(target.state_dict()) == before


def test_hash_of_tensors_sees_values_names_and_shapes_but_not_order():
    one = {"a": torch.arange(6.0), "b": torch.zeros(2, dtype=torch.bfloat16)}
    assert state_dict_sha256(one) == state_dict_sha256(dict(reversed(one.items())))
    for other in (
        {**one, "a": torch.arange(6.0).reshape(2, 3)},
        {"c": one["a"], "b": one["b"]},
        {**one, "b": one["b"] + 1},
    ):
        assert state_dict_sha256(other) != state_dict_sha256(one)
    assert len(state_dict_sha256({"scalar": torch.tensor(3)})) == 64


def test_hash_of_a_folder_is_that_of_what_sha256sum_prints(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.bin").write_bytes(b"two")
    (tmp_path / "a.bin").write_bytes(b"one")
    printed = subprocess.run(["sha256sum", "a.bin", "sub/b.bin"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert path_sha256(tmp_path) == hashlib.sha256(printed).hexdigest()
    assert path_sha256(tmp_path, ("sub/b.bin", "a.bin")) == path_sha256(tmp_path)
    assert path_sha256(tmp_path, ("a.bin",)) != path_sha256(tmp_path)
    with pytest.raises(WeightsError, match=r"has no c\.bin; expected a folder with a\.bin and c\.bin"):
        path_sha256(tmp_path, ("a.bin", "c.bin"))


@pytest.mark.parametrize("digits", [64, 8])
def test_weights_are_found_below_the_home_and_hashed(tmp_path, monkeypatch, digits):
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    (tmp_path / "w.pt").write_bytes(b"content")
    found = locate(entry(WeightsSpec(file="w.pt", sha256=file_sha256(tmp_path / "w.pt")[:digits])))
    assert (found.path, found.source) == (tmp_path / "w.pt", "file:w.pt")
    assert found.sha256 == hashlib.sha256(b"content").hexdigest()


def test_weights_with_another_hash_than_the_pinned_one_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    (tmp_path / "w.pt").write_bytes(b"content")
    with pytest.raises(WeightsError, match=f"expected {'0' * 64} for mine.*--weights mine="):
        locate(entry(WeightsSpec(file="w.pt", sha256="0" * 64)))


def test_users_own_file_replaces_the_entrys_and_its_pinned_hash(tmp_path):
    (tmp_path / "new.pt").write_bytes(b"content")
    pinned = entry(WeightsSpec(file="w.pt", sha256="0" * 64))
    assert locate(pinned, tmp_path / "new.pt").source == "file:new.pt"
    with pytest.raises(Unavailable, match=r"other\.pt does not exist.*path given for mine"):
        locate(pinned, tmp_path / "other.pt")


@pytest.mark.parametrize("home", [True, False])
def test_absent_weights_say_where_they_are_published(tmp_path, monkeypatch, home):
    if home:
        monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match=r"weights unavailable.*https://example\.org/w\.pt.*GEOFM_ALLOW_DOWNLOAD=1"):
        locate(entry(WeightsSpec(file="w.pt", url="https://example.org/w.pt")))


def test_allowed_download_is_kept_in_the_cache_and_used_again(monkeypatch):
    monkeypatch.setenv("GEOFM_ALLOW_DOWNLOAD", "1")
    with serving({"/published.pt": b"content"}) as server:
        address = f"{server.url}/published.pt"
        weights = WeightsSpec(file="weights/w.pt", url=address, sha256=hashlib.sha256(b"content").hexdigest())
        first = locate(entry(weights))
    assert (first.source, first.path.read_bytes()) == (f"url:{address}", b"content")
    monkeypatch.delenv("GEOFM_ALLOW_DOWNLOAD")
    assert locate(entry(weights)) == first


def test_allowed_download_that_cannot_be_reached_is_unavailable_not_a_failure(monkeypatch):
    monkeypatch.setenv("GEOFM_ALLOW_DOWNLOAD", "1")
    with serving({}) as server, pytest.raises(Unavailable, match=r"nowhere\.pt \(the server responded 404"):
        locate(entry(WeightsSpec(file="weights/w.pt", url=f"{server.url}/nowhere.pt")))


def test_catalog_names_the_files_that_torchgeo_publishes():
    pytest.importorskip("torchgeo.models")
    for spec in load_catalog().models.values():
        if spec.weights is None or spec.weights.enum is None:
            continue
        address = published_address(WeightsSpec(file="f", enum=spec.weights.enum))
        assert address.rsplit("/", 1)[-1] == spec.weights.file.rsplit("/", 1)[-1]
        assert spec.weights.url in (None, address)


def test_unknown_enum_is_named():
    pytest.importorskip("torchgeo.models")
    with pytest.raises(ContractError, match=r"no weights 'ViTSmall16_Weights\.NOTHING'"):
        published_address(WeightsSpec(file="f", enum="ViTSmall16_Weights.NOTHING"))
