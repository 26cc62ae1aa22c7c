//! `fleetctl user` and `fleetctl phone`: what a help desk does about users and numbers.

use std::time::Duration;

use fleet_domain::{PhoneNumber, Timestamp, UserId};
use fleet_records::{Act, Actor, Cause, Standing};

use super::history::date;
use crate::error::Error;
use crate::exit::Exit;
use crate::print::Screen;
use crate::session::{Session, engine_error, records_error};
use crate::settings::Sections;
use crate::table::{self, Cell};

const HEADS: [&str; 5] = ["when", "what", "by", "reason", "about"];

pub(super) async fn block(
    user: &UserId,
    cause: (&str, Option<Duration>),
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let ended = block_user(user, cause, sections).await?;
    screen.line(&format!("{user} is blocked; {ended} open challenges were ended"))?;
    Ok(Exit::Done)
}

/// Blocks the user, and says how many open challenges that ended.
pub(super) async fn block_user(
    user: &UserId,
    (reason, lasting): (&str, Option<Duration>),
    sections: &Sections,
) -> Result<usize, Error> {
    let session = Session::new();
    let engine = session.engine(sections).await?;
    let blocked = async {
        let login = engine.records().login().await?;
        let until = lasting.map(|lasting| engine.now().plus(lasting));
        engine.block(user, until, (&Actor::Operator(login), reason)).await
    };
    let blocked = blocked.await;
    drop(engine);
    session.end().await;
    blocked.map_err(|error| engine_error(&error))?.ok_or_else(|| no_such(user))
}

pub(super) async fn unblock(
    user: &UserId,
    reason: &str,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let unblocked = records.unblock(user, &Cause::operator(reason)).await;
    drop(records);
    session.end().await;
    if !unblocked.map_err(|error| records_error(&error))? {
        return Err(no_such(user));
    }
    screen.line(&format!("{user} is neither blocked nor locked out"))?;
    Ok(Exit::Done)
}

pub(super) async fn opt_in(
    number: &PhoneNumber,
    reason: &str,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let opted_in = records.opt_in(number, &Cause::operator(reason)).await;
    drop(records);
    session.end().await;
    if !opted_in.map_err(|error| records_error(&error))? {
        return Err(Error::NotFound {
            what: format!("{number} is not opted out"),
            advice: "is the number right? `fleetctl user show` tells what was done to a user's numbers",
        });
    }
    screen.line(&format!("{number} may be called again"))?;
    Ok(Exit::Done)
}

pub(super) async fn show(user: &UserId, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let standing = records.standing(user).await;
    drop(records);
    session.end().await;
    let Some(standing) = standing.map_err(|error| records_error(&error))? else { return Err(no_such(user)) };
    for line in lines(user, &standing) {
        screen.line(&line)?;
    }
    if !standing.acts.is_empty() {
        table::print(screen, &HEADS, &standing.acts.iter().map(cells).collect::<Vec<_>>())?;
    }
    Ok(Exit::Done)
}

fn lines(user: &UserId, standing: &Standing) -> Vec<String> {
    let until = |at: Option<Timestamp>| {
        at.map_or("until it is lifted".to_owned(), |at| format!("until {}", date(at)))
    };
    let blocked = if standing.blocked {
        format!("{user} is blocked {}", until(standing.blocked_until))
    } else {
        format!("{user} is not blocked")
    };
    let pin = match (standing.has_pin, standing.pin_locked_until) {
        (false, _) => "no PIN is set".to_owned(),
        (true, None) => {
            format!("a PIN is set; calls with a wrong one since the last right one: {}", standing.wrong_calls)
        }
        (true, Some(at)) => format!("a PIN is set, and locked {}", until(Some(at))),
    };
    let codes = match (standing.has_totp, standing.totp_locked_until) {
        (false, _) => "no device makes one-time codes".to_owned(),
        (true, None) => format!(
            "a device makes one-time codes; challenges with a wrong one since the last right one: {}",
            standing.wrong_codes
        ),
        (true, Some(at)) => format!("a device makes one-time codes; they are locked {}", until(Some(at))),
    };
    vec![blocked, pin, codes]
}

fn cells(act: &Act) -> Vec<Cell> {
    let mut about: Vec<String> = Vec::new();
    about.extend(act.masked.clone());
    about.extend(act.until.map(|until| format!("until {}", date(until))));
    vec![
        Cell::text(date(act.at)),
        Cell::text(&act.act),
        Cell::text(&act.actor),
        Cell::text(&act.reason),
        Cell::text(about.join(", ")),
    ]
}

pub(super) fn no_such(user: &UserId) -> Error {
    Error::NotFound { what: format!("there is no user {user}"), advice: "is the id right?" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_standing_is_three_lines_and_a_table_of_acts() {
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let act = Act {
            at,
            act: "blocked".into(),
            actor: "operator dora".into(),
            reason: "stolen".into(),
            masked: None,
            until: Some(at.plus(Duration::from_hours(24))),
        };
        let standing = Standing {
            blocked: true,
            blocked_until: act.until,
            has_pin: true,
            wrong_calls: 5,
            pin_locked_until: Some(at.plus(Duration::from_mins(15))),
            has_totp: true,
            wrong_codes: 2,
            totp_locked_until: None,
            acts: vec![act],
        };
        let alice = UserId::parse("alice").unwrap();
        assert_eq!(
            lines(&alice, &standing),
            [
                "alice is blocked until 2026-09-22T14:13:20Z",
                "a PIN is set, and locked until 2026-09-21T14:28:20Z",
                "a device makes one-time codes; challenges with a wrong one since the last right one: 2"
            ]
        );
        let golden = "\
when                  what     by             reason  about
2026-09-21T14:13:20Z  blocked  operator dora  stolen  until 2026-09-22T14:13:20Z";
        assert_eq!(table::lines(&HEADS, &[cells(&standing.acts[0])], false).join("\n"), golden);
    }
}
