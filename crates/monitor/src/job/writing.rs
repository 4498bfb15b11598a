//! The statistics of a source into their file, a few columns at a time where there are many.
//!
//! Invariant: the file is the same, byte for byte, however many columns are read at once, and is replaced as a whole or not at all.

use std::borrow::Cow;
use std::collections::HashMap;

use captura_archive::Stores;
use captura_archive::document::Draft;
use captura_archive::reader::Found;

use super::files::write;
use super::passes::{Group, Pass};
use super::reading::Limit;
use super::{JobError, Source};
use crate::artefact::{Statistics, jackson};
use crate::constraints::Constraints;
use crate::profile::{ColumnProfile, DatasetProfile};

/// Columns whose statistics are printed together.
const PRINTED_AT_ONCE: usize = 64;

/// What is known of all columns once their statistics are written.
pub(super) struct Written {
    /// Suggested ones.
    pub(super) constraints: Constraints,
    /// Cells with a value.
    pub(super) present: u64,
}

impl Written {
    fn of(profile: &DatasetProfile) -> Self {
        let present = profile.columns.iter().map(ColumnProfile::present).sum();
        Self { constraints: Constraints::suggest(profile), present }
    }
}

/// Writes the statistics of a pass, its columns in this order.
pub(super) async fn write_statistics(
    (stores, address): (&Stores, &str),
    pass: &mut Pass,
    from: (&[Found], &Source),
    names: &[String],
) -> Result<Written, JobError> {
    if !pass.is_of_group() {
        let profile = ordered(names, Cow::Borrowed(&pass.profile));
        write(stores, address, jackson(&Statistics::of(&profile))).await?;
        return Ok(Written::of(&profile));
    }
    let mut draft = Draft::begin(stores, address).await?;
    match write_groups(&mut draft, pass, from, names).await {
        Ok(written) => {
            draft.finish().await?;
            Ok(written)
        }
        Err(error) => {
            // What it failed with says more than what giving up may fail with.
            let _ = draft.abandon().await;
            Err(error)
        }
    }
}

async fn write_groups(
    draft: &mut Draft,
    pass: &mut Pass,
    (objects, source): (&[Found], &Source),
    names: &[String],
) -> Result<Written, JobError> {
    let empty = DatasetProfile { rows: pass.tally.rows, columns: Vec::new() };
    let (head, tail) = around(&empty);
    draft.push(head.clone().into()).await?;
    let mut written = Written::of(&empty);
    for (number, names) in names.chunks(Limit::of(source).columns).enumerate() {
        let group = Group::new(names.iter().cloned().collect());
        let profile = pass.profile_of(objects, source, (&group, &[])).await?;
        let mut profile = ordered(names, Cow::Owned(profile)).into_owned();
        let mut of_group = Written::of(&profile);
        written.present += of_group.present;
        written.constraints.features.append(&mut of_group.constraints.features);
        let mut is_first = number == 0;
        while !profile.columns.is_empty() {
            let rest = profile.columns.split_off(profile.columns.len().min(PRINTED_AT_ONCE));
            let mut text = jackson(&Statistics::of(&profile));
            text.truncate(text.len() - " ".len() - tail.len());
            text.replace_range(..head.len(), if is_first { "" } else { ", " });
            draft.push(text.into()).await?;
            (profile.columns, is_first) = (rest, false);
        }
    }
    draft.push(format!(" {tail}").into()).await?;
    Ok(written)
}

/// What stands before and behind the statistics of columns.
fn around(empty: &DatasetProfile) -> (String, String) {
    let mut head = jackson(&Statistics::of(empty));
    let end = head.rfind(']').expect("our bug: the columns are a list, and the last member");
    let tail = head.split_off(end);
    (head, tail)
}

/// The profile with its columns in this order.
fn ordered<'p>(names: &[String], profile: Cow<'p, DatasetProfile>) -> Cow<'p, DatasetProfile> {
    if profile.names().eq(names.iter().map(String::as_str)) {
        return profile;
    }
    let DatasetProfile { rows, columns } = profile.into_owned();
    let mut by_name: HashMap<String, ColumnProfile> =
        columns.into_iter().map(|column| (column.name.clone(), column)).collect();
    Cow::Owned(DatasetProfile { rows, columns: names.iter().filter_map(|name| by_name.remove(name)).collect() })
}
