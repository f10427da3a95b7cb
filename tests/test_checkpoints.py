"""Checkpoints as people keep them: known by content, with several state dicts, under prefixes, in odd dtypes."""

import argparse
import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from geofm_eval.backbones.checkpoints import read_state_dict
from geofm_eval.backbones.weights import load_into, locate
from geofm_eval.catalog import WeightsSpec, load_catalog
from geofm_eval.errors import WeightsError
from geofm_eval.store import file_sha256

State = dict[str, Tensor]
PLAIN = WeightsSpec(file="f")


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))


def filled(value: float) -> State:
    return {name: torch.full_like(tensor, value) for name, tensor in network().state_dict().items()}


def first(state: State) -> float:
    return float(next(iter(state.values())).flatten()[0])


def renamed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def loaded(state: State, **rules: object) -> State:
    target = network()
    load_into(target, state, PLAIN.model_copy(update=rules), "w.pth")
    return target.state_dict()


def sharded(folder: Path, state: State) -> Path:
    names = list(state)
    parts = {"model-00001-of-00002.safetensors": names[:2], "model-00002-of-00002.safetensors": names[2:]}
    for file, own in parts.items():
        save_file({name: state[name] for name in own}, folder / file)
    listed = {name: file for file, own in parts.items() for name in own}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": listed}), encoding="utf-8")
    return index


@pytest.mark.parametrize("kind", ["safetensors", "torch", "legacy"])
@pytest.mark.parametrize("name", ["0a1b2c3d", "w.bin", "w.SAFETENSORS", "w.ckpt", "w.safetensors", "w.pth", "w.pt.tar"])
def test_a_file_is_read_as_what_it_is_whatever_its_name(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    if kind == "safetensors":
        save_file(filled(3), path)
    else:
        torch.save(filled(3), path, _use_new_zipfile_serialization=kind == "torch")
    assert first(read_state_dict(path)) == 3


def test_a_link_of_the_hugging_face_cache_is_read_and_its_shards_lie_beside_the_link(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for file in sharded(tmp_path, filled(2)).parent.glob("model*"):
        blob = blobs / hashlib.sha256(file.name.encode()).hexdigest()
        file.rename(blob)
        (snapshot / file.name).symlink_to(blob)
    assert first(read_state_dict(snapshot)) == 2
    assert read_state_dict(snapshot / "model.safetensors.index.json").keys() == filled(2).keys()
    shard = snapshot / "model-00001-of-00002.safetensors"
    assert len(read_state_dict(shard)) == len(read_state_dict(shard.resolve())) == 2


def test_a_folder_of_sharded_torch_files_is_read_by_its_index(tmp_path: Path) -> None:
    state, names = filled(2), {}
    for number, key in enumerate(state):
        names[key] = f"pytorch_model-{number}.bin"
        torch.save({key: state[key]}, tmp_path / names[key])
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}), encoding="utf-8")
    assert read_state_dict(tmp_path).keys() == state.keys()


def test_the_hash_of_an_index_covers_its_shards(tmp_path: Path) -> None:
    index = sharded(tmp_path, filled(2))
    entry = load_catalog().model("imagenet_vitb16").model_copy(update={"slug": "mine", "weights": PLAIN})
    before = locate(entry, index).sha256
    save_file(dict(list(filled(4).items())[:2]), tmp_path / "model-00001-of-00002.safetensors")
    assert before != locate(entry, index).sha256 != file_sha256(index)


def test_shards_that_are_missing_or_lie_elsewhere_are_named(tmp_path: Path) -> None:
    index = sharded(tmp_path, filled(2))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"lists model-00002-of-00002\.safetensors, which is not in its folder"):
        read_state_dict(index)
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"lists '\.\./\.\./etc/passwd', expected names of files in the same folder"):
        read_state_dict(index)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(filled(2), "model-00001-of-00002.safetensors")}))
    with pytest.raises(WeightsError, match=r"lists 2 tensors \(1\.bias\) of no shard"):
        read_state_dict(index)


def test_a_folder_without_one_clear_weight_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected one weight file or one index of shards in the folder, found none"):
        read_state_dict(tmp_path)
    for name in ("a.pth", "b.pth"):
        torch.save(filled(1), tmp_path / name)
    with pytest.raises(WeightsError, match=r"found a\.pth, b\.pth; name the file"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x93NUMPY", r"cannot be read \(6 bytes"),
        (b"", r"cannot be read \(0 bytes"),
        (b'{"weight_map": 3}', "cannot be read"),
    ],
)
def test_what_is_no_checkpoint_is_said_and_nobody_is_told_to_run_code(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=said) as error:
        read_state_dict(tmp_path / "w.safetensors")
    assert "weights_only" not in str(error.value)


def test_a_zip_around_a_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(filled(1), tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.write(tmp_path / "w.pth", "w.pth")
    with pytest.raises(WeightsError, match=r"a zip archive of w\.pth, not a checkpoint; unpack it"):
        read_state_dict(tmp_path / "w.zip")


def test_one_flipped_bit_in_the_tensors_of_a_torch_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.arange(4096.0)}, path)
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 4, 3 * len(data) // 4, 97):
        data[place] ^= 4
        path.write_bytes(data)
        with pytest.raises(WeightsError, match="cannot be read"):
            read_state_dict(path)
        data[place] ^= 4


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ({"state_dict": filled(1), "state_dict_ema": filled(2)}, ("state_dict", "state_dict_ema")),
        ({"epoch": 1, "model": filled(1), "model_ema": filled(2)}, ("model", "model_ema")),
        ({"student": filled(1), "teacher": filled(2), "optimizer": {"state": {}}}, ("student", "teacher")),
        ({"state_dict": filled(1), "callbacks": {"EMA": {"ema": filled(2)}}}, ("state_dict", "callbacks.EMA.ema")),
    ],
    ids=["timm", "mae", "dino", "lightning"],
)
def test_a_file_with_several_state_dicts_is_refused_until_one_is_named(
    tmp_path: Path, content: dict[str, object], keys: tuple[str, str]
) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"{keys[0]}: 4 tensors, {keys[1]}: 4 tensors.*key = '{keys[0]}'") as error:
        read_state_dict(tmp_path / "w.pth")
    assert len(str(error.value).replace(str(tmp_path), "")) <= 400
    assert [first(read_state_dict(tmp_path / "w.pth", key)) for key in keys] == [1, 2]
    with pytest.raises(WeightsError, match=f"no state dict 'averaged', found {keys[0]}"):
        read_state_dict(tmp_path / "w.pth", "averaged")


def test_one_state_dict_beside_counters_and_optimisers_is_found_under_any_name(tmp_path: Path) -> None:
    optimiser = {"state": {0: {"exp_avg": torch.ones(8, 8)}}, "param_groups": [{"lr": 0.1}]}
    scores = {"best_k_models": {"last.ckpt": torch.tensor(0.5)}}
    torch.save({"backbone": filled(5), "optimizer": optimiser, "callbacks": scores, "epoch": 3}, tmp_path / "w.pth")
    assert first(read_state_dict(tmp_path / "w.pth")) == 5


def test_a_flat_file_of_two_networks_gives_the_one_that_is_named(tmp_path: Path) -> None:
    save_file({**filled(1), **renamed(filled(2), "ema.")}, tmp_path / "w.safetensors")
    assert first(loaded(read_state_dict(tmp_path / "w.safetensors", "ema"))) == 2
    with pytest.raises(WeightsError, match=r"with and without the prefix 'ema\.'.*weights\.key = 'ema'"):
        loaded(read_state_dict(tmp_path / "w.safetensors"), strip_prefix="ema.")
    with pytest.raises(WeightsError, match=r"no tensor name begins with 'teacher\.', found 0, 1, ema"):
        read_state_dict(tmp_path / "w.safetensors", "teacher")


@pytest.mark.parametrize(
    ("prefix", "own", "said"),
    [
        ("module.", "", "strip_prefix = 'module.'"),
        ("_orig_mod.module.", "", "strip_prefix = '_orig_mod.module.'"),
        ("", "model.", "add_prefix = 'model.'"),
        ("encoder.", "model.", "strip_prefix = 'encoder.' and add_prefix = 'model.'"),
    ],
)
def test_the_message_names_the_prefixes_that_would_fit_and_they_do(prefix: str, own: str, said: str) -> None:
    target = nn.ModuleDict({"model": network()}) if own else network()
    state = {**renamed(filled(3), prefix), "head.weight": torch.ones(2, 8)}
    with pytest.raises(WeightsError, match=f"4 of 4 fit with {said} under the entry's weights") as error:
        load_into(target, state, PLAIN, "w.pth")
    assert len(str(error.value)) <= 400
    rules = PLAIN.model_copy(update={"strip_prefix": prefix, "add_prefix": own, "drop": ("head.",)})
    assert load_into(target, state, rules, "w.pth") == ((), ())
    assert first(target.state_dict()) == 3


def test_no_prefix_is_advised_where_none_fits() -> None:
    with pytest.raises(WeightsError, match="Choose the entry of this file"):
        loaded({f"stages.{i}.conv": torch.ones(3, 3) for i in range(4)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_dtype_is_loaded(dtype: torch.dtype) -> None:
    assert first(loaded({name: tensor.to(dtype) for name, tensor in filled(1.5).items()})) == 1.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: (t * 100).to(torch.int8), "4 tensors of an unsuitable dtype .*int8 for torch.float32"),
        (lambda t: t.to(torch.complex64), "complex64 for torch.float32"),
        (
            lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
            "qint8 for torch.float32.*dequantise quantised weights first",
        ),
        (lambda t: t * float("nan"), r"4 tensors with values that are not finite \(0\.bias"),
        (lambda t: t / 0, "not finite"),
    ],
    ids=["int8", "complex", "quantised", "nan", "infinite"],
)
def test_numbers_that_are_no_weights_are_refused_and_load_nothing(change, said) -> None:
    target = network()
    before = first(target.state_dict())
    with pytest.raises(WeightsError, match=said):
        load_into(target, {name: change(tensor) for name, tensor in filled(1).items()}, PLAIN, "w.pth")
    assert first(target.state_dict()) == before


def test_integer_buffers_and_infinite_masks_are_loaded() -> None:
    target = nn.BatchNorm1d(3)
    target.register_buffer("mask", torch.zeros(3))
    state = {**target.state_dict(), "num_batches_tracked": torch.tensor(7), "mask": torch.full((3,), -torch.inf)}
    assert load_into(target, state, PLAIN, "w.pth") == ((), ())
    assert int(target.num_batches_tracked or 0) == 7


def test_pickled_objects_beside_the_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": filled(1), "hyper_parameters": argparse.Namespace(lr=1)}, tmp_path / "last.ckpt")
    with pytest.raises(WeightsError, match=r"tries to run or import 'argparse\.Namespace'"):
        read_state_dict(tmp_path / "last.ckpt")
