//! `fleetctl challenge`.

use std::time::Duration;

use fleet_contracts::Outcome;
use fleet_portal_client::{Draft, PortalClient};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use crate::ask::Ask;
use crate::cli::ChallengeArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::portal;
use crate::print::{Screen, Style, seconds};
use crate::progress::{Track, style_of};
use crate::settings::Sections;

/// Between two drawings of the clock.
pub(super) const FRAME: Duration = Duration::from_millis(100);

pub(super) async fn run(
    args: &ChallengeArgs,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let client = portal::connect(&args.portal, &args.access, sections)?;
    let ask = Ask {
        user: args.user.clone(),
        method: args.method,
        target: args.target,
        number: args.number.clone(),
        within: args.within,
        application: args.application.clone(),
        locale: args.locale.clone(),
    };
    let draft = portal::draft(&client, &ask);
    if args.json {
        let outcome = portal::follow(&client, &draft, args.within, None, |_| {}).await?;
        screen.line(&outcome.to_json())?;
        return Ok(Exit::of(outcome.result));
    }
    if !args.watch {
        let id = portal::ask(&client, &draft).await?;
        screen.line(&id.to_string())?;
        return Ok(Exit::Done);
    }
    screen.line(&format!(
        "{} by {} of {}, id {}",
        args.user,
        args.method.as_str(),
        args.portal,
        draft.id()
    ))?;
    let outcome = watch(&client, &draft, args.within, screen).await?;
    print_summary(&outcome, screen)?;
    Ok(Exit::of(outcome.result))
}

/// Follows the challenge and shows each change: as a line that grows on a terminal, else as a line each.
async fn watch(
    client: &PortalClient,
    draft: &Draft,
    within: Option<Duration>,
    screen: &mut Screen,
) -> Result<Outcome, Error> {
    let (send, mut changes) = mpsc::unbounded_channel();
    let following = portal::follow(client, draft, within, None, move |outcome| {
        let _ = send.send(outcome.clone());
    });
    tokio::pin!(following);
    let began = Instant::now();
    let mut track = Track::new("");
    track.begin(Duration::ZERO);
    let live = screen.can_redraw(1);
    let mut frames = interval(FRAME);
    let mut end = None;
    loop {
        tokio::select! {
            biased;
            Some(outcome) = changes.recv() => {
                let now = began.elapsed();
                if let Some(word) = track.hear(&outcome, now).map(str::to_owned)
                    && !live
                {
                    screen.spans(&track.step(&word, now, 0))?;
                }
            }
            outcome = &mut following, if end.is_none() => end = Some(outcome),
            _ = frames.tick(), if live && end.is_none() => screen.redraw(&[track.line(began.elapsed(), 0)])?,
            else => break,
        }
    }
    if live {
        screen.redraw(&[track.line(began.elapsed(), 0)])?;
    }
    end.unwrap_or_else(|| unreachable!("the loop ends after the challenge"))
}

/// What it came to, a line for each thing that is known.
pub(super) fn print_summary(outcome: &Outcome, screen: &mut Screen) -> Result<(), Error> {
    let reason = outcome.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    let result = (style_of(outcome.result), format!("{}{reason}", outcome.result));
    screen.spans(&[(Style::Bold, "result     ".to_owned()), result])?;
    for (name, value) in facts(outcome) {
        screen.spans(&[(Style::Bold, format!("{name:11}")), (Style::Plain, value)])?;
    }
    Ok(())
}

fn facts(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(assurance) = outcome.assurance {
        facts.push(("assurance", assurance.to_string()));
    }
    for attempt in &outcome.attempts {
        let to = attempt.to.as_deref().map(|to| format!(" to {to}")).unwrap_or_default();
        let from = attempt.caller_id.as_ref().map(|id| format!(" from {} ({})", id.sent, id.step));
        let since = |time: Option<fleet_domain::Timestamp>, word: &str| {
            time.map(|time| format!(", {word} after {}", seconds(time.since(attempt.reserved_at))))
                .unwrap_or_default()
        };
        let reached = if attempt.to.is_some() { "rang" } else { "opened" };
        let reason = attempt.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        let code = attempt.provider_code.map(|code| format!(", provider code {code}")).unwrap_or_default();
        let sip = attempt.sip_status.map(|status| format!(", SIP {status}")).unwrap_or_default();
        facts.push((
            "attempt",
            format!(
                "{} {}{to}{}{}{}{reason}{code}{sip}",
                attempt.number,
                attempt.channel,
                from.unwrap_or_default(),
                since(attempt.ringing_at, reached),
                since(attempt.answered_at, "answered"),
            ),
        ));
    }
    for skipped in &outcome.skipped {
        facts
            .push(("skipped", format!("{} {}, {}", skipped.channel, target(skipped.target), skipped.reason)));
    }
    let others =
        outcome.alternatives.iter().map(|other| format!("{} {}", other.channel, target(other.target)));
    let others: Vec<String> = others.collect();
    if !others.is_empty() {
        facts.push(("or try", others.join(", ")));
    }
    if let Some(help) = &outcome.help {
        facts.push(("help", crate::print::clean(help)));
    }
    facts
}

/// A target as people write it.
pub(super) fn target(target: fleet_domain::Target) -> String {
    match target {
        fleet_domain::Target::Primary => "primary".to_owned(),
        fleet_domain::Target::Backup => "backup".to_owned(),
        fleet_domain::Target::Device(device) => device.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::approved;

    #[test]
    fn the_summary_of_a_call_says_who_was_called_from_where_and_how_fast() {
        assert_eq!(
            facts(&approved(4)),
            [
                ("assurance", "key".to_owned()),
                (
                    "attempt",
                    "1 voice to +1919*****01 from +19195550100 (local), rang after 0.53 s".to_owned()
                ),
            ]
        );
    }
}
