//! The figure of a timeline: a row of dots for each kind of kill or fault, below it outcomes and challenges in
//! flight, and vertical lines through all of them.

use std::time::Duration;

use super::Timeline;
use super::axis::{Panel, Scale, ticks};
use super::markers::{Row, rows};
use super::svg::{Anchor, Point, Svg, WIDTH};
use super::words::{duration, float};

/// Beside the figure there is room for the names of its rows and panels.
const LEFT: f64 = 224.0;
const RIGHT: f64 = WIDTH - 24.0;
const MARGIN: f64 = 16.0;
/// The middle of the first row.
const FIRST_ROW: f64 = 52.0;
const ROW: f64 = 17.0;
const OUTCOMES: f64 = 150.0;
const IN_FLIGHT: f64 = 110.0;
const GAP: f64 = 22.0;
/// Below the lower panel, for the axis of time.
const BELOW: f64 = 46.0;
/// More buckets than this could not be told apart.
const BUCKETS: usize = 450;
/// How many buckets are drawn as one: of 250 ms these make 0.5, 1, 5, 10, 60, 300 and 1,800 s.
const JOINED: [u32; 8] = [1, 2, 4, 20, 40, 240, 1_200, 7_200];
/// What is closer than this to the one before is not seen beside it.
const APART: f64 = 2.0;
/// More lines than this would hide the curves; the dots tell when it was.
const LINES: usize = 80;

pub(super) fn draw(name: &str, timeline: &Timeline) -> String {
    let buckets = timeline.outcomes.len().max(timeline.in_flight.len()).max(1);
    let joined = JOINED.into_iter().find(|joined| buckets.div_ceil(*joined as usize) <= BUCKETS);
    let joined = joined.unwrap_or(JOINED[JOINED.len() - 1]);
    let bucket = timeline.bucket.max(Duration::from_millis(1)) * joined;
    let sums =
        timeline.outcomes.chunks(joined as usize).map(|some| some.iter().map(|one| u64::from(*one)).sum());
    let outcomes: Vec<u64> = sums.collect();
    let most = timeline.in_flight.chunks(joined as usize).filter_map(|some| some.iter().max());
    let in_flight: Vec<u64> = most.map(|one| u64::from(*one)).collect();

    let rows = rows(&timeline.markers);
    let last_marker = rows.iter().flat_map(|row| &row.at).copied().fold(0.0, f64::max);
    let last = last_marker.max(bucket.as_secs_f64() * float(buckets.div_ceil(joined as usize) as u64));
    let x = Scale { values: (0.0, last), pixels: (LEFT, RIGHT) };
    let top = FIRST_ROW + ROW * float(rows.len() as u64);
    let upper = (top + OUTCOMES, top);
    let lower = (upper.0 + GAP + IN_FLIGHT, upper.0 + GAP);
    let mut svg = Svg::new(name, lower.0 + BELOW);
    let upper = panel(&mut svg, x, upper, &outcomes, &format!("outcomes per {}", duration(bucket)));
    let lower = panel(&mut svg, x, lower, &in_flight, "challenges in flight");
    draw_lines(&mut svg, x, &rows, lower.y.pixels.0);
    draw_rows(&mut svg, x, &rows);
    area(&mut svg, upper, bucket.as_secs_f64(), &outcomes);
    svg.path("line s1 solid", &steps(lower, bucket.as_secs_f64(), &in_flight));
    time_axis(&mut svg, lower, last);
    svg.finish()
}

fn panel(svg: &mut Svg, x: Scale, pixels: Point, values: &[u64], unit: &str) -> Panel {
    let most = float(values.iter().copied().max().unwrap_or(0).max(1));
    let ticks = ticks(most, 4.0, 1.0);
    let top = ticks.last().map_or(most, |(value, _)| *value);
    let panel = Panel { x, y: Scale { values: (0.0, top), pixels } };
    panel.draw_y(svg, &ticks);
    svg.text("", (MARGIN, pixels.0.midpoint(pixels.1) + 4.0), Anchor::Start, unit);
    panel
}

fn time_axis(svg: &mut Svg, panel: Panel, last: f64) {
    let (unit, seconds) = if last > 180.0 { ("minutes", 60.0) } else { ("seconds", 1.0) };
    let named = ticks(last / seconds, 10.0, 0.1).into_iter().map(|(value, name)| (value * seconds, name));
    let within: Vec<(f64, String)> = named.filter(|(value, _)| *value <= last).collect();
    panel.draw_x(svg, &within, &format!("{unit} since the start of the scenario"));
}

/// A horizontal piece for each bucket.
fn steps(panel: Panel, bucket: f64, values: &[u64]) -> Vec<Point> {
    let step = |(index, value): (u64, &u64)| {
        let (from, to) = (bucket * float(index), bucket * float(index + 1));
        [panel.point(from, float(*value)), panel.point(to, float(*value))]
    };
    (0_u64..).zip(values).flat_map(step).collect()
}

fn area(svg: &mut Svg, panel: Panel, bucket: f64, values: &[u64]) {
    let line = steps(panel, bucket, values);
    if let (Some(first), Some(last)) = (line.first(), line.last()) {
        let bottom = panel.y.pixels.0;
        let mut closed = line.clone();
        closed.extend([(last.0, bottom), (first.0, bottom)]);
        svg.path("area f0", &closed);
    }
    svg.path("line s0", &line);
}

fn draw_rows(svg: &mut Svg, x: Scale, rows: &[Row]) {
    for (index, row) in (0_u64..).zip(rows) {
        let y = FIRST_ROW + ROW * float(index);
        svg.text("label", (MARGIN, y + 4.0), Anchor::Start, &row.label);
        svg.line("grid", (LEFT, y), (RIGHT, y));
        for at in apart(row.at.iter().map(|at| x.at(*at))) {
            svg.dot("dot", (at, y));
        }
    }
}

/// From each dot down through the panels to `bottom`.
fn draw_lines(svg: &mut Svg, x: Scale, rows: &[Row], bottom: f64) {
    if rows.iter().map(|row| row.at.len()).sum::<usize>() > LINES {
        return;
    }
    for (index, row) in (0_u64..).zip(rows) {
        let y = FIRST_ROW + ROW * float(index);
        for at in &row.at {
            svg.line("marker", (x.at(*at), y), (x.at(*at), bottom));
        }
    }
}

/// Those that are seen beside the one before.
fn apart(sorted: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut seen: Vec<f64> = Vec::new();
    for at in sorted {
        if seen.last().is_none_or(|before| at - before >= APART) {
            seen.push(at);
        }
    }
    seen
}
