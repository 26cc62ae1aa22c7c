//! The reference of the demo's scenarios: what is asked for, what the person does, and how it must end.

use std::fmt::Write as _;

use fleet_domain::Change;

use crate::demo::{Demo, Scenario, worded};

pub(crate) fn reference(demo: &Demo) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Scenarios\n\n\
         Generated from `ops/demo-data`; do not edit. What `./ops/demo` plays, and how each scenario must end. The demo fails\n\
         when one ends otherwise.\n\n\
         ## Challenges\n\n\
         What each reason means: [reasons.md](reasons.md).\n\n\
         | scenario | portal | asked for | reached | the person | result | reason | assurance |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for scenario in demo.scenarios.iter().filter(|scenario| scenario.change.is_none()) {
        let (reached, acts) = demo.cast.plays(scenario);
        let expected = &scenario.expect;
        let assurance = expected.assurance.map(|assurance| format!("`{assurance}`")).unwrap_or_default();
        writeln!(
            page,
            "| {} | {} | {} | {reached} | {acts} | `{}` | `{}` | {assurance} |",
            scenario.title,
            scenario.portal,
            asked(scenario),
            expected.result,
            expected.reason,
        )?;
    }
    page.push_str(
        "\n## Changes of enrollments\n\n\
         | scenario | portal | asked for | in the test, the person | result | reason | next step |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for scenario in &demo.scenarios {
        let Some(change) = scenario.change else { continue };
        let expected = &scenario.expect;
        let next = expected.next_step.as_ref().map(|next| format!("`{next}`")).unwrap_or_default();
        writeln!(
            page,
            "| {} | {} | {} | {} | `{}` | `{}` | {next} |",
            scenario.title,
            scenario.portal,
            changed(change, scenario),
            demo.cast.tested(scenario),
            expected.result,
            expected.reason,
        )?;
    }
    Ok(page)
}

fn changed(change: Change, scenario: &Scenario) -> String {
    let taken = scenario.with.iter().chain(&scenario.rest).map(|(field, value)| worded(field, value));
    std::iter::once(format!("`{change}`")).chain(taken).collect::<Vec<_>>().join(", ")
}

fn asked(scenario: &Scenario) -> String {
    let rest = scenario.rest.iter().map(|(field, value)| worded(field, value));
    std::iter::once(scenario.method.clone()).chain(rest).collect::<Vec<_>>().join(", ")
}
