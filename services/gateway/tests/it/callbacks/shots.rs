//! What is sent: each kind of request that must not approve anything.

use super::{Call, Calls, Fields, Secret, owned, signed};
use crate::hostile::Random;
use crate::support::signature_by;

/// How a request that the carrier has not signed, or not for this call, differs from one that would count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Forged {
    UrlByte,
    SignatureByte,
    ValueByte,
    NameByte,
    FieldMissing,
    FieldAdded,
    FieldTwice,
    OtherAccount,
    OtherAlgorithm,
    Unsigned,
    OtherCallsToken,
    OtherAttemptsToken,
}

impl Forged {
    const ALL: [Self; 12] = [
        Self::UrlByte,
        Self::SignatureByte,
        Self::ValueByte,
        Self::NameByte,
        Self::FieldMissing,
        Self::FieldAdded,
        Self::FieldTwice,
        Self::OtherAccount,
        Self::OtherAlgorithm,
        Self::Unsigned,
        Self::OtherCallsToken,
        Self::OtherAttemptsToken,
    ];
}

/// How a request that the carrier has signed differs from one that would count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Real {
    ForeignCall,
    NoSuchAttempt,
    OtherRound,
    WrongEntry,
    Unfinished,
    /// The same text is signed, but its fields begin and end elsewhere.
    Resplit,
    Replayed,
    ReplayedAHundredTimes,
    AfterDeadline,
    AfterEnd,
}

impl Real {
    const ALL: [Self; 10] = [
        Self::ForeignCall,
        Self::NoSuchAttempt,
        Self::OtherRound,
        Self::WrongEntry,
        Self::Unfinished,
        Self::Resplit,
        Self::Replayed,
        Self::ReplayedAHundredTimes,
        Self::AfterDeadline,
        Self::AfterEnd,
    ];
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Forged(Forged),
    Real(Real),
}

impl Kind {
    pub(crate) const COUNT: usize = Forged::ALL.len() + Real::ALL.len();

    /// Forged ones are turned away, and what the carrier has signed is no server error.
    pub(crate) fn may_be_answered(self, status: u16) -> bool {
        match self {
            Self::Forged(_) => matches!(status, 403 | 404),
            Self::Real(Real::Resplit) => matches!(status, 200 | 400 | 403),
            Self::Real(_) => matches!(status, 200 | 204),
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) fields: Fields,
    pub(crate) signature: Option<String>,
    pub(crate) signature_settings: Option<&'static str>,
}

fn shot(kind: Kind, url: String, fields: Fields) -> Shot {
    let signature = Some(signed(&url, &fields));
    Shot { kind, url, fields, signature, signature_settings: None }
}

fn pick<'a, T>(random: &mut Random, all: &'a [T]) -> &'a T {
    &all[random.below(all.len())]
}

/// A request that would approve, or otherwise move this call.
fn effective(random: &mut Random, call: &Call) -> (String, Fields) {
    let word = *pick(random, &["completed", "no-answer", "busy", "failed", "canceled", "in-progress"]);
    match random.below(4) {
        0 => (call.url.clone(), call.fields(&[("AnsweredBy", "machine_start")])),
        1 => (format!("{}/status", call.url), call.fields(&[("CallStatus", word)])),
        _ => (call.input(2), call.right()),
    }
}

/// One request of a random kind, or the same a hundred times.
pub(crate) fn next(random: &mut Random, calls: &Calls) -> Vec<Shot> {
    // Most are forged, and few come in hundreds.
    if random.below(5) > 0 {
        let kind = *pick(random, &Forged::ALL);
        return vec![forged(random, kind, calls)];
    }
    let kind = *pick(random, &Real::ALL);
    let few = kind == Real::ReplayedAHundredTimes && random.below(50) > 0;
    real(random, if few { Real::Replayed } else { kind }, calls)
}

fn forged(random: &mut Random, kind: Forged, calls: &Calls) -> Shot {
    let call = pick(random, &calls.live);
    let (url, fields) = effective(random, call);
    let mut shot = shot(Kind::Forged(kind), url, fields);
    let place = random.below(shot.fields.len());
    match kind {
        Forged::UrlByte => shot.url = with_other_byte(random, &shot.url, "https://mfa.example.org/".len()),
        Forged::SignatureByte => {
            shot.signature = shot.signature.map(|text| with_other_byte(random, &text, 0));
        }
        Forged::ValueByte => shot.fields[1].1 = with_other_byte(random, &shot.fields[1].1, 0),
        Forged::NameByte => shot.fields[place].0 = with_other_byte(random, &shot.fields[place].0, 0),
        Forged::FieldMissing => drop(shot.fields.remove(place)),
        Forged::FieldAdded => shot.fields.insert(place, ("ForwardedFrom".into(), String::new())),
        Forged::FieldTwice => {
            let (name, value) = shot.fields[place].clone();
            shot.fields.insert(random.below(2) * shot.fields.len(), (name, format!("{value}1")));
        }
        Forged::OtherAccount => {
            let fields: Vec<(&str, &str)> =
                shot.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            shot.signature = Some(signature_by("5f9c1d7e2ab84c06b3d5e8f7a1902c6d", &shot.url, &fields));
        }
        Forged::OtherAlgorithm => {
            let settings = ["algorithm=HMAC_SHA256", "key=K1,algorithm=HMAC_SHA256", "algorithm=none"];
            shot.signature_settings = Some(*pick(random, &settings));
        }
        Forged::OtherCallsToken => {
            let other = calls.live.iter().find(|other| other.key != call.key).expect("several calls");
            shot = with_token(call, &other.url, &shot);
        }
        Forged::OtherAttemptsToken => shot = with_token(call, &call.next_url, &shot),
        Forged::Unsigned => shot.signature = None,
    }
    shot
}

/// Signed by the carrier, under the token of another URL.
fn with_token(call: &Call, other: &str, original: &Shot) -> Shot {
    let token = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
    shot(original.kind, original.url.replace(&token(&call.url), &token(other)), original.fields.clone())
}

fn real(random: &mut Random, kind: Real, calls: &Calls) -> Vec<Shot> {
    let live = pick(random, &calls.live);
    let victim = pick(random, &calls.victims);
    let (url, fields) = match kind {
        Real::ForeignCall => {
            let (url, mut fields) = effective(random, live);
            let unknown = format!("CA{:032x}", random.below(1 << 60));
            fields[1].1.clone_from(pick(random, &[victim.sid.clone(), unknown]));
            (url, fields)
        }
        Real::NoSuchAttempt => {
            let (url, fields) = effective(random, live);
            (url.replace(&live.url, &live.next_url), fields)
        }
        Real::OtherRound => (live.input(*pick(random, &[0, 1, 3, 4, 254, 255])), live.right()),
        Real::WrongEntry => (victim.input(2 + u8::from(random.below(2) == 0)), wrong(random, victim)),
        Real::Unfinished => {
            // Of a key alone nothing is left without it.
            let mut fields = victim.right();
            fields.retain(|(name, _)| name != "FinishedOnKey");
            (victim.input(2), fields)
        }
        Real::Resplit => {
            let fields = match random.below(2) {
                0 => victim.fields(&[("Digits", ""), ("FinishedOnKey", ""), ("To", "+14155550123")]),
                _ => wrong(random, victim),
            };
            (victim.input(2), resplit(random, fields))
        }
        Real::AfterDeadline => {
            let late = pick(random, &calls.late);
            effective(random, late)
        }
        Real::AfterEnd => {
            let ended = pick(random, &calls.ended);
            effective(random, ended)
        }
        Real::Replayed | Real::ReplayedAHundredTimes => match random.below(3) {
            0 => (live.url.clone(), live.fields(&[])),
            1 => (format!("{}/status", live.url), live.fields(&[("CallStatus", "ringing")])),
            _ => (live.input(1), live.first()),
        },
    };
    let times = if kind == Real::ReplayedAHundredTimes { 100 } else { 1 };
    vec![shot(Kind::Real(kind), url, fields); times]
}

/// An entry that is close to the right one.
fn wrong(random: &mut Random, call: &Call) -> Fields {
    let digits = match call.secret {
        // Whatever is keyed before the key, and nothing at all.
        Secret::Key => *pick(random, &["1", "42", "825013", "##", "*", " ", "\0", "\u{ff03}"]),
        Secret::Number(_) => *pick(
            random,
            &[
                "43",
                "24",
                "4",
                "2",
                "042",
                "420",
                " 42",
                "42 ",
                "+42",
                "4 2",
                "\u{ff14}\u{ff12}",
                "42#",
                "42\0",
                "777",
            ],
        ),
        Secret::Pin(_) => *pick(
            random,
            &[
                "825014",
                "82501",
                "8250130",
                "0825013",
                " 825013",
                "825013 ",
                "825013#",
                "８２５０１３",
                "1",
                "*",
            ],
        ),
    };
    call.fields(&[("Digits", digits), ("FinishedOnKey", "#")])
}

/// Other fields over which the carrier's signature is the same: names and values are signed without a mark between them.
fn resplit(random: &mut Random, mut fields: Fields) -> Fields {
    fields.sort();
    let place = random.below(fields.len() - 1);
    let (name, value) = fields[place].clone();
    let (next_name, next_value) = fields[place + 1].clone();
    match random.below(3) {
        // Two fields become one.
        0 => drop(
            fields.splice(place..place + 2, owned(&[(&name, &format!("{value}{next_name}{next_value}"))])),
        ),
        // The name takes a part of the value, or gives one up.
        1 => {
            let cut =
                value.char_indices().map(|(at, _)| at).nth(random.below(value.len().max(1))).unwrap_or(0);
            fields[place] = (format!("{name}{}", &value[..cut]), value[cut..].to_owned());
        }
        _ => {
            let cut = 1 + random.below(name.len().max(2) - 1);
            fields[place] = (name[..cut].to_owned(), format!("{}{value}", &name[cut..]));
        }
    }
    fields
}

/// The same text with one other character, from `start` on.
fn with_other_byte(random: &mut Random, text: &str, start: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    let mut bytes = text.as_bytes().to_vec();
    let place = start + random.below(bytes.len() - start);
    let old = bytes[place];
    while bytes[place] == old {
        bytes[place] = ALPHABET[random.below(ALPHABET.len())];
    }
    String::from_utf8(bytes).expect("ASCII")
}
