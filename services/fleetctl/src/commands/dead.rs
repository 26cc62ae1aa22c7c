//! `fleetctl dead`: what was given up, without what nobody may see.
//!
//! A parked body is either fit to be seen or only a summary of what came. In `dead` lie the bodies as portals sent
//! them, which may hold numbers to match and anything else: of those, size and hash must do.

use fleet_broker::{Broker, Letter, LetterBox};

use super::history::date;
use crate::error::Error;
use crate::exit::Exit;
use crate::print::{Screen, Style, clean};
use crate::session::{Session, broker_error};
use crate::settings::Sections;
use crate::table::{self, Cell};

const HEADS: [&str; 7] = ["in", "id", "reason", "from queue", "portal", "bytes", "detail"];

/// How many messages are looked through for one.
const SHOW_LIMIT: usize = 10_000;

/// The header with the size of the body as it came.
const SIZE_HEADER: &str = "x-mfa-size";
/// The header with the SHA-256 of the body as it came.
const SHA256_HEADER: &str = "x-mfa-sha256";

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
    let letters = visit(SHOW_LIMIT, sections).await?;
    let found: Vec<_> =
        letters.iter().filter(|(_, letter)| letter.message_id.as_deref() == Some(id)).collect();
    if found.is_empty() {
        return Err(Error::NotFound {
            what: format!("no message {} was given up", clean(id)),
            advice: "`fleetctl dead list` shows those that are",
        });
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
    for letter_box in [LetterBox::Dead, LetterBox::Parked] {
        let letters = broker.browse(letter_box, limit).await?;
        found.extend(letters.into_iter().map(|letter| (letter_box, letter)));
    }
    Ok(found)
}

/// Bytes of the body as it came.
fn size(letter: &Letter) -> String {
    letter.headers.get(SIZE_HEADER).cloned().unwrap_or_else(|| letter.body.len().to_string())
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
        Cell::text(letter.message_id.as_deref().unwrap_or("–")),
        Cell::text(&letter.reason),
        Cell::text(queue(letter)),
        Cell::text(portal(letter)),
        Cell::number(size(letter)),
        Cell::text(&letter.detail),
    ]
}

fn facts(letter_box: LetterBox, letter: &Letter) -> Vec<(String, String)> {
    let sha256 = letter.headers.get(SHA256_HEADER).cloned();
    let mut facts = vec![
        ("id", letter.message_id.clone().unwrap_or_default()),
        ("in", letter_box.queue().name().to_owned()),
        ("reason", letter.reason.clone()),
        ("from queue", queue(letter).to_owned()),
        ("portal", portal(letter).to_owned()),
        ("published", letter.published_at.map(date).unwrap_or_default()),
        ("type", letter.content_type.clone().unwrap_or_default()),
        ("bytes", size(letter)),
        ("SHA-256", sha256.unwrap_or_else(|| fleet_keys::sha256_hex(&letter.body))),
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

    fn letter(body: &'static str) -> Letter {
        Letter {
            message_id: Some("0193".to_owned()),
            queue: Some(Queue::ChallengeVoice),
            reason: "schema_violation".to_owned(),
            detail: "data.user_id must be text".to_owned(),
            portal: PortalName::parse("operations").ok(),
            content_type: None,
            published_at: None,
            headers: [(SIZE_HEADER.to_owned(), "812".to_owned()), ("note".to_owned(), "4711".to_owned())]
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
    fn a_body_is_shown_only_where_it_was_parked() {
        let text = |letter_box| {
            let facts = facts(letter_box, &letter(BODY));
            facts.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(
                "
",
            )
        };
        assert!(!text(LetterBox::Dead).contains("4711"), "{}", text(LetterBox::Dead));
        assert!(text(LetterBox::Parked).contains(BODY));
    }
}
