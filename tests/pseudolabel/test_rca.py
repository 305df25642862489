"""RCA's parts beside slow, obvious forms, and where gradients reach."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.core.artifacts.models import read_model
from stages.core.engine.method import TrainingProgress
from stages.core.errors import UserError
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.activation.inference import restore_trained, save_trained
from stages.pseudolabel.activation.rounds import restore_backbone
from stages.pseudolabel.methods.rca.aggregation import AttentiveAggregation, ParametricAggregation, attend_to
from stages.pseudolabel.methods.rca.config import MemoryConfig, RCAConfig, SaliencyLossConfig
from stages.pseudolabel.methods.rca.memory import Centroids, RegionMemory, TurningMemory, number_entries
from stages.pseudolabel.methods.rca.method import RegionalContrastTraining
from stages.pseudolabel.methods.rca.regions import Known, compare, contrast, draw_mixing, pool_regions
from stages.pseudolabel.methods.rca.saliency import estimate_saliency, saliency_loss
from tests.fabricate import SIZE
from tests.methods import load_two_batches, small
from tests.pseudolabel.test_trained import fabricate_inputs, tags_for

TAGS = torch.tensor([[0, 2], [1, -1], [2, -1]])


def test_a_region_is_the_mean_of_the_features_where_its_map_is_above_its_mean() -> None:
    features, maps = torch.randn(3, 5, 4, 6), torch.randn(3, 3, 4, 6)
    maps[1, 1] = 0.7  # the same everywhere
    found = pool_regions(features, maps, TAGS)
    for b, t in ((0, 0), (0, 1), (1, 0), (2, 0)):
        own = maps[b, TAGS[b, t]]
        inside = [(y, x) for y in range(4) for x in range(6) if own[y, x] > own.mean() or b == 1]
        mean = sum(features[b, :, y, x] for y, x in inside) / len(inside)
        torch.testing.assert_close(found[b, t], mean)


def test_entries_belong_to_a_photograph_and_a_category() -> None:
    numbers, owners = number_entries(TAGS.numpy(), None, 0)
    assert owners.tolist() == [0, 1, 2, 2]
    assert numbers.tolist() == [[0, 2], [1, -1], [3, -1]]
    few, owners = number_entries(np.zeros((9, 1), np.int64), 4, 0)
    assert owners.tolist() == [0] * 4
    assert sorted(few[few >= 0].tolist()) == [0, 1, 2, 3]
    assert (few == number_entries(np.zeros((9, 1), np.int64), 4, 0)[0]).all()


def test_the_first_region_sets_an_entry_and_later_ones_move_it() -> None:
    memory = RegionMemory(TAGS.numpy(), 2, MemoryConfig(momentum=0.75), 0)
    first, second = torch.tensor([[1.0, 2.0], [5.0, 6.0]]), torch.tensor([[3.0, 4.0]])
    memory.update(torch.tensor([0, 3]), first)
    memory.update(torch.tensor([0]), second)
    torch.testing.assert_close(memory.entries[0], 0.75 * first[0] + 0.25 * second[0])
    torch.testing.assert_close(memory.entries[3], first[1])
    assert memory.is_set.tolist() == [True, False, False, True]
    assert memory.known.owners.tolist() == [0, -1, -1, 2]


def contrast_by_loops(region: Tensor, tag: int, known: Known, temperature: float) -> float:
    def similarity(other: Tensor) -> float:
        return math.exp(float(region @ other / region.norm() / other.norm()) / temperature)

    pairs = [each for each in zip(known.vectors, known.owners.tolist(), strict=True) if each[1] >= 0]
    negatives = sum(similarity(entry) for entry, owner in pairs if owner != tag)
    positives = [similarity(entry) for entry, owner in pairs if owner == tag]
    if not negatives or not positives:
        return 0.0
    return sum(-math.log(each / (each + negatives)) for each in positives) / len(positives)


def test_contrast_sets_each_positive_against_all_entries_of_other_categories() -> None:
    known = Known(torch.randn(11, 4), torch.tensor([0, 0, -1, 0, 1, 1, 2, 2, 2, 2, -1]))
    regions, tags = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    found = contrast(compare(regions, known, 0.2), tags, known.owners)
    expected = [contrast_by_loops(region, int(tag), known, 0.2) for region, tag in zip(regions, tags, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    cosines = compare(regions, known, 0.2)[:, :4]
    alone = contrast(cosines, torch.zeros(5).long(), known.owners[:4])
    assert alone.tolist() == [0.0] * 5, "no category to be told from"
    assert contrast(cosines, tags, torch.full((4,), -1)).tolist() == [0.0] * 5


def test_regions_are_mixed_with_those_of_another_photograph_and_category() -> None:
    mixing = draw_mixing(TAGS, 8.0, np.random.default_rng(0))
    flat = TAGS.flatten().tolist()
    for number in (0, 1, 2, 4):
        partner = int(mixing.partners[number])
        assert flat[partner] >= 0
        assert flat[partner] != flat[number]
        assert partner // 2 != number // 2
        assert 0 < float(mixing.shares[number]) < 1
    alike = draw_mixing(torch.tensor([[1], [1]]), 8.0, np.random.default_rng(0))
    assert alike.shares.tolist() == [1.0, 1.0], "there is nothing to mix with"


def test_released_mixing_takes_any_region_there_is() -> None:
    drawn = [draw_mixing(TAGS, 8.0, np.random.default_rng(seed), is_any=True).partners for seed in range(40)]
    assert {int(each[0]) for each in drawn} == {0, 1, 2, 4}, "its own and its photograph's, never what is no region"


def test_released_entries_begin_as_noise_and_are_moved_in_turn() -> None:
    memory = TurningMemory(2, 3, MemoryConfig(size=2, momentum=0.75))
    expected, turns = memory.entries.clone(), [0, 0]
    assert memory.known.owners.tolist() == [0, 0, 1, 1]
    for categories in ([1, 0, 1], [1], [0, 0]):
        regions = torch.randn(len(categories), 3)
        memory.update(torch.tensor(categories), regions)
        for category, region in zip(categories, regions, strict=True):
            number = 2 * category + turns[category] % 2
            expected[number] = 0.75 * expected[number] + 0.25 * region
            turns[category] += 1
    torch.testing.assert_close(memory.entries, expected)
    assert memory.turns.tolist() == turns
    memory.update(torch.zeros(5, dtype=torch.long), torch.randn(5, 3))
    assert memory.turns.tolist() == [turns[0] + 2, turns[1]], "as many of a step as there are entries"


def test_the_mixed_contrast_of_a_step_is_equation_6() -> None:
    fabricate_inputs()
    training = build(small(RCAConfig))
    batch = load_two_batches(training, tags_for(training.config).photographs)[0]
    training.memory.entries.normal_()
    training.memory.is_set.fill_(True)
    progress = TrainingProgress(4, 9, 1, 3)
    losses = training.step(batch, progress)
    assert training.config.contrast is not None
    tags = training.tags_of(batch)
    with torch.no_grad():
        features = training.features(batch.views[0])
        regions = pool_regions(features, training.coarse(features), tags)[:, 0]
    mixing = draw_mixing(tags, 8.0, np.random.default_rng([0, 2, 4]))
    expected = []
    for number, (partner, share) in enumerate(zip(mixing.partners.tolist(), mixing.shares.tolist(), strict=True)):
        mixed = share * regions[number] + (1 - share) * regions[partner]
        own, other = int(tags[number, 0]), int(tags[partner, 0])
        near = contrast_by_loops(mixed, own, training.memory.known, 0.07)
        expected.append(share * near + (1 - share) * contrast_by_loops(mixed, other, training.memory.known, 0.07))
    torch.testing.assert_close(losses.parts["contrast"], torch.tensor(expected).mean(), rtol=1e-3, atol=1e-4)
    parts = losses.parts
    total = 0.01 * parts["contrast"] + 0.4 * parts["coarse"] + parts["classification"]
    torch.testing.assert_close(losses.total, total)


def test_pixels_attend_to_centroids_by_the_softmax_of_products() -> None:
    features, centroids = torch.randn(2, 3, 2, 2), torch.randn(4, 3)
    found = attend_to(features, centroids)
    for b, y, x in np.ndindex(2, 2, 2):
        weights = [math.exp(float(features[b, :, y, x] @ each)) for each in centroids]
        mean = sum(weight * each for weight, each in zip(weights, centroids, strict=True)) / sum(weights)
        torch.testing.assert_close(found[b, :, y, x], mean)
    joined = AttentiveAggregation(3)(features, centroids)
    torch.testing.assert_close(joined, torch.cat([features, found], 1))
    assert not attend_to(features, torch.zeros(0, 3)).any()


def test_the_second_head_sees_the_features_beside_what_they_attend_to() -> None:
    fabricate_inputs()
    training = build(small(RCAConfig)).eval()
    training.centroids.vectors.normal_()
    training.centroids.is_set[:, :1] = True
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features, found = training.features(images)[0], training.activate(images)[0]
    weight, centroids = training.fine.weight[:, :, 0, 0].detach(), training.centroids.vectors[:, 0]
    for category, y, x in np.ndindex(3, *features.shape[1:]):
        pixel = features[:, y, x]
        shares = np.exp([float(pixel @ each) for each in centroids])
        context = sum(float(share) * each for share, each in zip(shares / shares.sum(), centroids, strict=True))
        score = sum(float(w * v) for w, v in zip(weight[category], [*pixel, *context], strict=True))
        assert float(found[category, y, x]) == pytest.approx(score, rel=1e-3, abs=1e-4)


def test_released_aggregation_weighs_by_products_of_layers() -> None:
    joining = ParametricAggregation(3)
    features, centroids = torch.randn(1, 3, 2, 2), torch.randn(4, 3)

    def apply(layer: torch.nn.Conv2d, pixel: Tensor) -> Tensor:
        assert layer.bias is not None
        return layer.weight[:, :, 0, 0] @ pixel + layer.bias

    with torch.no_grad():
        found = joining(features, centroids)
        for y, x in np.ndindex(2, 2):
            query, total = apply(joining.query, features[0, :, y, x]), torch.zeros(3)
            for each in centroids:
                total += 2 * (query @ joining.key(each)) * joining.value(each) / len(centroids)
            context = apply(joining.context, total)
            torch.testing.assert_close(
                found[0, :, y, x], apply(joining.last, torch.cat([features[0, :, y, x], context]))
            )


def test_centroids_are_the_means_of_groups_and_few_entries_stand_for_themselves() -> None:
    groups = torch.tensor([[0.0, 0.0], [0.0, 1.0], [10.0, 0.0], [10.0, 1.0], [7.0, 7.0]])
    centroids = Centroids(3, 2, 2)
    centroids.find(Known(groups, torch.tensor([0, 0, 0, 0, 2])), 0)
    assert centroids.is_set.tolist() == [[True, True], [False, False], [True, False]]
    assert sorted(centroids.vectors[0].tolist()) == [[0.0, 0.5], [10.0, 0.5]]
    assert centroids.found.tolist()[2] == [7.0, 7.0]


def test_categories_with_fewer_photographs_than_centroids_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    fabricate_inputs()
    config = small(RCAConfig, aggregation={"centroids": 5})
    assert tags_for(config).counts.tolist() == [4, 4, 4]
    build(config)
    assert (
        "3 of 3 categories have fewer photographs than pseudolabel.aggregation.centroids, 5" in capsys.readouterr().out
    )
    build(small(RCAConfig, aggregation={"centroids": 4}))
    assert not capsys.readouterr().out


def build(config: RCAConfig) -> RegionalContrastTraining:
    torch.manual_seed(0)
    return config.build(restore_backbone(config, read_model("attend")), tags_for(config)).train()


def reached(training: RegionalContrastTraining, loss: Tensor) -> set[str]:
    """Beginnings of the names of the parameters that a loss has a gradient for."""
    names = [name for name, _ in training.named_parameters()]
    found = torch.autograd.grad(loss, list(training.parameters()), retain_graph=True, allow_unused=True)
    return {name.partition(".")[0] for name, g in zip(names, found, strict=True) if g is not None and g.any()}


def test_gradients_reach_what_the_paper_says() -> None:
    """The contrast learns features and no head; each head learns by its own classification alone."""
    fabricate_inputs()
    training = build(small(RCAConfig))
    batch = load_two_batches(training, tags_for(training.config).photographs)[0]
    training.memory.entries.normal_()
    training.memory.is_set.fill_(True)
    parts = training.step(batch, TrainingProgress(3, 9, 1, 3)).parts
    assert reached(training, parts["contrast"]) == {"features"}
    assert reached(training, parts["coarse"]) == {"features", "coarse"}
    assert reached(training, parts["classification"]) == {"features", "fine"}


def test_released_contrast_learns_a_projection_that_the_memory_never_sees() -> None:
    fabricate_inputs()
    training = build(small(RCAConfig, variant="released", memory={"confidence": 0.0, "size": 4}))
    batch = load_two_batches(training, tags_for(training.config).photographs)[0]
    noise = training.memory.entries.clone()
    parts = training.step(batch, TrainingProgress(3, 9, 1, 3)).parts
    assert reached(training, parts["contrast"]) == {"features", "projection"}
    assert reached(training, parts["classification"]) == {"features", "aggregation", "fine"}
    with torch.no_grad():
        features = training.features(batch.views[0])
        shares = training.coarse(features).softmax(1)
        first = int(training.tags_of(batch)[0, 0])
        mask = shares[0, first] > shares[0, first].mean()
        mask = mask if mask.any() else torch.ones_like(mask)
        region = features[0][:, mask].mean(1)
    training.after_step(TrainingProgress(3, 9, 1, 3))
    number = first * 4
    torch.testing.assert_close(training.memory.entries[number], 0.99 * noise[number] + 0.01 * region)


def test_what_is_stored_of_a_training_has_no_memory_and_labels_alike() -> None:
    index = fabricate_inputs()
    training = build(small(RCAConfig)).eval()
    training.centroids.find(Known(torch.randn(6, SIZE), torch.arange(6) % 3), 0)
    image = load_two_batches(training, index)[0].views[0]
    with torch.no_grad():
        expected = training.activate(image)
        training.end_training()
        restored = restore_trained(save_trained(training, Path("trained/trained.pt")))
        torch.testing.assert_close(restored.activate(image), expected)
    assert not any("entries" in name for name in restored.state_dict())


def test_only_regions_of_which_the_network_is_sure_are_remembered() -> None:
    fabricate_inputs()
    training = build(small(RCAConfig, memory={"confidence": 0.7}))
    batch = load_two_batches(training, tags_for(training.config).photographs)[0]
    progress = TrainingProgress(0, 9, 0, 3)
    training.step(batch, progress)
    training.after_step(progress)
    with torch.no_grad():
        scores = training.coarse(training.features(batch.views[0])).mean((2, 3))
    tags = training.tags_of(batch)[:, 0]
    sure = scores[torch.arange(len(tags)), tags].sigmoid() > 0.7
    expected = set(training.memory.numbers[batch.positions[sure], 0].tolist())
    assert set(training.memory.is_set.nonzero()[:, 0].tolist()) == expected
    assert 0 <= len(expected) < len(tags), "an untrained network is not sure of all"


def test_parts_that_are_left_out_leave_the_rest_as_it_is() -> None:
    fabricate_inputs()
    for left_out in ({"contrast": None}, {"aggregation": None}, {"variant": "released"}):
        training = build(small(RCAConfig, **left_out))
        batch = load_two_batches(training, tags_for(training.config).photographs)[0]
        parts = training.step(batch, TrainingProgress(3, 9, 1, 3)).parts
        assert ("contrast" in parts) == ("contrast" not in left_out)
        assert training.activate(batch.views[0]).shape[1] == 3


def test_saliency_is_what_foreground_has_and_background_leaves() -> None:
    """Of the first photograph's two categories one lies on what is salient, the other beside it."""
    maps, saliency, settings = torch.zeros(3, 4, 2, 4), torch.rand(3, 2, 4), SaliencyLossConfig(foreground=0.3)
    saliency[0] = torch.tensor([[0.9, 0.8, 0.1, 0.2], [0.7, 0.9, 0.1, 0.6]])
    maps[0, 0, :, :2], maps[0, 2, :, 2:], maps[1, 3] = 3.0, 3.0, 2.0
    found, overlaps = estimate_saliency(maps, TAGS, saliency, settings), {}
    for b, y, x in np.ndindex(3, 2, 4):
        shares = maps.softmax(1)[b]
        foreground, background = 0.0, float(shares[3, y, x])
        for category in TAGS[b][TAGS[b] >= 0].tolist():
            inside = [(v, u) for v, u in np.ndindex(2, 4) if shares[category, v, u] > 0.5]
            overlaps[b, category] = sum(bool(saliency[b, v, u] > 0.5) for v, u in inside) / max(len(inside), 1)
            if overlaps[b, category] > 0.4:
                foreground += float(shares[category, y, x])
            else:
                background += float(shares[category, y, x])
        assert float(found[b, y, x]) == pytest.approx(0.3 * foreground + 0.7 * (1 - background), rel=1e-5)
    assert overlaps[0, 0] == 1
    assert overlaps[0, 2] == 0.25
    large = saliency.repeat_interleave(2, 1).repeat_interleave(2, 2)
    squares = [(float(f) - float(s)) ** 2 for f, s in zip(found.flatten(), saliency.flatten(), strict=True)]
    assert float(saliency_loss(maps, TAGS, large, settings)) == pytest.approx(float(np.mean(squares)), rel=1e-4)


def test_saliency_teaches_the_second_head_and_its_background() -> None:
    fabricate_inputs()
    training = build(small(RCAConfig, saliency_loss={}))
    batch = load_two_batches(training, tags_for(training.config).photographs)[0]
    parts = training.step(batch, TrainingProgress(3, 9, 1, 3)).parts
    assert reached(training, parts["saliency"]) == {"features", "fine"}
    (learnt,) = torch.autograd.grad(parts["saliency"], training.fine.weight, retain_graph=True)
    assert learnt.shape[0] == 4
    assert learnt[3].any()
    (classified,) = torch.autograd.grad(parts["classification"], training.fine.weight)
    assert not classified[3].any(), "no photograph is one of the background"
    with torch.no_grad():
        maps, scores = training.activate(batch.views[0]), training.classify(batch.views[0])
    assert maps.shape == scores.shape
    assert maps.shape[1] == 3
    assert (maps.sum(1) < 1).all(), "the rest is background"


def test_saliency_may_teach_maps_and_leave_the_background_to_a_constant() -> None:
    config = small(RCAConfig, saliency_loss={}, labels={"background": "threshold", "threshold": 0.3}, crf=None)
    assert config.uses_saliency
    assert not small(RCAConfig, labels={"background": "threshold"}).uses_saliency
    fabricate_inputs(has_saliency=False)
    with pytest.raises(UserError, match="has no map of train/a/000"):
        main(config)
    fabricate_inputs()
    main(config)
    assert b"saliency" in Path("artifacts/pseudolabel/history.csv").read_bytes()
