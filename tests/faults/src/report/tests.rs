//! The words of a report, compared with `snapshot.md`, and what holds for every figure.
//!
//! To renew the snapshot after a change of the words: `UPDATE_GOLDEN=1 cargo test -p fleet-faults`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{
    Grid, Latencies, Marker, Report, Scenario, StoreFault, Timeline, latency, markdown, markers, timeline,
    words,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn markers(count: u64, kinds: u64, apart: u64) -> Vec<Marker> {
    (0..count)
        .map(|n| Marker { at: ms(n * apart), label: format!("kill worker {}", n * 7 % kinds) })
        .collect()
}

fn timeline_of(buckets: u32, markers: Vec<Marker>) -> Timeline {
    let wave = |height: u32| (0..buckets).map(move |n| n * 7_919 % height).collect();
    Timeline { bucket: ms(250), outcomes: wave(60), in_flight: wave(2_000), markers }
}

fn phase(phase: &str, count: u64) -> Latencies {
    Latencies { phase: phase.to_owned(), each: (1..=count).rev().map(ms).collect() }
}

fn kept() -> Scenario {
    Scenario {
        name: "random kills".to_owned(),
        done: "Processes of every kind were killed at random moments, and started again.".to_owned(),
        challenges: 1_500,
        kills: 300,
        other_faults: 1,
        crash_points: [("c1 delivered".to_owned(), 41), ("c4 posted".to_owned(), 0)].into(),
        took: ms(61_500),
        timeline: Some(timeline_of(240, markers(30, 5, 2_000))),
        ..Scenario::default()
    }
}

fn broken() -> Scenario {
    Scenario {
        name: "hostile | messages".to_owned(),
        done: "A portal sent messages that it should not.".to_owned(),
        challenges: 200,
        other_faults: 1,
        violations: (1..=22).map(|n| format!("challenge {n}: called *twice*\nas <b>x</b>")).collect(),
        worst_lateness: Some(ms(4_321)),
        took: ms(9_000),
        latencies: vec![phase("before", 50), phase("with hostile messages", 1_000)],
        ..Scenario::default()
    }
}

fn store_fault() -> StoreFault {
    StoreFault {
        fault: "Redis frozen for 10 s".to_owned(),
        stall: ms(10_250),
        recovered_after: Some(ms(640)),
        late: 12,
        ..StoreFault::default()
    }
}

fn report(scenarios: Vec<Scenario>) -> Report {
    Report {
        title: "Fault report".to_owned(),
        date: "2026-11-24 08:30 UTC".to_owned(),
        seed: 42,
        took: ms(754_000),
        facts: vec![("RabbitMQ".to_owned(), "3.10.8".to_owned())],
        scenarios,
        store_faults: vec![store_fault()],
    }
}

#[test]
fn the_words_of_a_report_are_those_of_the_snapshot() {
    let written = markdown::write(&report(vec![kept(), broken()]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/snapshot.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &written).unwrap();
    }
    let snapshot = fs::read_to_string(&path).unwrap();
    let first = written.lines().zip(snapshot.lines()).find(|(now, then)| now != then);
    assert!(written == snapshot, "first difference: {first:?}");
}

#[test]
fn a_report_says_at_the_top_whether_promises_were_kept() {
    let top = |report: &Report| markdown::write(report).split("\n\n").nth(1).unwrap().to_owned();
    let idle = Scenario { name: "idle".to_owned(), ..Scenario::default() };
    let lost = Report { store_faults: vec![StoreFault { lost: 1, ..store_fault() }], ..report(vec![kept()]) };
    let away = Report {
        store_faults: vec![StoreFault { recovered_after: None, ..store_fault() }],
        ..report(vec![kept()])
    };
    let cases = [
        (
            report(vec![kept()]),
            true,
            "The fleet kept its promises: no violation in 1,500 challenges under 301 faults.",
        ),
        (
            report(vec![kept(), broken()]),
            false,
            "The fleet broke its promises: 22 violations in 1 of 2 scenarios",
        ),
        (report(vec![kept(), idle]), false, "1 of 2 scenarios checked no challenge"),
        (report(Vec::new()), false, "0 of 0 scenarios checked no challenge"),
        (lost, false, "After 1 of 1 store fault a challenge was lost or doubled"),
        (away, false, "the fleet did not come back"),
    ];
    for (report, passed, says) in cases {
        assert_eq!(report.passed(), passed, "{says}");
        let top = top(&report);
        assert!(top.contains(says), "{top}");
        assert_eq!(top.contains("kept"), passed, "{top}");
    }
}

#[test]
fn a_bound_is_given_by_the_rule_of_three_and_only_where_it_holds() {
    let with = |challenges, kills| {
        markdown::write(&report(vec![Scenario { challenges, kills, other_faults: 0, ..kept() }]))
    };
    let many = with(1_500, 300);
    assert!(
        many.contains("0 violations in 1,500 challenges bound the rate below 0.20 % per challenge"),
        "{many}"
    );
    assert!(many.contains("0 violations in 300 faults bound the rate below 1.0 % per fault"), "{many}");
    assert!(with(1_500, 29).contains("29 faults are too few to bound the rate per fault"));
    assert!(markdown::write(&report(vec![broken()])).contains("No bound is given"));
}

#[test]
fn a_crash_point_counts_as_reached_where_any_scenario_reached_it() {
    let reached = Scenario { crash_points: [("c4 posted".to_owned(), 1)].into(), ..kept() };
    assert!(markdown::write(&report(vec![kept()])).contains("armed but never reached: c4 posted."));
    assert!(!markdown::write(&report(vec![kept(), reached])).contains("never reached"));
}

#[test]
fn a_grid_is_a_table_of_things_by_conditions() {
    let row = |name: &str, word: &str| (name.to_owned(), vec![word.to_owned(), "–".to_owned()]);
    let grid = Grid {
        of: "change".to_owned(),
        columns: vec!["e1-delivered".to_owned(), "e3-test-begun".to_owned()],
        rows: vec![row("block", "done"), row("a | b", "broken")],
    };
    let written = markdown::write(&report(vec![Scenario { grid: Some(grid), ..kept() }]));
    assert!(
        written
            .contains("| change | e1-delivered | e3-test-begun |\n| --- | --- | --- |\n| block | done | – |")
    );
    assert!(written.contains("| a \\| b | broken | – |"), "{written}");
}

/// Figures of all shapes of data.
fn figures() -> Vec<String> {
    let nasty = "<script>alert('&amp;')</script> \u{0} ]]>";
    let foreign = Marker { at: ms(1), label: nasty.to_owned() };
    let zeros = Timeline { outcomes: vec![0; 3], in_flight: vec![0; 3], ..timeline_of(0, Vec::new()) };
    let beyond = Timeline { outcomes: vec![u32::MAX; 9], ..timeline_of(3, markers(3, 3, 90_000)) };
    vec![
        timeline::draw("nothing", &Timeline::default()),
        timeline::draw("zeros", &zeros),
        timeline::draw("beyond the last bucket", &beyond),
        timeline::draw(nasty, &timeline_of(1, vec![foreign])),
        timeline::draw("thirty", &timeline_of(240, markers(30, 8, 2_000))),
        timeline::draw("thirty of a kind each", &timeline_of(240, markers(30, 30, 10))),
        timeline::draw("an hour", &timeline_of(14_400, markers(1_200, 5, 3_000))),
        latency::draw("no phase", &[]),
        latency::draw(nasty, &[phase(nasty, 0), phase("one", 1), phase("many", 20_000)]),
        latency::draw("zero", &[Latencies { phase: "zero".to_owned(), each: vec![Duration::ZERO; 200] }]),
        latency::draw("endless", &[Latencies { phase: "endless".to_owned(), each: vec![Duration::MAX; 2] }]),
    ]
}

#[test]
fn every_figure_is_well_formed_and_has_finite_numbers() {
    for figure in figures() {
        let parsed = roxmltree::Document::parse(&figure).unwrap_or_else(|error| panic!("{error}\n{figure}"));
        let ours = ["svg", "title", "style", "rect", "line", "circle", "path", "text"];
        for element in parsed.descendants().filter(roxmltree::Node::is_element) {
            assert!(ours.contains(&element.tag_name().name()), "{element:?}");
            for attribute in element.attributes() {
                assert!(
                    !attribute.value().contains("NaN") && !attribute.value().contains("inf"),
                    "{element:?}"
                );
            }
        }
    }
}

#[test]
fn no_text_of_a_figure_covers_another_or_leaves_the_page() {
    for figure in figures() {
        let parsed = roxmltree::Document::parse(&figure).unwrap();
        let page: f64 = parsed.root_element().attribute("width").unwrap().parse().unwrap();
        let mut boxes: Vec<(f64, f64, f64, &str)> = Vec::new();
        for text in parsed.descendants().filter(|node| node.has_tag_name("text")) {
            let number = |name| text.attribute(name).unwrap().parse::<f64>().unwrap();
            let words = text.text().unwrap_or_default();
            // The heading is larger than the rest, and alone in its line.
            let width = words::float(words.chars().count() as u64) * 6.0;
            let left = match text.attribute("text-anchor").unwrap() {
                "start" => number("x"),
                "middle" => number("x") - width / 2.0,
                _ => number("x") - width,
            };
            assert!(left >= 0.0 && left + width <= page, "{words} leaves the page");
            for (other_left, other_right, y, other) in &boxes {
                let apart =
                    (number("y") - y).abs() >= 11.0 || left >= *other_right || left + width <= *other_left;
                assert!(apart, "“{words}” covers “{other}”");
            }
            boxes.push((left, left + width, number("y"), words));
        }
    }
}

#[test]
fn markers_share_rows_by_label_and_the_rarest_share_one() {
    let few = markers::rows(&markers(30, 5, 1_000));
    assert_eq!(few.len(), 5);
    assert_eq!((few[0].label.as_str(), few[0].at.len()), ("kill worker 0 × 6", 6));
    let many = markers::rows(&markers(100, 30, 1_000));
    assert_eq!((many.len(), many[7].label.as_str()), (8, "23 rarer kinds × 72"));
    assert_eq!(many.iter().map(|row| row.at.len()).sum::<usize>(), 100, "none is left out");
}

#[test]
fn a_long_timeline_joins_buckets_and_says_so() {
    let figure = timeline::draw("an hour", &timeline_of(14_400, Vec::new()));
    assert!(figure.contains("outcomes per 10 s") && figure.contains("minutes since the start"), "{figure}");
}

#[test]
fn a_percentile_is_given_only_where_enough_was_measured() {
    let sorted = |count| latency::sorted(&phase("", count).each);
    assert_eq!(latency::percentile(&sorted(1_000), 500), Some(ms(500)));
    assert_eq!(latency::percentile(&sorted(1_000), 990), Some(ms(990)));
    assert_eq!(latency::percentile(&sorted(1_000), 999), Some(ms(999)));
    assert_eq!(latency::percentile(&sorted(999), 999), None);
    assert_eq!(latency::percentile(&sorted(99), 990), None);
    assert_eq!(latency::percentile(&sorted(0), 500), None);
}

#[test]
fn durations_are_told_in_the_unit_that_reads_best() {
    let cases = [
        (ms(0), "0 s"),
        (Duration::from_micros(840), "0.8 ms"),
        (ms(250), "250 ms"),
        (ms(1_000), "1 s"),
        (ms(4_321), "4.3 s"),
        (ms(59_960), "1 min"),
        (ms(61_500), "1 min 2 s"),
        (ms(3_599_700), "1 h"),
        (ms(3_780_000), "1 h 3 min"),
    ];
    for (value, told) in cases {
        assert_eq!(words::duration(value), told);
    }
}

#[test]
fn a_written_report_has_every_figure_that_it_shows() {
    let folder = std::env::temp_dir().join(format!("fleet-faults-report-{}", std::process::id()));
    let path = report(vec![kept(), broken()]).write(&folder).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let shown: BTreeSet<String> =
        text.split("](").skip(1).map(|rest| rest[..rest.find(')').unwrap()].to_owned()).collect();
    let there = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = there.filter(|name| name != "report.md").collect();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(shown, there);
    assert_eq!(there.len(), 2);
}
