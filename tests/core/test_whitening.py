"""Whitening is scikit-learn's PCA with unit variance, up to the sign of each axis."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from stages.core.errors import UserError
from stages.core.whitening import fit_whitening


def correlated(count: int, size: int) -> np.ndarray:
    """Vectors away from the origin, some of whose directions vary a hundred times more than others."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(count, size)) * np.geomspace(1, 1e-2, size)) @ rng.normal(size=(size, size)) + 5


def test_it_is_pca_with_unit_variance() -> None:
    vectors = correlated(200, 8)
    found = fit_whitening(vectors, 4, "whiten").apply(vectors)
    expected = PCA(4, whiten=True).fit_transform(vectors)
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=2e-3)


def test_what_did_not_form_it_passes_the_same_map() -> None:
    vectors, others = np.split(correlated(200, 6).astype(np.float32), [150])
    pca = PCA(3, whiten=True).fit(vectors.astype(np.float64))
    found = fit_whitening(vectors, 3, "whiten").apply(others)
    expected = pca.transform(others.astype(np.float64))
    np.testing.assert_allclose(found * np.sign((found * expected).sum(0)), expected, atol=5e-3)


@pytest.mark.parametrize(("count", "size"), [(4, 9), (9, 3)])
def test_more_components_than_there_are_is_refused(count: int, size: int) -> None:
    with pytest.raises(UserError, match=r"cluster\.whiten: vectors of shape .* do not span 4 components"):
        fit_whitening(correlated(count, size), 4, "cluster.whiten")
