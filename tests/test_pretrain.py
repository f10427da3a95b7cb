"""Pretraining of pocket backbones: scenes that no task uses, objectives that learn, trainings that survive anything."""

import inspect
import re

import numpy as np
import pytest
import torch

from benchmarks.studies.pretrain import stream as streams
from benchmarks.studies.pretrain.objectives import OBJECTIVES
from benchmarks.studies.pretrain.publish import Card, effective_rank, measured_rank, write_card
from benchmarks.studies.pretrain.stream import Stream, simulate_shard
from benchmarks.studies.pretrain.training import THIRD, Plan, learning_rate, load_sealed, normaliser, train
from benchmarks.studies.pretrain.views import random_view
from geofm_eval.catalog import load_catalog
from geofm_eval.errors import WeightsError
from geofm_eval.simulation.scene import SAVANNA, TEMPERATE, Palette, simulate_blocks
from geofm_eval.simulation.scene.landscape import simulate_scene
from geofm_eval.simulation.scene.palette import extended

CATALOG = load_catalog()
NORMALISE = normaliser(CATALOG.model("pocket_mae"), CATALOG.model("pocket_crossmodal_s1"))
PLACES = 32


@pytest.fixture(scope="module")
def small_stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return Stream(tmp_path_factory.mktemp("stream"), shards=1, places=PLACES)


def plan(name: str, steps: int = 12, **fields) -> Plan:
    return Plan(name, 0, steps, batch=4, shards=1, **fields)


def last(plan_, stream, folder, **options):
    *_, trained = train(plan_, stream, NORMALISE, folder, **options)
    return trained


def test_spectra_and_textures_of_pretraining_are_those_of_no_task():
    assert streams.PALETTE is SAVANNA
    ours, theirs = extended(SAVANNA), extended(TEMPERATE)
    relative = np.abs(ours.spectra[:, None] / theirs.spectra[None] - 1).mean(-1)
    assert relative.min() > 0.05
    assert not np.array_equal(ours.fine, theirs.fine)
    assert not np.array_equal(ours.coarse, theirs.coarse)


def test_no_task_draws_a_scene_that_pretraining_draws(monkeypatch, repository):
    """Pretraining names another palette and another seed; the stand-ins name neither and get the defaults."""
    drawn = []

    def spying(function):
        def call(*args, **named):
            drawn.append((named.get("seed"), next(v for v in (*args, *named.values()) if isinstance(v, Palette)).name))
            return function(*args, **named)

        return call

    monkeypatch.setattr(streams, "simulate_scene", spying(streams.simulate_scene))
    monkeypatch.setattr(streams, "render", spying(streams.render))
    simulate_shard(0, 40)
    assert set(drawn) == {(streams.SEED, "savanna"), (None, "savanna")}
    for function in (simulate_scene, simulate_blocks):
        defaults = {name: part.default for name, part in inspect.signature(function).parameters.items()}
        assert defaults["palette"] is TEMPERATE
        assert defaults["seed"] == 0 != streams.SEED
    for path in (repository / "geofm_eval" / "data" / "standins").glob("*.py"):
        assert not re.search(r"palette|SAVANNA|seed=", path.read_text(encoding="utf-8")), path


def test_shards_are_the_same_every_time_and_differ_from_each_other(small_stream):
    first, again, other = simulate_shard(0, 8), simulate_shard(0, 8), simulate_shard(1, 8)
    np.testing.assert_array_equal(first.optical, again.optical)
    np.testing.assert_array_equal(first.radar, again.radar)
    assert first.optical.shape == (12, 13, 64, 64)
    assert first.landscapes == 4
    assert not np.array_equal(first.optical[0], other.optical[0])
    assert not np.array_equal(first.optical[0], first.optical[8])
    kept = small_stream.shard(0)
    np.testing.assert_array_equal(kept.built, Stream(small_stream.folder.parent, 1, PLACES).shard(0).built)


def test_pockets_are_normalised_by_the_pixels_of_their_scenes():
    shard = simulate_shard(0, 128)
    for slug, sensor in (("pocket_mae", shard.optical), ("pocket_crossmodal_s1", shard.radar)):
        pixels = sensor.astype(np.float64)
        mean, deviation = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
        stated = CATALOG.model(slug).normalisation
        assert np.abs((mean - stated.mean) / deviation).max() < 0.25
        assert np.abs(np.log(deviation / stated.std)).max() < 0.35


def test_views_keep_shape_and_differ_and_whole_ones_keep_every_pixel():
    pixels = torch.rand(4, 13, 64, 64) * 3000 + 500
    torch.manual_seed(0)
    first, second = (random_view(pixels, NORMALISE, 32, (0.2, 0.5)) for _ in range(2))
    assert first.shape == (4, 13, 32, 32)
    assert bool(torch.isfinite(first).all())
    assert float((first - second).abs().mean()) > 0.1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_learns_and_leaves_a_gradient_in_every_part_of_the_backbone(name, small_stream):
    torch.manual_seed(0)
    objective = OBJECTIVES[name](NORMALISE)
    batch = small_stream.batch(np.random.default_rng(0), 0, 16, landscapes=objective.landscapes)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for step in range(16):
        torch.manual_seed(step % 2)
        loss = objective.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    gradients = {key: p.grad for key, p in objective.backbone.named_parameters()}
    assert all(grad is not None and bool(grad.abs().sum() > 0) for grad in gradients.values())
    if name in ("pocket_contrast", "pocket_distill"):  # They chase their own slow copy: their loss may rise at first.
        pairs = list(zip(objective.backbone.parameters(), objective.slow.parameters(), strict=True))
        before = sum(float((fast.detach() - slow).abs().sum()) for fast, slow in pairs)
        for _ in range(50):
            objective.after_step(0.0)
        after = sum(float((fast.detach() - slow).abs().sum()) for fast, slow in pairs)
        assert after < 0.7 * before
    else:
        assert np.mean(losses[-4:]) < np.mean(losses[:4])
    published = objective.published()
    assert ("patch_embed_s1.proj.weight" in published) == (name == "pocket_crossmodal")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pocket_contrast", "pocket_distill", "pocket_crossmodal"])
def test_a_training_in_pieces_equals_an_uninterrupted_one_bit_for_bit(name, small_stream, tmp_path):
    whole = last(plan(name), small_stream, tmp_path / "whole")
    for stop in (3, 7, None):
        pieces = last(plan(name), small_stream, tmp_path / "pieces", stop_after=stop)
    assert pieces.losses == whole.losses
    assert pieces.steps == whole.steps == 12
    resumed = dict(pieces.objective.named_parameters())
    for key, tensor in whole.objective.named_parameters():
        assert torch.equal(tensor, resumed[key]), key


def test_training_leaves_the_global_generator_alone_and_keeps_the_weights_of_a_third(small_stream, tmp_path):
    before = torch.random.get_rng_state()
    trained = last(plan("pocket_mae"), small_stream, tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())
    third = load_sealed(tmp_path / THIRD)
    stopped = last(plan("pocket_mae"), small_stream, tmp_path / "other", stop_after=4)
    for key, tensor in stopped.objective.published().items():
        assert torch.equal(third[key], tensor), key
    assert not torch.equal(third["cls_token"], trained.objective.published()["cls_token"])


def test_a_damaged_checkpoint_costs_minutes_and_two_are_told(small_stream, tmp_path, caplog):
    whole = last(plan("pocket_mae"), small_stream, tmp_path / "whole")
    for stop in (3, 6):
        last(plan("pocket_mae"), small_stream, tmp_path, stop_after=stop)
    first, second = sorted(tmp_path.glob("step*.pt"))
    second.write_bytes(second.read_bytes()[:5000])
    resumed = last(plan("pocket_mae"), small_stream, tmp_path)
    assert "step000006.pt is damaged and skipped" in caplog.text
    assert resumed.losses == whole.losses
    for path in tmp_path.glob("step*.pt"):
        path.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"no checkpoint can be read .*delete them to start from the beginning"):
        last(plan("pocket_mae"), small_stream, tmp_path)
    assert first.name == "step000003.pt"


def test_a_checkpoint_of_another_training_is_refused(small_stream, tmp_path):
    last(plan("pocket_mae"), small_stream, tmp_path, stop_after=2)
    with pytest.raises(WeightsError, match=r"belongs to another training \(steps was 12, is 30\)"):
        last(plan("pocket_mae", steps=30), small_stream, tmp_path)


def test_a_loss_that_is_not_finite_stops_and_leaves_what_was_there(small_stream, tmp_path, monkeypatch):
    last(plan("pocket_mae"), small_stream, tmp_path, stop_after=4)
    monkeypatch.setattr(OBJECTIVES["pocket_mae"], "loss", lambda self, batch: self.predict.weight.sum() * float("nan"))
    with pytest.raises(WeightsError, match="the loss is nan at step 4"):
        last(plan("pocket_mae"), small_stream, tmp_path)
    assert [path.name for path in tmp_path.glob("step*.pt")] == ["step000004.pt"]


def test_the_learning_rate_rises_and_falls_to_nothing():
    rates = [learning_rate(Plan("pocket_mae", 0, 1000), step) for step in range(1000)]
    assert rates.index(max(rates)) in (49, 50)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] < 1e-8


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_effective_rank_of_directions_of_equal_strength_is_their_number(rank):
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(400, rank)))
    basis -= basis.mean(0)
    basis, _ = np.linalg.qr(basis)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(64, 64)))
    assert effective_rank(torch.from_numpy(basis @ rotation[:rank])) == pytest.approx(rank, rel=1e-6)


def test_effective_rank_agrees_with_scipy():
    from scipy.linalg import svdvals
    from scipy.stats import entropy

    features = np.random.default_rng(2).normal(size=(300, 40)) @ np.diag(np.geomspace(1, 1e-3, 40))
    expected = np.exp(entropy(svdvals(features - features.mean(0))))
    assert effective_rank(torch.from_numpy(features)) == pytest.approx(expected, rel=1e-9)


def test_the_card_says_what_was_done(small_stream, tmp_path):
    trained = last(plan("pocket_mae"), small_stream, tmp_path)
    rank = measured_rank(trained.objective.published(), NORMALISE, small_stream.shard(0))
    assert 1 < rank < 64
    write_card(
        tmp_path, Card(plan("pocket_mae"), type(trained.objective), trained, "ab" * 32, rank, "third.safetensors")
    )
    text = (tmp_path / "pocket_mae_seed0.md").read_text(encoding="utf-8")
    assert "says nothing about published models" in text
    assert f"| 12 | {trained.losses[-1]:.4f} |" in text
    assert f"{rank:.1f} of 64" in text
    assert "ab" * 32 in text
    assert (tmp_path / "pocket_mae_seed0.png").read_bytes().startswith(b"\x89PNG")
