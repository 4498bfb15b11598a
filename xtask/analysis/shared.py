"""What the jobs of the other tools have in common: PSI over tenths of the reference, and the exact two-sample KS distance."""

import numpy as np

COLUMNS = [f"f{place}" for place in range(30)] + ["p"]
QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]


def edges(reference):
    return np.quantile(reference, np.linspace(0, 1, 11))[1:-1]


def stability(counts, reference):
    now, then = (np.maximum(part / part.sum(), 1e-4) for part in (counts, reference))
    return float(((now - then) * np.log(now / then)).sum())


def in_bins(values, bounds):
    """Counts of sorted values between bounds."""
    return np.diff(np.r_[0, np.searchsorted(values, bounds), len(values)])


def kolmogorov_smirnov(values, reference):
    """Of sorted samples."""
    steps, counts = np.unique(reference, return_counts=True)
    high = np.cumsum(counts) / len(reference)
    low = np.r_[0, high[:-1]]
    above = np.searchsorted(values, steps, side="right") / len(values)
    below = np.searchsorted(values, steps) / len(values)
    return float(max(np.abs(above - high).max(), np.abs(below - low).max()))


def described(values, reference):
    """Extremes, quantiles, distinct values, histogram and distances of a column without gaps, from one sort."""
    values, reference = np.sort(values), np.sort(reference)
    bounds = edges(reference)
    inner = np.linspace(values[0], values[-1], 11)[1:-1]
    return {
        "min": values[0],
        "max": values[-1],
        "quantiles": values[(np.array(QUANTILES) * (len(values) - 1)).astype(int)].tolist(),
        "distinct": int((np.diff(values) != 0).sum() + 1),
        "histogram": in_bins(values, inner).tolist(),
        "psi": stability(in_bins(values, bounds), in_bins(reference, bounds)),
        "ks": kolmogorov_smirnov(values, reference),
    }
