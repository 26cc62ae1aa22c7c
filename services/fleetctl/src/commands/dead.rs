//! `fleetctl dead`: what was given up, without what nobody may see; and what becomes of it.
//!
//! A parked body is either fit to be seen or only a summary of what came. In `dead` lie the bodies as portals sent
//! them, which may hold numbers to match and anything else: of those, size and hash must do.

mod discard;
mod replay;

pub(super) use discard::{Which, discard};
use fleet_broker::{Broker, Letter, LetterBox, Pile};
pub(super) use replay::replay;

use super::history::date;
use crate::error::Error;
use crate::exit::Exit;
use crate::print::{Screen, Style, clean};
use crate::session::{Session, broker_error};
use crate::settings::Sections;
use crate::table::{self, Cell};

const HEADS: [&str; 7] = ["in", "id", "reason", "from queue", "portal", "bytes", "detail"];

/// How many messages of each queue are looked through.
const LOOK_LIMIT: usize = 10_000;

/// The letter boxes, in the order in which they are shown.
const BOXES: [LetterBox; 2] = [LetterBox::Dead, LetterBox::Parked];

/// Characters of the SHA-256 that name a message without an id.
const SHORT: usize = 16;

type Found = Vec<(LetterBox, Letter)>;

pub(super) async fn list(limit: u16, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let letters = visit(usize::from(limit), sections).await?;
    if letters.is_empty() {
        screen.line("no message was given up")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<Cell>> =
        letters.iter().map(|(letter_box, letter)| cells(*letter_box, letter)).collect();
    table::print(screen, &HEADS, &rows)?;
    Ok(Exit::Done)
}

pub(super) async fn show(id: &str, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let letters = visit(LOOK_LIMIT, sections).await?;
    let found: Vec<_> = letters.iter().filter(|(_, letter)| name(letter) == id).collect();
    if found.is_empty() {
        return Err(no_such(id));
    }
    for (letter_box, letter) in found {
        for (name, value) in facts(*letter_box, letter) {
            screen.spans(&[(Style::Bold, format!("{:13}", clean(&name))), (Style::Plain, clean(&value))])?;
        }
        screen.line("")?;
    }
    Ok(Exit::Done)
}

async fn visit(limit: usize, sections: &Sections) -> Result<Found, Error> {
    let session = Session::new();
    let broker = session.broker(sections)?;
    let found = read(&broker, limit).await;
    drop(broker);
    session.end().await;
    found.map_err(broker_error)
}

async fn read(broker: &Broker, limit: usize) -> Result<Found, fleet_broker::Error> {
    let mut found = Vec::new();
    for letter_box in BOXES {
        let letters = broker.browse(letter_box, limit).await?;
        found.extend(letters.into_iter().map(|letter| (letter_box, letter)));
    }
    Ok(found)
}

/// Looks through both boxes, removes the letters for which `act` says so, and leaves the others where they are.
async fn go_through<T>(
    sections: &Sections,
    act: impl AsyncFnMut(&Broker, LetterBox, &Letter) -> Result<Option<T>, Error>,
) -> Result<Vec<T>, Error> {
    let session = Session::new();
    let broker = session.broker(sections)?;
    let done = go_through_both(&broker, act).await;
    drop(broker);
    session.end().await;
    done
}

async fn go_through_both<T>(
    broker: &Broker,
    mut act: impl AsyncFnMut(&Broker, LetterBox, &Letter) -> Result<Option<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut done = Vec::new();
    for letter_box in BOXES {
        let pile = broker.take_up(letter_box, LOOK_LIMIT).await.map_err(broker_error)?;
        let gone_through = go_through_one(broker, (letter_box, &pile), &mut act, &mut done).await;
        pile.put_back().await;
        gone_through?;
    }
    Ok(done)
}

async fn go_through_one<T>(
    broker: &Broker,
    (letter_box, pile): (LetterBox, &Pile),
    act: &mut impl AsyncFnMut(&Broker, LetterBox, &Letter) -> Result<Option<T>, Error>,
    done: &mut Vec<T>,
) -> Result<(), Error> {
    for (place, letter) in pile.letters().iter().enumerate() {
        if let Some(what) = act(broker, letter_box, letter).await? {
            pile.remove(place).await.map_err(broker_error)?;
            done.push(what);
        }
    }
    Ok(())
}

/// What a message is called here: its id, or the start of its SHA-256 where it has none.
fn name(letter: &Letter) -> String {
    match &letter.message_id {
        Some(id) if !id.is_empty() => id.clone(),
        Some(_) | None => letter.sha256().chars().take(SHORT).collect(),
    }
}

fn no_such(id: &str) -> Error {
    Error::NotFound {
        what: format!("no message {} was given up", clean(id)),
        advice: "`fleetctl dead list` shows those that are",
    }
}

fn queue(letter: &Letter) -> &'static str {
    letter.queue.map_or("unknown", fleet_broker::Queue::name)
}

fn portal(letter: &Letter) -> &str {
    letter.portal.as_ref().map_or("–", |portal| portal.as_str())
}

fn cells(letter_box: LetterBox, letter: &Letter) -> Vec<Cell> {
    vec![
        Cell::text(letter_box.queue().name()),
        Cell::text(name(letter)),
        Cell::text(&letter.reason),
        Cell::text(queue(letter)),
        Cell::text(portal(letter)),
        Cell::number(letter.size()),
        Cell::text(&letter.detail),
    ]
}

fn facts(letter_box: LetterBox, letter: &Letter) -> Vec<(String, String)> {
    let mut facts = vec![
        ("id", name(letter)),
        ("in", letter_box.queue().name().to_owned()),
        ("reason", letter.reason.clone()),
        ("from queue", queue(letter).to_owned()),
        ("portal", portal(letter).to_owned()),
        ("published", letter.published_at.map(date).unwrap_or_default()),
        ("type", letter.content_type.clone().unwrap_or_default()),
        ("bytes", letter.size()),
        ("SHA-256", letter.sha256()),
        ("detail", letter.detail.clone()),
    ];
    match letter_box {
        LetterBox::Parked => facts.push(("body", String::from_utf8_lossy(&letter.body).into_owned())),
        LetterBox::Dead => {}
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_broker::Queue;
    use fleet_domain::PortalName;

    const BODY: &str = r#"{"number_match":"4711"}"#;

    pub(super) fn letter(body: &'static str) -> Letter {
        Letter {
            message_id: Some("0193".to_owned()),
            queue: Some(Queue::ChallengeVoice),
            reason: "schema_violation".to_owned(),
            detail: "data.user_id must be text".to_owned(),
            portal: PortalName::parse("operations").ok(),
            content_type: None,
            published_at: None,
            headers: [("x-mfa-size".to_owned(), "812".to_owned()), ("note".to_owned(), "4711".to_owned())]
                .into(),
            body: body.into(),
        }
    }

    #[test]
    fn the_list_shows_the_size_of_what_came_and_nothing_of_its_content() {
        let rows = [cells(LetterBox::Parked, &letter("{}"))];
        let lines = table::lines(&HEADS, &rows, false);
        assert_eq!(
            lines.join("\n"),
            "\
in      id    reason            from queue       portal      bytes  detail
parked  0193  schema_violation  challenge.voice  operations    812  data.user_id must be text"
        );
    }

    #[test]
    fn a_message_without_an_id_is_named_by_its_hash() {
        let nameless = Letter { message_id: None, ..letter("{}") };
        assert_eq!(name(&nameless), "44136fa355b3678a");
    }

    #[test]
    fn a_body_is_shown_only_where_it_was_parked() {
        let text = |letter_box| {
            let facts = facts(letter_box, &letter(BODY));
            facts.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join("\n")
        };
        assert!(!text(LetterBox::Dead).contains("4711"), "{}", text(LetterBox::Dead));
        assert!(text(LetterBox::Parked).contains(BODY));
    }
}
