//! The kills and faults of a timeline, grouped by label: a row for each, so that no label meets another however
//! many there are.

use std::collections::BTreeMap;

use super::Marker;
use super::words::{number, shorten};

/// Rows there is room for.
const ROWS: usize = 8;
/// The longest label that fits beside its row.
const CHARACTERS: usize = 26;

/// Moments that share a label.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// With how often it happened, if that was more than once.
    pub(super) label: String,
    /// In seconds since the scenario's start, in order.
    pub(super) at: Vec<f64>,
}

/// One row for each label, by when it first happened. Where there are too many labels, the rarest share the last row.
pub(super) fn rows(markers: &[Marker]) -> Vec<Row> {
    let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for marker in markers {
        kinds.entry(&marker.label).or_default().push(marker.at.as_secs_f64());
    }
    let mut kinds: Vec<(String, Vec<f64>)> =
        kinds.into_iter().map(|(label, at)| (label.to_owned(), at)).collect();
    let mut others = Vec::new();
    if kinds.len() > ROWS {
        kinds.sort_by_key(|(_, at)| std::cmp::Reverse(at.len()));
        others = kinds.split_off(ROWS - 1);
    }
    for (_, at) in &mut kinds {
        at.sort_by(f64::total_cmp);
    }
    kinds.sort_by(|(_, a), (_, b)| a[0].total_cmp(&b[0]));
    if !others.is_empty() {
        let label = format!("{} rarer kinds", others.len());
        let mut at: Vec<f64> = others.into_iter().flat_map(|(_, at)| at).collect();
        at.sort_by(f64::total_cmp);
        kinds.push((label, at));
    }
    kinds.into_iter().map(|(label, at)| Row { label: named(&label, at.len()), at }).collect()
}

fn named(label: &str, times: usize) -> String {
    let label = shorten(label, CHARACTERS);
    if times == 1 { label } else { format!("{label} × {}", number(times as u64)) }
}
