//! The words of the report: the verdict first, then the tables, then a section for each scenario.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::words::{count, duration, float, markdown, number, percent};
use super::{Grid, Latencies, Report, Scenario, StoreFault, figure_name, latency};

/// Violations that are listed in sight; the rest is folded.
const IN_SIGHT: usize = 20;
/// The rule of three is a fair bound from about so many trials.
const RULE_OF_THREE_FROM: u64 = 30;

pub(super) fn write(report: &Report) -> String {
    let mut parts = vec![format!("# {}", markdown(&report.title)), verdict(report)];
    parts.extend(unreached(report));
    parts.push(summary(report));
    parts.push(bound(report));
    if !report.store_faults.is_empty() {
        parts.push("## Store faults".to_owned());
        parts.push(store_faults(&report.store_faults));
    }
    for (index, scenario) in report.scenarios.iter().enumerate() {
        parts.extend(section(index, scenario));
    }
    parts.push("## The run".to_owned());
    parts.push(run(report));
    parts.join("\n\n") + "\n"
}

/// `numbers` are the columns that are aligned to the right.
fn table(header: &[&str], numbers: Range<usize>, rows: &[Vec<String>]) -> String {
    let rule = (0..header.len()).map(|column| if numbers.contains(&column) { "---:" } else { "---" });
    let line = |cells: Vec<&str>| format!("| {} |", cells.join(" | "));
    let mut lines = vec![line(header.to_vec()), line(rule.collect())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// What the run showed, in plain words.
fn verdict(report: &Report) -> String {
    let broken: Vec<&Scenario> = report.scenarios.iter().filter(|one| !one.violations.is_empty()).collect();
    let idle: Vec<&Scenario> = report.scenarios.iter().filter(|one| one.challenges == 0).collect();
    let stores = report.store_faults.iter().filter(|one| !one.kept()).count() as u64;
    let mut sentences = Vec::new();
    if !broken.is_empty() {
        let violations = broken.iter().map(|one| one.violations.len() as u64).sum();
        let names: Vec<String> = broken.iter().map(|one| format!("“{}”", markdown(&one.name))).collect();
        sentences.push(format!(
            "**The fleet broke its promises: {} in {} ({}).**",
            count(violations, "violation"),
            of(broken.len(), report.scenarios.len(), "scenario"),
            names.join(", ")
        ));
    }
    if stores > 0 {
        let all = report.store_faults.len();
        let some = of(usize::try_from(stores).unwrap_or(all), all, "store fault");
        sentences.push(format!(
            "**After {some} a challenge was lost or doubled, or the fleet did not come back.**"
        ));
    }
    if !idle.is_empty() || report.scenarios.is_empty() {
        let some = of(idle.len(), report.scenarios.len(), "scenario");
        sentences.push(format!("**The run proves less than it should: {some} checked no challenge.**"));
    }
    if sentences.is_empty() {
        let challenges = report.scenarios.iter().map(|one| one.challenges).sum();
        let faults = report.scenarios.iter().map(Scenario::faults).sum();
        sentences.push(format!(
            "**The fleet kept its promises: no violation in {} under {}.**",
            count(challenges, "challenge"),
            count(faults, "fault"),
        ));
    }
    sentences.join("\n")
}

fn of(some: usize, all: usize, one: &str) -> String {
    format!("{some} of {}", count(all as u64, one))
}

/// Crash points that the run did not reach say nothing, and the reader should know.
fn unreached(report: &Report) -> Option<String> {
    let mut hits: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, some) in report.scenarios.iter().flat_map(|one| &one.crash_points) {
        *hits.entry(name).or_default() += some;
    }
    let names: Vec<String> =
        hits.into_iter().filter(|(_, hits)| *hits == 0).map(|(name, _)| markdown(name)).collect();
    (!names.is_empty()).then(|| format!("Crash points armed but never reached: {}.", names.join(", ")))
}

fn summary(report: &Report) -> String {
    let row = |(name, challenges, faults, violations, verdict): (String, u64, u64, u64, &str)| {
        vec![name, number(challenges), number(faults), number(violations), verdict.to_owned()]
    };
    let mut rows = Vec::new();
    let mut total = (0, 0, 0);
    for one in &report.scenarios {
        let violations = one.violations.len() as u64;
        let verdict = match (violations, one.challenges) {
            (0, 0) => "nothing checked",
            (0, _) => "kept",
            _ => "**broken**",
        };
        rows.push(row((markdown(&one.name), one.challenges, one.faults(), violations, verdict)));
        total = (total.0 + one.challenges, total.1 + one.faults(), total.2 + violations);
    }
    rows.push(row(("**all**".to_owned(), total.0, total.1, total.2, "")));
    table(&["scenario", "challenges", "faults injected", "violations", "verdict"], 1..4, &rows)
}

/// What so many trials can and cannot show.
fn bound(report: &Report) -> String {
    let violations: usize = report.scenarios.iter().map(|one| one.violations.len()).sum();
    if violations > 0 {
        return "No bound is given: with violations seen, each of them is to be explained first.".to_owned();
    }
    let per = |trials: u64, one: &str| {
        if trials < RULE_OF_THREE_FROM {
            return format!("{} are too few to bound the rate per {one}", count(trials, one));
        }
        let rate = percent(3.0 / float(trials));
        format!("0 violations in {} bound the rate below {rate} per {one}", count(trials, one))
    };
    let challenges = report.scenarios.iter().map(|one| one.challenges).sum();
    let faults = report.scenarios.iter().map(Scenario::faults).sum();
    format!(
        "What this can show: {}; {} (rule of three, 95 % confidence, for trials that are independent and alike).",
        per(challenges, "challenge"),
        per(faults, "fault")
    )
}

fn store_faults(all: &[StoreFault]) -> String {
    let row = |one: &StoreFault| {
        vec![
            markdown(&one.fault),
            duration(one.stall),
            one.recovered_after.map_or("**never**".to_owned(), duration),
            number(one.lost),
            number(one.doubled),
            number(one.late),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    table(&["fault", "stall", "recovered after", "lost", "doubled", "late"], 1..6, &rows)
}

fn section(index: usize, one: &Scenario) -> Vec<String> {
    let mut parts = vec![format!("## {}", markdown(&one.name)), one.done.trim().to_owned()];
    let lateness = one.worst_lateness.map_or("no outcome was late".to_owned(), |late| {
        format!("the latest outcome came {} late", duration(late))
    });
    parts.push(format!(
        "{} in {}, {} and {}; {lateness}.",
        count(one.challenges, "challenge"),
        duration(one.took),
        count(one.kills, "kill"),
        count(one.other_faults, "other fault"),
    ));
    parts.extend(violations(&one.violations));
    if one.timeline.is_some() {
        let file = figure_name(index, one, "timeline");
        parts.push(format!("![Faults, outcomes and challenges in flight over time]({file})"));
    }
    if !one.latencies.is_empty() {
        let file = figure_name(index, one, "latency");
        parts.push(format!("![Latency by percentile in each phase]({file})"));
        parts.push(latencies(&one.latencies));
    }
    if !one.crash_points.is_empty() {
        let hits = |hits: u64| if hits == 0 { "**0**".to_owned() } else { number(hits) };
        let rows: Vec<Vec<String>> =
            one.crash_points.iter().map(|(name, count)| vec![markdown(name), hits(*count)]).collect();
        parts.push(table(&["crash point", "hits"], 1..2, &rows));
    }
    parts.extend(one.grid.as_ref().map(grid));
    parts
}

fn grid(grid: &Grid) -> String {
    let head: Vec<&str> = core::iter::once(&grid.of).chain(&grid.columns).map(String::as_str).collect();
    let row = |(name, cells): &(String, Vec<String>)| {
        core::iter::once(name).chain(cells).map(|cell| markdown(cell)).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = grid.rows.iter().map(row).collect();
    table(&head, 0..0, &rows)
}

fn violations(all: &[String]) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let list = |some: &[String]| {
        some.iter().map(|one| format!("- {}", markdown(one))).collect::<Vec<_>>().join("\n")
    };
    let (seen, folded) = all.split_at(all.len().min(IN_SIGHT));
    let mut parts = vec![format!("**{}:**", count(all.len() as u64, "violation")), list(seen)];
    if !folded.is_empty() {
        let more = number(folded.len() as u64);
        parts.push(format!("<details><summary>{more} more</summary>\n\n{}\n\n</details>", list(folded)));
    }
    Some(parts.join("\n\n"))
}

fn latencies(phases: &[Latencies]) -> String {
    let cell = |value: Option<Duration>| value.map_or("too few".to_owned(), duration);
    let row = |phase: &Latencies| {
        let sorted = latency::sorted(&phase.each);
        let mut cells = vec![markdown(&phase.phase), number(sorted.len() as u64)];
        cells.extend([500, 990, 999].map(|per_mille| cell(latency::percentile(&sorted, per_mille))));
        cells.push(cell(sorted.last().copied()));
        cells
    };
    let rows: Vec<Vec<String>> = phases.iter().map(row).collect();
    table(&["phase", "challenges", "p50", "p99", "p99.9", "longest"], 1..6, &rows)
}

fn run(report: &Report) -> String {
    let own = [
        ("date".to_owned(), report.date.clone()),
        ("seed".to_owned(), report.seed.to_string()),
        ("took".to_owned(), duration(report.took)),
    ];
    let facts = own.iter().chain(&report.facts);
    let rows: Vec<Vec<String>> = facts.map(|(name, value)| vec![markdown(name), markdown(value)]).collect();
    table(&["fact", "value"], 0..0, &rows)
}
