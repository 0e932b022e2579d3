"""Trees stored as arrays give what scikit-learn's give."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from spikesorter.decoding.forest import LEAST_IN_LEAF, TREES, fit_forest, rounded_down

KNOWN = (1, 2)


@pytest.mark.parametrize("classes", [(0, 1, 2), (0, 2), (1,)])
def test_probabilities_are_those_of_scikit_learn(classes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((300, 5)).astype(np.float32)
    unit = np.array(classes)[(features[:, 0] > 0).astype(int) % len(classes)]
    unit[:20] = rng.choice(classes, 20)
    theirs = ExtraTreesClassifier(TREES, min_samples_leaf=LEAST_IN_LEAF, random_state=3).fit(features, unit)
    expected = np.zeros((300, 2))
    for column, k in enumerate(KNOWN):
        if k in classes:
            expected[:, column] = theirs.predict_proba(features)[:, list(theirs.classes_).index(k)]
    ours = fit_forest(features, unit, KNOWN, seed=3, n_jobs=2).probabilities(features)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_a_threshold_decides_as_in_double_precision() -> None:
    rng = np.random.default_rng(4)
    values = rng.standard_normal(1000)
    rounded = rounded_down(values)
    assert np.all(rounded <= values)
    assert np.all(np.nextafter(rounded, np.float32(np.inf)) > values)
