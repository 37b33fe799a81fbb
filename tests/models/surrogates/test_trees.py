"""Extremely randomised trees: the law of total variance, by hand."""

import numpy as np

from aldesign.models.surrogates.trees import ExtraTrees


def test_variance_is_that_between_the_trees_plus_that_within_their_leaves():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)), rng.normal(size=80)
    query = rng.normal(size=(5, 3))
    model = ExtraTrees(trees=20, leaf=5).fit(x, y)
    mean, std = model.posterior(query)
    for i in range(5):
        answers, within = [], []
        for tree in model._trees:
            mates = tree.apply(x.astype(np.float32)) == tree.apply(query[i : i + 1].astype(np.float32))
            assert mates.sum() >= 5
            answers.append(y[mates].mean())
            within.append(y[mates].var())
        np.testing.assert_allclose(mean[i], np.mean(answers))
        np.testing.assert_allclose(std[i], np.sqrt(np.var(answers) + np.mean(within)))


def test_leaves_of_one_row_leave_no_noise():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)), rng.normal(size=80)
    model = ExtraTrees(trees=20).fit(x, y)
    np.testing.assert_allclose(model.posterior(x)[0], y)
    assert model.noise_std < 1e-6
