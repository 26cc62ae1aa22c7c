//! Latencies of phases that are to be compared: their percentiles, and the figure of them, which gives each nine
//! the same width as the one before.

use std::time::Duration;

use super::Latencies;
use super::axis::{Panel, Scale};
use super::svg::{Anchor, Point, Svg, WIDTH};
use super::words::{float, grouped, number, shorten};

const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 24.0;
const LEGEND: f64 = 46.0;
const ROW: f64 = 17.0;
const PANEL: f64 = 250.0;
/// Colours and dashes there are; a fifth phase looks like the first.
const LOOKS: usize = 4;
/// A shorter latency is drawn as this long: a logarithm knows no zero.
const SHORTEST_MS: f64 = 0.1;
/// More names than this do not fit beside the panel.
const NAMES: usize = 14;
/// Percentiles with a place of their own on the axis.
const NAMED: [(f64, &str); 6] =
    [(0.0, "shortest"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

pub(super) fn sorted(each: &[Duration]) -> Vec<Duration> {
    let mut sorted = each.to_vec();
    sorted.sort_unstable();
    sorted
}

/// The value that this many in a thousand do not exceed. None where so few were measured that it would only be the
/// longest of them.
pub(super) fn percentile(sorted: &[Duration], per_mille: usize) -> Option<Duration> {
    if sorted.len() * 1_000_usize.saturating_sub(per_mille) < 1_000 {
        return None;
    }
    let rank = (sorted.len() * per_mille).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied()
}

pub(super) fn draw(name: &str, phases: &[Latencies]) -> String {
    let top = LEGEND + ROW * float(phases.len() as u64) + 24.0;
    let bottom = top + PANEL;
    let mut svg = Svg::new(&format!("{name}: latency"), bottom + 46.0);
    let all: Vec<Vec<Duration>> = phases.iter().map(|phase| sorted(&phase.each)).collect();
    let most = all.iter().map(Vec::len).max().unwrap_or(0);
    let nines = float(most as u64).max(100.0).log10();
    let values = || all.iter().flatten().map(|one| milliseconds(*one));
    let longest = values().fold(SHORTEST_MS, f64::max);
    let ticks = decades(values().fold(longest, f64::min), longest);
    let ends = (ticks[0].0, ticks[ticks.len() - 1].0);
    let panel = Panel {
        x: Scale { values: (0.0, nines), pixels: (LEFT, RIGHT) },
        y: Scale { values: ends, pixels: (bottom, top) },
    };
    panel.draw_y(&mut svg, &ticks);
    svg.text("", (LEFT, top - 10.0), Anchor::Start, "milliseconds (logarithmic)");
    let named: Vec<(f64, String)> = NAMED
        .into_iter()
        .map(|(share, name)| (place(share), name.to_owned()))
        .filter(|(place, _)| *place <= nines + 1e-9)
        .collect();
    panel.draw_x(&mut svg, &named, "percentile of the challenges of a phase");
    for (index, (phase, sorted)) in phases.iter().zip(&all).enumerate() {
        let look = index % LOOKS;
        let y = LEGEND + ROW * float(index as u64);
        svg.path(&format!("line s{look}"), &[(LEFT, y), (LEFT + 40.0, y)]);
        let text = format!("{} ({} challenges)", shorten(&phase.phase, 80), number(sorted.len() as u64));
        svg.text("", (LEFT + 48.0, y + 4.0), Anchor::Start, &text);
        svg.path(&format!("line s{look}"), &curve(panel, sorted));
    }
    svg.finish()
}

/// 0, 1, 2, 3 for the shares 0, 0.9, 0.99, 0.999.
fn place(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn milliseconds(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1_000.0).max(SHORTEST_MS)
}

/// One point for each latency that lies visibly beside the one before; the longest of all is the end.
fn curve(panel: Panel, sorted: &[Duration]) -> Vec<Point> {
    let count = float(sorted.len() as u64);
    let mut points: Vec<Point> = Vec::new();
    for (index, latency) in (0_u64..).zip(sorted) {
        let point = panel.point(place(float(index) / count), milliseconds(*latency).log10());
        if points.last().is_none_or(|last| point.0 - last.0 >= 0.5) {
            points.push(point);
        }
    }
    points
}

/// 1, 2 and 5 of each power of ten around the values, by their logarithm. Where these are many, only the powers have
/// names.
fn decades(least: f64, most: f64) -> Vec<(f64, String)> {
    let powers = (-1..=6).map(|power| 10_f64.powi(power));
    let steps: Vec<f64> = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * power)).collect();
    let end = steps.len() - 1;
    let from = steps.iter().rposition(|step| *step <= least).unwrap_or(0).min(end - 1);
    let to = steps.iter().position(|step| *step >= most).unwrap_or(end).max(from + 1);
    let named = |index: usize| to - from < NAMES || index.is_multiple_of(3);
    let tick =
        |index: usize| (steps[index].log10(), if named(index) { name(steps[index]) } else { String::new() });
    (from..=to).map(tick).collect()
}

fn name(milliseconds: f64) -> String {
    if milliseconds < 1.0 { format!("{milliseconds:.1}") } else { grouped(&format!("{milliseconds:.0}")) }
}
