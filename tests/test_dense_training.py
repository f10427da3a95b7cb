"""The training loop: it learns, it resumes bit for bit, it keeps the frozen frozen, and it says what is wrong."""

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch import nn

from geofm_eval.backbones.weights import state_dict_sha256
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.dense.adapters import plain_state
from geofm_eval.dense.batches import InMemory, Prefetcher, RandomCrops
from geofm_eval.dense.checkpoint import CHECKPOINT
from geofm_eval.dense.decoders import DECODERS
from geofm_eval.dense.inference import ChipPredictor, counts_of, predictions, quality
from geofm_eval.dense.losses import loss_of
from geofm_eval.dense.model import DenseModel
from geofm_eval.dense.plan import TrainingPlan
from geofm_eval.dense.recipes import RECIPES, TrainingRecipe, training_recipe
from geofm_eval.dense.training import fresh_weights, train
from geofm_eval.errors import ContractError, DataError
from tests.small_chips import CATALOG, CROPS, FLOODS, chips
from tests.small_vit import load, small_vit

SPEC = small_vit(image_size=32)
RECIPE = TrainingRecipe("test", epochs=3, validate_every=1, batch=4, rate=1e-2, flips=True)
ADAPTER = InputAdapter(SPEC, FLOODS, CATALOG.recipe("probing"))
CPU = torch.device("cpu")


def model(adaptation="frozen", decoder="tokenlinear", seed=0, taps=("block02",), **more):
    fresh_weights(seed)
    return DenseModel(load(SPEC).backbone, adaptation, taps * DECODERS[decoder][0], decoder, 2, **more)


def crops(split=None, count=6):
    split = split or chips()
    return RandomCrops(split, np.arange(count), ADAPTER, seed=0, size=32)


def scored(network, epoch=0, split=None):
    split = split or chips(name="val", first=50, count=3)
    counts = [
        counts_of(split.task, target, found)
        for target, found in predictions(
            network, ChipPredictor(ADAPTER, 32, CPU), split.task, split.read_pair, range(len(split))
        )
    ]
    return quality(split.task, np.stack(counts))


def run(folder, adaptation="frozen", plan=None, network=None, samples=None, **arguments):
    network = network or model(adaptation)
    plan = plan or TrainingPlan(RECIPE, 1e-2, 0)
    return network, train(network, crops() if samples is None else samples, FLOODS, plan, scored, folder, **arguments)


class Stop(Exception):
    """Stands for a user's interrupt."""


class Interrupted:
    """Samples that fail at one step."""

    def __init__(self, samples, at):
        self.samples, self.left = samples, at

    def __len__(self):
        return len(self.samples)

    def batch(self, chosen, epoch):
        self.left -= 1
        if self.left < 0:
            raise Stop
        return self.samples.batch(chosen, epoch)


@pytest.mark.parametrize("adaptation", ["frozen", "full", "lora"])
@pytest.mark.parametrize("at", [1, 3, 4])
def test_an_interrupted_training_ends_as_an_uninterrupted_one_does(tmp_path, adaptation, at):
    network, whole = run(tmp_path / "whole", adaptation)
    with pytest.raises(Stop):
        run(tmp_path / "pieces", adaptation, samples=Interrupted(crops(), at), every=0.0)
    again, pieces = run(tmp_path / "pieces", adaptation)
    assert pieces.losses == whole.losses
    assert pieces.validations == whole.validations
    expected = network.trained_state()
    assert all(torch.equal(value, expected[name]) for name, value in again.trained_state().items())


@pytest.mark.parametrize("kept", [0, 200, -1])
def test_a_damaged_checkpoint_costs_the_time_and_nothing_else(tmp_path, kept, caplog):
    _, whole = run(tmp_path / "whole")
    with pytest.raises(Stop):
        run(tmp_path / "pieces", samples=Interrupted(crops(), 3), every=0.0)
    path = tmp_path / "pieces" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:kept])
    _, again = run(tmp_path / "pieces")
    assert again.losses == whole.losses
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.999])
def test_one_changed_bit_of_a_checkpoint_is_noticed(tmp_path, place, caplog):
    _, whole = run(tmp_path / "whole")
    with pytest.raises(Stop):
        run(tmp_path / "pieces", samples=Interrupted(crops(), 3), every=0.0)
    path = tmp_path / "pieces" / CHECKPOINT
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged))] ^= 1
    path.write_bytes(damaged)
    _, again = run(tmp_path / "pieces")
    assert again.losses == whole.losses
    assert "is damaged" in caplog.text


def test_the_checkpoint_of_another_training_is_not_continued(tmp_path, caplog):
    with pytest.raises(Stop):
        run(tmp_path, samples=Interrupted(crops(), 3), every=0.0)
    _, found = run(tmp_path, plan=TrainingPlan(RECIPE, 1e-2, seed=1), network=model(seed=1))
    assert "belongs to another training" in caplog.text
    assert found.step == 3 * 2


def test_a_frozen_backbone_stays_as_it_is_and_a_tuned_one_does_not(tmp_path):
    before = state_dict_sha256(load(SPEC).backbone.state_dict())
    frozen, _ = run(tmp_path / "frozen")
    tuned, _ = run(tmp_path / "full", "full")
    assert state_dict_sha256(plain_state(frozen.backbone)) == before
    assert state_dict_sha256(plain_state(tuned.backbone)) != before


def test_a_frozen_backbone_is_in_eval_mode_while_its_head_trains():
    network = model()
    network.train(True)
    assert network.head.training
    assert not any(module.training for module in network.backbone.modules())
    assert not any(parameter.requires_grad for parameter in network.backbone.parameters())
    tuned = model("full")
    tuned.train(True)
    assert tuned.backbone.training


def test_the_network_is_left_as_it_was_after_its_best_epoch(tmp_path):
    network, found = run(tmp_path)
    scores = [one.score for one in found.validations]
    assert [one.epoch for one in found.validations] == [1, 2, 3]
    assert found.chosen.score == max(scores)
    assert scored(network) == found.chosen.score
    assert not network.training


def test_seeds_and_nothing_else_tell_trainings_apart(tmp_path):
    losses = [
        run(tmp_path / str(i), plan=TrainingPlan(RECIPE, 1e-2, seed), network=model(seed=seed))[1].losses
        for i, seed in enumerate((0, 0, 1))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_tenth_of_the_labels_can_have_as_many_steps_as_all_of_them(tmp_path):
    plan = TrainingPlan(RECIPE, 1e-2, 0, lengthened=2)
    _, found = run(tmp_path, plan=plan, samples=crops(count=4))
    assert found.step == 2 * 3 * 1
    assert [one.epoch for one in found.validations] == [2, 4, 6]


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["tokenlinear", "single_w064", "lightms", "upernet_w064"])
def test_every_decoder_learns_two_batches_by_heart(tmp_path, decoder):
    """On maps that know every pixel's class; wide decoders are the same modules with more channels."""
    torch.manual_seed(0)
    truth = nn.functional.interpolate(torch.randint(0, 2, (8, 1, 4, 4)).float(), scale_factor=2)[:, 0].long()
    code = nn.functional.one_hot(truth, 2).permute(0, 3, 1, 2).float()
    maps = [torch.cat([code, 0.1 * torch.randn(8, 14, 8, 8)], dim=1)] * DECODERS[decoder][0]
    head = model(decoder=decoder).head
    optimiser = torch.optim.AdamW(head.parameters(), 1e-2)

    def learnt() -> float:
        found = head.eval()(maps, (8, 8)).argmax(1)
        head.train()
        return quality(
            FLOODS, np.stack([counts_of(FLOODS, t.numpy(), f.numpy()) for t, f in zip(truth, found, strict=True)])
        )

    for step in range(120):
        half = slice(0, 4) if step % 2 else slice(4, 8)
        loss = loss_of(FLOODS, head([one[half] for one in maps], (8, 8)), truth[half])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 19 and learnt() >= 0.95:
            return
    pytest.fail(f"after 120 steps the quality is {learnt():.3f}")


def test_a_loss_that_is_not_finite_names_step_and_chips(tmp_path):
    network = model()
    with torch.no_grad():
        network.head.decoder.classifier.weight.fill_(float("inf"))
    with pytest.raises(DataError, match=r"the loss is nan at step 0 of 6 \(chips train\d, .*lower the learning rate"):
        run(tmp_path, network=network)


def test_a_chip_without_labels_is_named(tmp_path):
    split = chips()
    blank = split.__class__(**{**split.__dict__, "load_target": lambda item: np.full((32, 32), -1)})
    with pytest.raises(DataError, match=r"no pixel of the chip has a label\. Set inspect = true"):
        run(tmp_path, samples=crops(blank))
    with pytest.raises(ContractError, match="no training example"):
        run(tmp_path, samples=crops(count=0))


def test_losses_against_their_libraries():
    torch.manual_seed(0)
    values, target = torch.randn(3, 2, 8, 8), torch.randint(-1, 2, (3, 8, 8))
    assert (target == -1).any()
    expected = nn.functional.cross_entropy(values, target, ignore_index=-1)
    torch.testing.assert_close(loss_of(FLOODS, values, target), expected)
    outlines = CATALOG.task("ai4smallfarms_sim")
    # One image at a time: the library counts a whole batch, the loss averages over images.
    dice = [DiceLoss("binary", ignore_index=-1)(values[i : i + 1, :1], target[i : i + 1]) for i in range(3)]
    found = loss_of(outlines, values[:, :1], target)
    torch.testing.assert_close(found, torch.stack(dice).mean(), rtol=1e-4, atol=1e-5)
    numbers = torch.where(torch.rand(3, 8, 8) < 0.3, torch.nan, torch.randn(3, 8, 8))
    error = (values[:, 0] - numbers)[numbers.isfinite()].square().mean()
    torch.testing.assert_close(loss_of(CATALOG.task("biomassters_sim"), values[:, :1], numbers), error)


@pytest.mark.parametrize("task", ["sen1floods11_sim", "ai4smallfarms_sim", "biomassters_sim"])
def test_a_batch_without_labels_has_no_loss_and_a_gradient_of_zero(task):
    spec = CATALOG.task(task)
    values = torch.randn(2, 2, 4, 4, requires_grad=True)
    target = torch.full((2, 4, 4), torch.nan) if spec.kind == "dense_regression" else torch.full((2, 4, 4), -1)
    loss = loss_of(spec, values, target)
    loss.backward()
    assert loss.item() == 0
    assert not values.grad.any()


def test_a_series_is_trained_through_a_mix_over_its_dates(tmp_path):
    spec = small_vit(image_size=32, bands=CROPS.bands)
    adapter = InputAdapter(spec, CROPS, CATALOG.recipe("probing"))
    fresh_weights(0)
    network = DenseModel(load(spec, "pastis_sim").backbone, "frozen", ("block02",), "tokenlinear", 10, dates=6)
    split = chips(CROPS, count=4)
    samples = RandomCrops(split, np.arange(4), adapter, seed=0, size=32)
    plan = TrainingPlan(TrainingRecipe("test", epochs=2, validate_every=1, batch=2, rate=1e-2), 1e-2, 0)
    before = network.mix.queries.detach().clone()
    train(network, samples, CROPS, plan, lambda *_: 0.0, tmp_path)
    assert network.mix.queries.grad is not None
    assert not torch.equal(network.mix.queries, before)
    values = ChipPredictor(adapter, 32, CPU)(network, split.read(0), 0)
    assert values.shape == (10, 32, 32)


def test_a_series_of_one_date_is_trained_without_a_mix(tmp_path):
    split = chips(CROPS.model_copy(update={"dates": 1}))
    spec = small_vit(image_size=32, bands=CROPS.bands)
    adapter = InputAdapter(spec, split.task, CATALOG.recipe("probing"))
    fresh_weights(0)
    network = DenseModel(load(spec, "pastis_sim").backbone, "full", ("block02",), "tokenlinear", 10, dates=1)
    samples = RandomCrops(split, np.arange(6), adapter, seed=0, size=32)
    done = train(network, samples, split.task, TrainingPlan(RECIPE, 1e-2, 0), lambda *_: 0.0, tmp_path)
    assert done.losses[-1] < done.losses[0]
    assert ChipPredictor(adapter, 32, CPU)(network, split.read(0), 0).shape == (10, 32, 32)


def test_mixed_precision_is_close_and_answers_in_float32(tmp_path):
    plain, mixed = model(), model(dtype="bf16")
    images = crops().batch(np.arange(4), 0).images
    expected, found = (one.decode(one.maps(images), (32, 32)) for one in (plain, mixed))
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    _, done = run(tmp_path, network=model("full", dtype="bf16"))
    assert done.losses[-1] < done.losses[0]
    assert training_recipe("quick", dtype="bf16").slug == "quick_bf16"
    assert training_recipe("quick", 4, "bf16").slug == "quick_bf16_b04"
    with pytest.raises(ContractError, match="dtype 'fp8' is unknown; known: float32, bf16"):
        training_recipe("quick", dtype="fp8")


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_that_read_ahead_change_no_number(tmp_path, monkeypatch, threads):
    network, plain = run(tmp_path / "plain", "full")
    monkeypatch.setattr("geofm_eval.dense.training.Prefetcher", lambda make, _, end: Prefetcher(make, threads, end))
    again, ahead = run(tmp_path / "ahead", "full")
    assert ahead.losses == plain.losses
    expected = network.trained_state()
    assert all(torch.equal(value, expected[name]) for name, value in again.trained_state().items())


def test_batches_are_read_some_steps_ahead_and_no_further():
    asked = []
    ahead = Prefetcher(lambda step: asked.append(step) or step, threads=2, end=5)
    try:
        assert ahead.take(0) == 0
        assert ahead.take(1) == 1
        assert max(asked) <= 3
        assert ahead.take(4) == 4  # elsewhere: begins again
        assert max(asked) == 4
    finally:
        ahead.close()


def test_an_error_of_a_reading_thread_reaches_its_step():
    def make(step):
        raise DataError(f"chip of step {step}")

    ahead = Prefetcher(make, threads=2, end=3)
    try:
        with pytest.raises(DataError, match="chip of step 0"):
            ahead.take(0)
    finally:
        ahead.close()


def test_chips_are_read_once_where_memory_holds_them():
    split, read = chips(), []
    load = split.load
    object.__setattr__(split, "load", lambda item: read.append(item.id) or load(item))
    samples = crops(split)
    first, again = (samples.batch(np.arange(6), 0) for _ in range(2))
    assert sorted(read) == sorted(split.ids)
    assert torch.equal(first.target, again.target)
    other = crops(split)
    other.__dict__["_read"] = InMemory(split.read_pair, most=0)
    for _ in range(2):
        assert torch.equal(other.batch(np.arange(6), 0).images.pixels, first.images.pixels)
    assert len(read) == 3 * 6


def test_batch_normalisation_begins_with_the_statistics_of_the_first_batch(tmp_path):
    network = model(decoder="single_w064")
    norm = network.head.decoder.mix[0][1]
    still = TrainingRecipe("test", epochs=1, validate_every=1, batch=6, rate=1e-12)
    train(network, crops(), FLOODS, TrainingPlan(still, 1e-12, 0), lambda *_: 0.0, tmp_path)
    seen = []
    network.head.decoder.mix[0][0].register_forward_hook(lambda _, __, output: seen.append(output))
    order = np.arange(6)
    network.decode(network.maps(crops().batch(order, 0).images), (32, 32))
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(norm.running_var, seen[0].var((0, 2, 3)), rtol=1e-3, atol=1e-7)
    assert norm.momentum == 0.1


def test_recipes_are_those_of_the_protocol():
    pangaea = training_recipe("pangaea")
    assert (pangaea.epochs, pangaea.validate_every, pangaea.batch, pangaea.rate, pangaea.decay) == (
        80,
        5,
        8,
        1e-4,
        0.05,
    )
    assert all(recipe.rate in recipe.rates and len(recipe.rates) == 3 for recipe in RECIPES.values())
    with pytest.raises(ContractError, match="training recipe 'fast' is unknown; known: pangaea, quick"):
        training_recipe("fast")
