"""A training that goes wrong is ended with the likely cause; one that goes well, or is short, is left in peace."""

from __future__ import annotations

import math

import pytest

from stages.core.engine.diagnosis import Expectation, Row, diagnose, has_collapsed

LONG = 2000
CHANCE = Expectation({"loss": math.log(30)})
NOTHING = Expectation()


def rows(count: int, **values: float) -> list[Row]:
    return [{"iteration": 10 * (number + 1), "loss": 1.0, **values} for number in range(count)]


@pytest.mark.parametrize("sign", ["embedding_std", "prototype_use"])
def test_a_collapse_ends_training_only_if_it_lasts(sign: str) -> None:
    well, collapsed = rows(40, **{sign: 0.4}), rows(60, **{sign: 0.001})[40:]
    assert diagnose(well + collapsed[:9], LONG, NOTHING) is None
    told = diagnose(well + collapsed, LONG, NOTHING)
    assert told is not None
    assert f"collapsed by iteration 600: all photographs look the same to the network ({sign} = 0.001)" in told
    assert "base_lr" in told


def test_a_collapse_at_the_very_start_may_pass() -> None:
    assert diagnose(rows(9, embedding_std=0.001), LONG, NOTHING) is None
    assert diagnose(rows(9, embedding_std=0.001) + rows(20, embedding_std=0.3)[9:], LONG, NOTHING) is None


@pytest.mark.parametrize("loss", [math.log(30), math.log(30) + 5])
def test_a_loss_that_stays_at_chance_ends_training_after_a_fifth(loss: float) -> None:
    assert diagnose(rows(39, loss=loss), LONG, CHANCE) is None
    told = diagnose(rows(40, loss=loss), LONG, CHANCE)
    assert told is not None
    assert "nothing was learnt in 400 iterations" in told
    assert "3.401 = ln 30" in told
    assert "base_lr" in told
    assert diagnose(rows(40, loss=loss), LONG, NOTHING) is None


def test_a_loss_that_has_left_chance_is_left_in_peace() -> None:
    well = rows(60, loss=0.85 * math.log(30))
    assert diagnose(rows(40, loss=math.log(30)) + well[40:], LONG, CHANCE) is None
    assert diagnose(well[:40], LONG, CHANCE) is None


def test_a_part_of_the_loss_is_watched_where_the_whole_says_nothing() -> None:
    stuck = rows(40, loss=9.0, swav=math.log(30))
    assert "ln 30" in (diagnose(stuck, LONG, Expectation({"swav": math.log(30)})) or "")
    assert diagnose(rows(40, loss=9.0, swav=2.0), LONG, Expectation({"swav": math.log(30)})) is None


def test_a_loss_that_jumps_around_chance_has_learnt_nothing_but_one_that_falls_slowly_has_something() -> None:
    jumping, falling = rows(40), rows(40)
    for number, (jump, fall) in enumerate(zip(jumping, falling, strict=True)):
        jump["loss"] = (1.03 if number % 5 == 0 else 0.94) * math.log(30)
        fall["loss"] = (1 - 0.03 * number / 40) * math.log(30)
    assert "nothing was learnt" in (diagnose(jumping, LONG, CHANCE) or "")
    assert diagnose(falling, LONG, CHANCE) is None


def test_a_short_training_is_left_in_peace() -> None:
    assert diagnose(rows(9, loss=9.0, embedding_std=0.0), 90, CHANCE) is None


def test_the_first_row_of_a_long_training_ends_nothing() -> None:
    """Rows of a long training are long: the first one is no time that lasts."""
    first: Row = {"iteration": 200, "loss": 9.0, "embedding_std": 0.001}
    assert diagnose([first], 100_000, CHANCE) is None
    rest: list[Row] = [{**first, "iteration": 200 * number} for number in range(2, 26)]
    assert diagnose([first, *rest[:-1]], 100_000, CHANCE) is None
    assert "collapsed by iteration 5000" in (diagnose([first, *rest], 100_000, CHANCE) or "")


def test_iterations_with_frozen_prototypes_do_not_count() -> None:
    """A loss that stays at chance while prototypes cannot learn says nothing; a fifth of the rest does."""
    expected = CHANCE._replace(start=500)
    stuck = rows(200, loss=math.log(30))
    assert "nothing was learnt in 400" in (diagnose(stuck[:40], LONG, CHANCE) or "")
    assert diagnose(stuck[:79], LONG, expected) is None
    assert "nothing was learnt in 300 iterations" in (diagnose(stuck[:80], LONG, expected) or "")
    assert diagnose(stuck, LONG, CHANCE._replace(start=2 * LONG)) is None


def test_a_collapse_after_good_rows_is_not_worth_a_checkpoint_but_a_slow_start_is() -> None:
    well, collapsed = rows(3, embedding_std=0.4), rows(3, embedding_std=0.001)
    assert has_collapsed(well + collapsed)
    assert not any(map(has_collapsed, ([], well, collapsed, collapsed + well)))


def test_the_causes_are_the_methods_own() -> None:
    expected = CHANCE._replace(causes="the masks show no objects")
    assert "the masks show no objects" in (diagnose(rows(40, loss=9.0), LONG, expected) or "")
