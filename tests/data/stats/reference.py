#!/usr/bin/env python3
"""Reference values for src/analysis/stats: samples.json (the data) and python.json (what SciPy and others make of it).

Needs numpy, scipy, ruptures, pymannkendall, signal-processing-algorithms. Run first; reference.R reads samples.json.
Versions stand in the output.
"""

import itertools
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pymannkendall
import ruptures
from scipy import stats
from signal_processing_algorithms.energy_statistics.energy_statistics import e_divisive

HERE = Path(__file__).parent
rng = np.random.default_rng(20170401)


def listed(values, decimals=3):
    return [round(float(v), decimals) for v in values]


# --- two samples: [a, b]
pairs = {
    "one_each": [[1.0], [2.0]],
    "one_against_five": [[3.5], [1.0, 2.0, 3.0, 4.0, 5.0]],
    "two_each": [[1.0, 2.0], [3.0, 4.0]],
    "three_apart": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
    "five_apart": [[10.1, 10.4, 9.9, 10.2, 10.0], [11.1, 11.5, 10.9, 11.3, 11.2]],
    "five_mixed": [[10.1, 10.4, 9.9, 10.2, 10.0], [10.3, 9.8, 10.6, 10.05, 10.7]],
    "equal_samples": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 2,
    "no_variance": [[7.0] * 5, [7.0] * 8],
    "two_levels": [[1.0] * 6, [2.0] * 7],
    "ties_few": [[1.0, 2.0, 2.0, 3.0, 3.0], [2.0, 3.0, 3.0, 4.0, 4.0, 5.0]],
    "ties_one_level": [[1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0, 9.0]],
    "ties_many": [listed(rng.integers(1, 5, 15)), listed(rng.integers(1, 6, 18))],
    "ten_normal": [listed(rng.normal(100, 2, 10)), listed(rng.normal(102, 2, 10))],
    "twenty_lognormal": [listed(rng.lognormal(1, 0.5, 20)), listed(rng.lognormal(1.4, 0.5, 20))],
    "seven_against_thirty": [listed(rng.exponential(5, 7) + 1), listed(rng.exponential(7, 30) + 1)],
    "twenty_rounded": [listed(rng.normal(20, 2, 20), 0), listed(rng.normal(21, 2, 25), 0)],
    "fifty": [listed(rng.normal(10, 1, 50)), listed(rng.normal(10.3, 1, 50))],
    "hundred": [listed(rng.gamma(2, 3, 100), 4), listed(rng.gamma(2, 3.4, 100), 4)],
    "hundred_ties": [listed(rng.gamma(2, 3, 100), 0), listed(rng.gamma(2, 3.4, 100), 0)],
    "beyond_exact": [listed(rng.normal(10, 1, 120), 6), listed(rng.normal(10.3, 1, 130), 6)],
    "beyond_exact_ties": [listed(rng.normal(10, 1, 120), 0), listed(rng.normal(10.3, 1, 130), 0)],
}


def ar1(n, phi):
    x = [rng.normal()]
    for _ in range(n - 1):
        x.append(phi * x[-1] + rng.normal())
    return listed(np.array(x) + 20, 4)


# --- series in time
series = {
    "three": [1.0, 3.0, 2.0],
    "four_rising": [1.0, 2.0, 3.0, 4.0],
    "five_rising": [1.0, 2.0, 3.0, 4.0, 5.0],
    "five_ties": [1.0, 2.0, 2.0, 3.0, 2.0],
    "eight": [3.2, 1.1, 4.8, 2.9, 5.5, 4.1, 6.0, 5.2],
    "eight_ties": [3.0, 1.0, 4.0, 3.0, 5.0, 4.0, 6.0, 5.0],
    "nine_falling": [9.3, 8.8, 9.1, 7.0, 6.5, 6.6, 5.0, 4.1, 4.4],
    "equal": [5.0] * 12,
    "one_differs": [5.0] * 11 + [6.0],
    "alternating": [1.0, 2.0] * 10,
    "drift_20": listed(np.arange(20) * 0.1 + rng.normal(0, 0.8, 20)),
    "drift_40_ties": listed(np.arange(40) * 0.05 + rng.normal(0, 2, 40), 0),
    "skewed_30": listed(rng.lognormal(0, 1, 30)),
    "noise_60": listed(rng.normal(50, 3, 60)),
    "noise_100": listed(rng.normal(50, 3, 100)),
    "noise_150": listed(rng.normal(50, 3, 150), 6),
    "ar1_30": ar1(30, 0.6),
    "ar1_100": ar1(100, 0.9),
    "ar1_negative_50": ar1(50, -0.5),
    "step_20": listed(np.r_[rng.normal(10, 0.3, 8), rng.normal(12, 0.3, 12)]),
    "bump_30": listed(np.r_[rng.normal(10, 0.3, 12), rng.normal(12, 0.3, 8), rng.normal(10, 0.3, 10)]),
    "three_levels_60": listed(np.r_[rng.normal(10, 0.3, 20), rng.normal(12, 0.3, 25), rng.normal(11, 0.3, 15)]),
    "spread_60": listed(np.r_[rng.normal(10, 0.2, 30), rng.normal(10, 2, 30)]),
    "steps_400": listed(np.concatenate([rng.normal(m, s, 100) for m, s in [(10, 1), (13, 1), (13, 3), (8, 1)]])),
}

p_values = {
    "none": [],
    "one": [0.03],
    "three": [0.01, 0.04, 0.03],
    "ties": [0.02, 0.02, 0.5, 0.02, 0.9],
    "above_one": [0.6, 0.7, 0.8],
    "twenty": listed(rng.uniform(0, 0.2, 20), 5),
}

(HERE / "samples.json").write_text(json.dumps({"pairs": pairs, "series": series, "p_values": p_values}, indent=0) + "\n")


def p90(values, axis):
    return np.quantile(values, 0.9, axis=axis)


def mann_whitney(a, b):
    ties = len(set(a + b)) < len(a + b)
    result = {"u": stats.mannwhitneyu(a, b).statistic}
    if not ties:
        result["exact"] = stats.mannwhitneyu(a, b, method="exact").pvalue
    result["asymptotic"] = stats.mannwhitneyu(a, b, method="asymptotic").pvalue if len(set(a + b)) > 1 else 1.0
    return result


def permutation(a, b):
    """Exact for small samples by SciPy; its two-sided p doubles a tail, so |difference| is its statistic here."""
    if min(len(a), len(b)) < 2 or len(a) + len(b) > 13:
        return None
    return {
        name: stats.permutation_test(
            (a, b), lambda x, y, axis: np.abs(f(x, axis=axis) - f(y, axis=axis)), vectorized=True, n_resamples=np.inf,
            alternative="greater").pvalue
        for name, f in [("mean", np.mean), ("median", np.median), ("p90", p90)]
    }


def sampled_permutation(a, b):
    """A large random sample of divisions: p has a standard deviation of sqrt(p (1 - p) / 200000)."""
    return stats.permutation_test(
        (a, b), lambda x, y, axis: np.abs(np.mean(x, axis=axis) - np.mean(y, axis=axis)), vectorized=True,
        n_resamples=200_000, batch=20_000, alternative="greater", rng=np.random.default_rng(1)).pvalue


def kendall(x):
    t = np.arange(len(x))
    if len(set(x)) == 1:
        return {"tau": 0.0, "p": 1.0}
    exact = len(set(x)) == len(x) and len(x) <= 100
    tau = stats.kendalltau(t, x, method="exact" if exact else "asymptotic")
    return {"tau": tau.statistic, "p": tau.pvalue if exact else pymannkendall.original_test(x).p}


def spearman(x):
    t = np.arange(len(x))
    if len(set(x)) == 1:
        return {"rho": 0.0, "p": 1.0}
    rho = stats.spearmanr(t, x)
    p = rho.pvalue
    if len(x) <= 9:
        ranks = stats.rankdata(x)
        centred = t - t.mean()
        all_sums = np.array([centred @ ranks[list(order)] for order in itertools.permutations(range(len(x)))])
        p = np.mean(np.abs(all_sums) >= abs(centred @ ranks) - 1e-9)
    return {"rho": rho.statistic, "p": float(p)}


def lag1(x):
    """All orders up to 8 values, 200000 random ones beyond: distance from -1/n."""
    if len(set(x)) == 1 or len(x) < 4:
        return None
    y = np.array(x) - np.mean(x)
    y /= np.sqrt(y @ y)
    r = y[1:] @ y[:-1]
    if len(x) <= 8:
        orders = np.array(list(itertools.permutations(y)))
    else:
        orders = np.random.default_rng(2).permuted(np.tile(y, (200_000, 1)), axis=1)
    rs = (orders[:, 1:] * orders[:, :-1]).sum(axis=1)
    return {"r": r, "p": float(np.mean(np.abs(rs + 1 / len(x)) >= abs(r + 1 / len(x)) - 1e-12))}


def best_division(x, shortest):
    """The definition of Matteson & James 2014, eqs. 5 to 7 with alpha = 1, by brute force: [distance, place]."""
    x = np.array(x)
    d = np.abs(x[:, None] - x[None, :])
    best = (0.0, 0)
    for place in range(shortest, len(x) - shortest + 1):
        for end in range(place + shortest, len(x) + 1):
            m, n = place, end - place
            e = 2 / (m * n) * d[:place, place:end].sum()
            e -= d[:place, :place].sum() / (m * (m - 1)) + d[place:end, place:end].sum() / (n * (n - 1))
            best = max(best, (m * n / (m + n) * e, place), key=lambda b: b[0])
    return list(best)


def pelt(x):
    x = np.array(x)
    result = {}
    for shortest, factor in [(2, 3), (3, 5), (10, 4)]:
        if len(x) < 2 * shortest or len(set(x)) < len(x) / 2:
            continue
        penalty = factor * np.log(len(x))
        # Its cost leaves out n (ln 2 pi + 1), the same for all divisions.
        cost = ruptures.costs.CostNormal(add_small_diag=False)
        found = ruptures.Dynp(custom_cost=cost, min_size=shortest, jump=1)
        found.fit(x)
        best = (np.inf, None)
        for changes in range(0, min(12, len(x) // shortest - 1) + 1):
            ends = found.predict(n_bkps=changes)
            best = min(best, (cost.sum_of_costs(ends) + penalty * changes, ends[:-1]))
        result[f"{shortest} {factor}"] = [int(i) for i in best[1]]
    return result


def outliers(x):
    """Tukey's outer fences; none where the quartiles are equal."""
    low, high = np.quantile(x, [0.25, 0.75])
    if low == high or len(x) < 4:
        return None
    reach = 3 * (high - low)
    return [i for i, v in enumerate(x) if v < low - reach or v > high + reach]


output = {
    "versions": {name: version(name) for name in
                 ["numpy", "scipy", "ruptures", "pymannkendall", "signal-processing-algorithms"]},
    "mann_whitney": {name: mann_whitney(a, b) for name, (a, b) in pairs.items()},
    "permutation": {name: p for name, (a, b) in pairs.items() if (p := permutation(a, b))},
    "permutation_sampled": {name: sampled_permutation(*pairs[name]) for name in ["ten_normal", "twenty_lognormal", "ties_many"]},
    "kendall": {name: kendall(x) for name, x in series.items()},
    "spearman": {name: spearman(x) for name, x in series.items()},
    "theil_sen": {name: stats.theilslopes(x).slope for name, x in series.items()},
    "lag1": {name: p for name, x in series.items() if (p := lag1(x))},
    "best_division": {name: best_division(x, 3) for name, x in series.items() if len(x) <= 60},
    "e_divisive": {name: [int(i) for i in e_divisive(np.array(series[name]), pvalue=0.01, permutations=999)]
                   for name in ["equal", "noise_60", "noise_100", "step_20", "bump_30", "three_levels_60"]},
    "pelt": {name: changes for name, x in series.items() if (changes := pelt(x))},
    "outliers": {name: found for name, x in (series | {name: a + b for name, (a, b) in pairs.items()}).items()
                 if (found := outliers(x)) is not None},
    "chi2_20_percent": {str(n): stats.chi2.ppf(0.2, n) for n in [4, 8, 18, 38]},
}
(HERE / "python.json").write_text(json.dumps(output, indent=1) + "\n")
