//! The kinds of changes: what their users have, who answers their calls, what is asked for, and what it must come to.

use std::fmt::Write as _;

use anyhow::Context as _;
use fleet_domain::{
    Change, Channel, EnrollmentPolicy, NormalAnswer, PhoneKind, PhoneNumber, PhoneRole, Reason, User, UserId,
};
use fleet_keys::{Keys, Pin};
use fleet_lifecycle::CrashPoint;
use fleet_portal_client::{EnrollmentDraft, GivenPhone};
use fleet_records::{Cause, NewPhone, NewUser};
use serde_json::json;

use super::Ground;
use super::cell::Cell;
use crate::people::{AUDIENCE, device, number};

/// Answers to the questions that the portal approves.
pub(super) const ANSWERS: [(&str, &str); 4] =
    [("street", "Elm Street"), ("teacher", "Ms Gomez"), ("pet", "Rex"), ("city", "Raleigh")];
const OLD_PIN: &str = "820571";
const NEW_PIN: &str = "739164";

/// Whether a call tests it.
pub(super) const fn is_called(change: Change) -> bool {
    matches!(change, Change::Enroll | Change::Method | Change::Phone | Change::PhoneTest | Change::Pin)
}

/// Whether a call or a push tests it.
pub(super) const fn is_tested(change: Change) -> bool {
    is_called(change) || matches!(change, Change::DeviceActivate)
}

/// Whether what is open of the user ends with it, and as what.
pub(super) const fn ends_challenges(change: Change) -> Option<Reason> {
    match change {
        Change::Block | Change::Delete => Some(Reason::UserBlocked),
        Change::DeviceLost | Change::DeviceRevoke => Some(Reason::Revoked),
        Change::Enroll
        | Change::Method
        | Change::Phone
        | Change::PhoneRemove
        | Change::PhoneTest
        | Change::Pin
        | Change::Questions
        | Change::Recovery
        | Change::Read
        | Change::Unblock
        | Change::Bypass
        | Change::DeviceActivate => None,
    }
}

/// The points that a kind passes.
pub(super) fn points(change: Change) -> Vec<CrashPoint> {
    let of_tests = [CrashPoint::TestBegun, CrashPoint::TestEnded];
    CrashPoint::OF_ENROLLMENTS
        .into_iter()
        .filter(|point| is_tested(change) || !of_tests.contains(point))
        .collect()
}

/// What the portal may change.
pub(super) fn policy(operators: bool) -> anyhow::Result<EnrollmentPolicy> {
    let question =
        |(id, _): (&str, &str)| json!({ "id": id, "texts": { "en-US": format!("What about your {id}?") } });
    let questions = json!({ "questions": ANSWERS.map(question) });
    Ok(EnrollmentPolicy {
        requests: Change::ALL.iter().copied().filter(|change| operators || !change.is_operators()).collect(),
        operators,
        recovery: true,
        questions: serde_json::from_value(questions)?,
        ..EnrollmentPolicy::default()
    })
}

impl Cell {
    pub(super) fn user(self) -> anyhow::Result<UserId> {
        Ok(UserId::parse(&format!("{}.{}", self.change, self.point.name()))?)
    }

    fn number(self, place: usize) -> String {
        number(3 * self.number + place)
    }

    /// The number of the user's own phone.
    pub(super) fn primary(self) -> String {
        self.number(0)
    }

    fn backup(self) -> String {
        self.number(1)
    }

    fn new_phone(self) -> GivenPhone {
        GivenPhone { number: self.number(2), extension: None, kind: PhoneKind::Mobile }
    }

    /// The number that the test of the change calls.
    pub(super) fn tested(self) -> String {
        if self.change == Change::PhoneTest {
            self.backup()
        } else if self.change == Change::Pin {
            self.primary()
        } else {
            self.number(2)
        }
    }

    /// The phone that is tested by an older request, which rings until that gives way.
    pub(super) fn older(self) -> (PhoneRole, String) {
        if self.change == Change::PhoneTest {
            (PhoneRole::Primary, self.primary())
        } else {
            (PhoneRole::Backup, self.backup())
        }
    }

    pub(super) fn older_draft(self, ground: &Ground<'_>) -> anyhow::Result<EnrollmentDraft> {
        let portal = &ground.site.portal;
        let user = self.user()?;
        let draft = if self.change == Change::Enroll {
            let phone = GivenPhone { number: self.backup(), extension: None, kind: PhoneKind::Mobile };
            portal.enrollment(user, Change::Enroll).method(Channel::Voice).phone(phone)
        } else {
            portal.enrollment(user, Change::PhoneTest).of(self.older().0)
        };
        Ok(marked(draft, ground))
    }

    /// The change itself.
    pub(super) fn draft(self, ground: &Ground<'_>) -> anyhow::Result<EnrollmentDraft> {
        let user = self.user()?;
        let draft = ground.site.portal.enrollment(user.clone(), self.change);
        let draft = match self.change {
            Change::Enroll | Change::Method => draft.method(Channel::Voice).phone(self.new_phone()),
            Change::Phone => draft.phone(self.new_phone()),
            Change::PhoneTest => draft.of(PhoneRole::Backup),
            Change::Pin => draft.pin(NEW_PIN),
            Change::Questions => {
                ANSWERS.iter().fold(draft, |draft, (question, answer)| draft.answer(question, answer))
            }
            Change::DeviceRevoke => draft.device(device(self.number)?.id),
            Change::Bypass => draft.seconds(300).ticket("INC-1"),
            Change::PhoneRemove
            | Change::Recovery
            | Change::Read
            | Change::DeviceLost
            | Change::Block
            | Change::Unblock
            | Change::Delete
            | Change::DeviceActivate => draft,
        };
        Ok(marked(draft, ground))
    }

    /// Stores the user with all that the change needs.
    pub(super) async fn store_user(self, ground: &Ground<'_>) -> anyhow::Result<()> {
        if self.change == Change::Enroll {
            return Ok(());
        }
        let user = self.user()?;
        let phone = |role, number: &str, verified| -> anyhow::Result<NewPhone> {
            let number = PhoneNumber::parse(number)?;
            Ok(NewPhone { role, kind: PhoneKind::Mobile, number, extension: None, verified })
        };
        let phones = vec![
            phone(PhoneRole::Primary, &self.primary(), true)?,
            phone(PhoneRole::Backup, &self.backup(), false)?,
        ];
        let new = NewUser {
            id: user.clone(),
            audience: AUDIENCE.into(),
            method: Channel::Push,
            phones,
            devices: vec![device(self.number)?],
        };
        let records = &ground.site.records;
        records.put_user(&new).await?;
        let keys = ground.site.keys()?;
        if ground.pin {
            let pin = Pin::parse(OLD_PIN).ok().context("a PIN")?;
            records.set_pins(&[(user.clone(), Some(keys.hash_pin(user.as_str(), &pin)))]).await?;
        }
        if self.change == Change::Unblock {
            records.block(&user, None, &Cause::operator("the fault harness")).await?;
        } else if self.change == Change::Recovery {
            ground.sql(&stored_answers(&keys, &user)?).await?;
        }
        Ok(())
    }

    /// Whether the change is stored, as a whole; an error where a part of it is.
    pub(super) async fn is_stored(self, ground: &Ground<'_>) -> anyhow::Result<bool> {
        let user = self.user()?;
        let account = ground.site.records.account(&user).await?;
        let Some(found) = &account.user else { return Ok(self.change == Change::Delete) };
        let shown = |role| phone_of(found, role).map(|(number, verified)| (number.to_owned(), verified));
        let new = PhoneNumber::parse(&self.number(2))?.masked();
        let has_new = shown(PhoneRole::Primary) == Some((new, true));
        Ok(match self.change {
            Change::Enroll => found.method == Channel::Voice && has_new,
            Change::Method => {
                let is_voice = found.method == Channel::Voice;
                anyhow::ensure!(
                    is_voice == has_new,
                    "the method is changed and the phone is not, or the other way round"
                );
                is_voice
            }
            Change::Phone => has_new,
            Change::PhoneRemove => shown(PhoneRole::Backup).is_none(),
            Change::PhoneTest => shown(PhoneRole::Backup).is_some_and(|(_, verified)| verified),
            Change::Pin => ground.site.records.pins(&user, 5).await?.len() == 2,
            Change::Questions => {
                let count = account.questions.len();
                anyhow::ensure!(count == 0 || count == ANSWERS.len(), "{count} answers are stored");
                count > 0
            }
            Change::DeviceRevoke | Change::DeviceLost => found.devices.is_empty(),
            Change::Block => found.blocked,
            Change::Unblock => !found.blocked,
            Change::Bypass => found.bypass,
            Change::Delete => false,
            // It changes nothing but what its user may do next.
            Change::Recovery | Change::Read => true,
            Change::DeviceActivate => {
                anyhow::ensure!(
                    found.devices.len() < 3,
                    "one code has brought {} devices",
                    found.devices.len() - 1
                );
                found.devices.len() > 1
            }
        })
    }
}

fn phone_of(user: &User, role: PhoneRole) -> Option<(&str, bool)> {
    let phone = user.phones.iter().find(|phone| phone.role == role)?;
    Some((&phone.masked, phone.verified))
}

/// Operators say who they are and why they ask.
fn marked(draft: EnrollmentDraft, ground: &Ground<'_>) -> EnrollmentDraft {
    if ground.policy.operators { draft.by_operator("pat", "a test of faults") } else { draft }
}

fn stored_answers(keys: &Keys, user: &UserId) -> anyhow::Result<String> {
    let rows = ANSWERS.map(|(question, answer)| -> anyhow::Result<String> {
        let normal = NormalAnswer::of(answer).ok().context("an answer")?;
        let hash = keys.hash_answer(user.as_str(), question, normal.reveal());
        Ok(format!("('{user}', '{question}', '{}')", hash.as_str()))
    });
    let rows = rows.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(format!("INSERT INTO answers VALUES {}", rows.join(", ")))
}

/// Who is called in a cell, in the form of the simulator's `people` file.
pub(super) fn phones(cell: Cell) -> String {
    let keys = if cell.change == Change::Pin { NEW_PIN } else { "" };
    let answers = format!("answers = {{ after = \"1s\" }}\npresses = [\"{keys}#\"]");
    let rings = "answers = { after = \"1000s\" }".to_owned();
    let primary = if cell.change == Change::Pin {
        answers.clone()
    } else if cell.change == Change::Recovery {
        // So that the factor can't be reached.
        "busy = true".to_owned()
    } else {
        rings.clone()
    };
    let backup = if cell.change == Change::PhoneTest { answers.clone() } else { rings };
    let mut text = String::new();
    for (number, acts) in [(cell.primary(), primary), (cell.backup(), backup), (cell.number(2), answers)] {
        // Writing to a text can't fail.
        let _ = write!(text, "[[person]]\nname = \"{cell}\"\nnumber = \"{number}\"\n{acts}\n");
    }
    text
}
