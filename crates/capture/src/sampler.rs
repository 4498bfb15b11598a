//! Which calls leave a record, decided before the model runs.
//!
//! The decision is a function of the event id and of a salt that the data directory keeps, so anyone with both can check
//! it afterwards, and no caller who does not know the salt can choose to be (or not to be) captured:
//!
//! ```text
//! h    = the first eight bytes of SHA-256(salt ‖ event id), little endian
//! kept = ⌊h × 100 / 2⁶⁴⌋ < percentage
//! ```
//!
//! Invariant: the same event id, salt and percentage give the same answer for ever, and raising the percentage only adds
//! calls. Failed calls follow the same sample, because the decision is older than the failure.
//! Refuses to: look at the request.

use captura_names::{EventId, Percent};
use sha2::{Digest as _, Sha256};

/// Secret of a data directory that sampling starts from.
pub type Salt = [u8; 16];

/// Whether the call of that id is kept.
#[must_use]
pub fn keeps(event_id: &EventId, salt: &Salt, sampling: Percent) -> bool {
    match sampling.get() {
        0 => false,
        100.. => true,
        percentage => {
            let digest = Sha256::new_with_prefix(salt).chain_update(event_id.as_bytes()).finalize();
            let hash = u64::from_le_bytes(digest[..8].try_into().expect("our bug: a SHA-256 digest has 32 bytes"));
            (u128::from(hash) * 100) >> 64 < u128::from(percentage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> EventId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        EventId::from_bytes(bytes)
    }

    fn percent(number: i64) -> Percent {
        Percent::try_from(number).unwrap()
    }

    #[test]
    fn all_and_nothing_are_exact() {
        for number in 0..1_000 {
            assert!(keeps(&id(number), &[1; 16], Percent::ALL));
            assert!(!keeps(&id(number), &[1; 16], percent(0)));
        }
    }

    #[test]
    fn shares_come_out_and_a_higher_percentage_only_adds() {
        for percentage in [1, 10, 50, 99] {
            let kept = (0..20_000).filter(|number| keeps(&id(*number), &[7; 16], percent(percentage))).count();
            let expected = 200 * percentage as usize;
            assert!(kept.abs_diff(expected) < 450, "{percentage} % kept {kept} of 20000");
        }
        for number in 0..2_000 {
            assert!(!keeps(&id(number), &[7; 16], percent(20)) || keeps(&id(number), &[7; 16], percent(21)));
        }
    }

    #[test]
    fn the_function_never_changes() {
        let kept: Vec<u64> = (0..20).filter(|number| keeps(&id(*number), &[0; 16], percent(30))).collect();
        assert_eq!(kept, KEPT_OF_THE_FIRST_TWENTY);
    }

    const KEPT_OF_THE_FIRST_TWENTY: [u64; 4] = [2, 7, 8, 18];
}
