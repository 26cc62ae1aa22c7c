//! The table of all measurements, and their picture.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use plotters::prelude::*;

use crate::measured::Measured;

/// The picture's size in pixels.
const SIZE: (u32, u32) = (1_000, 720);

/// The report's table; the picture goes to `svg`.
pub(crate) fn report(folder: &Path, svg: &Path) -> anyhow::Result<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)?;
            let one: Measured = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            all.push(one);
        }
    }
    anyhow::ensure!(!all.is_empty(), "{} holds no measurement", folder.display());
    all.sort_by(|a, b| (a.delay_ms, &a.what).cmp(&(b.delay_ms, &b.what)));
    draw(&all, svg).map_err(|error| anyhow::anyhow!("{}: {error}", svg.display()))?;
    let setup = "Each user has one device, so each challenge is one push.";
    Ok(format!("{}\n{}\n{setup}\npicture: {}", speeds(&all), costs(&all), svg.display()))
}

fn speeds(all: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "measured",
        "provider delay",
        "challenges",
        "per second",
        "of the bare loop",
        "p50 / p99",
    ]);
    for one in all {
        let bare = all.iter().find(|other| other.what == "limit" && other.delay_ms == one.delay_ms);
        let ratio = bare.filter(|_| one.what != "limit" && one.what != "paced");
        let latencies: Vec<String> =
            one.latencies.iter().map(|(name, p50, p99)| format!("{name}: {p50:.1} / {p99:.1} ms")).collect();
        table.add_row([
            one.what.clone(),
            format!("{} ms", one.delay_ms),
            one.count.to_string(),
            format!("{:.0}", one.per_second()),
            ratio.map_or(String::new(), |bare| {
                format!("{:.0} %", 100.0 * one.per_second() / bare.per_second())
            }),
            latencies.join("\n"),
        ]);
    }
    table.to_string()
}

fn costs(all: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "measured",
        "provider delay",
        "CPU s per 1,000",
        "memory, MiB",
        "WAL bytes each",
        "HOT",
    ]);
    for one in all {
        let lines = |values: &std::collections::BTreeMap<String, f64>, digits: usize| {
            let lines: Vec<String> =
                values.iter().map(|(name, value)| format!("{name} {value:.digits$}")).collect();
            lines.join("\n")
        };
        table.add_row([
            one.what.clone(),
            format!("{} ms", one.delay_ms),
            lines(&one.cpu_s_per_1000, 3),
            lines(&one.rss_mib, 0),
            one.wal_bytes.map_or(String::new(), |bytes| format!("{bytes:.0}")),
            one.hot_share.map_or(String::new(), |share| format!("{:.0} %", share * 100.0)),
        ]);
    }
    table.to_string()
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(all: &[Measured], svg: &Path) -> Drawn {
    let root = SVGBackend::new(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(SIZE.1 / 2);
    draw_throughput(all, &upper)?;
    draw_latency(all, &lower)?;
    root.present()?;
    Ok(())
}

fn draw_throughput(all: &[Measured], area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn {
    let curves: Vec<&Measured> = all.iter().filter(|one| !one.curve.is_empty()).collect();
    let longest = curves.iter().flat_map(|one| &one.curve).map(|(at, _)| *at).fold(0.1, f64::max);
    let most = curves.iter().flat_map(|one| &one.curve).map(|(_, done)| *done).max().unwrap_or(1);
    let mut chart = ChartBuilder::on(area)
        .caption("A backlog drains: challenges done over time", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..longest, 0..most)?;
    chart.configure_mesh().x_desc("seconds").y_desc("challenges").draw()?;
    for (index, one) in curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let name = format!("{}, {} ms: {:.0}/s", one.what, one.delay_ms, one.per_second());
        chart
            .draw_series(LineSeries::new(one.curve.iter().copied(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

fn draw_latency(all: &[Measured], area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn {
    let bars: Vec<(String, f64)> = all
        .iter()
        .flat_map(|one| {
            one.latencies.iter().flat_map(|(name, p50, p99)| {
                let label = format!("{name}, {} ms", one.delay_ms);
                [(format!("{label}, p50"), *p50), (format!("{label}, p99"), *p99)]
            })
        })
        .collect();
    let highest = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max) * 1.15;
    let count = i32::try_from(bars.len())?;
    let mut chart = ChartBuilder::on(area)
        .caption("At a fixed rate: milliseconds from the portal's publish", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(12)
        .y_label_area_size(64)
        .build_cartesian_2d(0..count.max(1), 0.0..highest)?;
    chart.configure_mesh().disable_x_mesh().disable_x_axis().y_desc("ms").draw()?;
    for (index, (label, value)) in (0_i32..).zip(&bars) {
        let color = Palette99::pick(usize::try_from(index / 2)?);
        let bar = Rectangle::new([(index, 0.0), (index + 1, *value)], color.mix(0.6).filled());
        chart.draw_series(std::iter::once(bar))?;
        let text = format!("{label}: {value:.1}");
        let style = ("sans-serif", 11).into_font().transform(FontTransform::None);
        chart.draw_series(std::iter::once(Text::new(text, (index, value + highest * 0.02), style)))?;
    }
    Ok(())
}
