"""Numbers in sentences."""

from __future__ import annotations

import pytest

from stages.core.words import how_many


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (0, "mask", "0 masks"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (1000, "photograph", "1,000 photographs"),
    ],
)
def test_a_noun_follows_its_number(number: int, noun: str, told: str) -> None:
    assert how_many(number, noun) == told
