//! How far attributions are off because not every subset was asked.
//!
//! A jackknife: the fit is made again without each of some groups of the subsets that chance chose, and how far the fits lie
//! apart tells how far another draw would have led. It knows nothing of a model that answers differently each time.

use super::{Coalitions, attributions};

/// Groups that are left out in turn.
const GROUPS: usize = 10;
/// Subsets by chance below which nothing can be told.
const BY_CHANCE_MIN: usize = 2 * GROUPS;

/// Standard deviations of what [`attributions`] says to the same, in its order: zeros where every subset was asked, nothing
/// where too few were drawn to tell.
#[must_use]
pub fn deviations(coalitions: &Coalitions, gains: &[f64], whole: &[f64]) -> Option<Vec<f64>> {
    let fitted = |of: &Coalitions| attributions(of, gains, whole);
    if coalitions.is_exhaustive() {
        return Some(vec![0.0; coalitions.features() * whole.len()]);
    }
    if coalitions.by_chance() < BY_CHANCE_MIN {
        return None;
    }
    let fits: Vec<Vec<f64>> = (0..GROUPS).map(|group| fitted(&coalitions.without(group, GROUPS))).collect();
    let deviation = |place: usize| {
        let mean = fits.iter().map(|fit| fit[place]).sum::<f64>() / GROUPS as f64;
        let squares: f64 = fits.iter().map(|fit| (fit[place] - mean).powi(2)).sum();
        (squares * (GROUPS - 1) as f64 / GROUPS as f64).sqrt()
    };
    Some((0..fits[0].len()).map(deviation).collect())
}
