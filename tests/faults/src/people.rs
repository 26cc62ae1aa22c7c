//! Who is asked: people with phones, and people with an app, some of whom type its codes. What each does is known beforehand.

use std::fmt::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use fleet_domain::{
    ChallengeResult, Channel, DeviceId, PhoneKind, PhoneNumber, PhoneRole, PushToken, Reason, UserId,
};
use fleet_records::{DeviceAlg, NewDevice, NewPhone, NewUser};

use crate::codes::Codes;

/// How far a person's second device is from the first among those that the simulator plays.
const NEXT_DEVICE: usize = 400_000;

/// The audience of all of them.
pub(crate) const AUDIENCE: &str = "staff";

/// What a person does when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Picks up and presses `#`, also when asked once more.
    PressesKey,
    /// Is on the phone.
    Busy,
    /// Does not hear it.
    NoAnswer,
    /// Picks up and hangs up.
    HangsUp,
    /// Approves in the app.
    Approves,
    /// Types the app's codes into the portal.
    TypesCodes,
}

/// One person.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) conduct: Conduct,
    /// How many devices answer for a person with an app.
    pub(crate) devices: usize,
    /// What the app shows to somebody who types it.
    pub(crate) codes: Option<Codes>,
    index: usize,
}

/// How quickly people act, in the simulator's time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// How long a phone rings before it is answered, and how long an app takes.
    pub(crate) answer_s: u32,
}

/// `count` people: every second has an app, and of those with a phone every fifth does not approve.
pub(crate) fn people(count: usize) -> anyhow::Result<Vec<Person>> {
    (0..count)
        .map(|index| {
            let conduct = match (index % 2, index / 2 % 15) {
                (1, _) => Conduct::Approves,
                (_, 4) => Conduct::Busy,
                (_, 9) => Conduct::NoAnswer,
                (_, 14) => Conduct::HangsUp,
                _ => Conduct::PressesKey,
            };
            Ok(Person {
                user: UserId::parse(&format!("person-{index}"))?,
                conduct,
                devices: 1,
                codes: None,
                index,
            })
        })
        .collect()
}

/// The simulator's `people` file.
pub(crate) fn script(people: &[Person], pace: Pace) -> String {
    let mut text = String::new();
    for person in people {
        let acts = match person.conduct {
            Conduct::PressesKey => {
                format!("answers = {{ after = \"{}s\" }}\npresses = [\"#\", \"#\", \"#\"]", pace.answer_s)
            }
            Conduct::Busy => "busy = true".into(),
            Conduct::NoAnswer => "no_answer = true".into(),
            Conduct::HangsUp => {
                format!(
                    "answers = {{ after = \"{}s\" }}\npresses = [{{ hang_up_after = \"1s\" }}]",
                    pace.answer_s
                )
            }
            Conduct::Approves | Conduct::TypesCodes => continue,
        };
        // Writing to a text can't fail.
        let _ = write!(
            text,
            "[[person]]\nname = \"{}\"\nnumber = \"{}\"\n{acts}\n",
            person.user,
            number(person.index)
        );
    }
    text
}

/// The number of a phone of its own.
pub(crate) fn number(index: usize) -> String {
    format!("+1919{:07}", 2_000_000 + index)
}

/// One of the devices that the simulator plays.
pub(crate) fn device(index: usize) -> anyhow::Result<NewDevice> {
    let key = fleet_simulator::swarm_public_key().map_err(anyhow::Error::msg)?;
    Ok(NewDevice {
        id: device_id(index)?,
        alg: DeviceAlg::Es256,
        public_key: base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(key).context("a public key")?,
        push_token: Some(PushToken::new(push_token(index))),
        totp: None,
    })
}

fn device_id(index: usize) -> anyhow::Result<DeviceId> {
    Ok(DeviceId::parse(&format!("00000000-0000-8000-8000-{index:012x}"))?)
}

fn push_token(index: usize) -> String {
    format!("swarm-{index}")
}

impl Person {
    /// The person as a portal's user.
    pub(crate) fn enrolled(&self) -> anyhow::Result<NewUser> {
        let method = match self.conduct {
            Conduct::PressesKey | Conduct::Busy | Conduct::NoAnswer | Conduct::HangsUp => Channel::Voice,
            Conduct::Approves => Channel::Push,
            Conduct::TypesCodes => Channel::Totp,
        };
        let by_phone = method == Channel::Voice;
        let phone = NewPhone {
            role: PhoneRole::Primary,
            kind: PhoneKind::Mobile,
            number: PhoneNumber::parse(&number(self.index))?,
            extension: None,
            verified: true,
        };
        let mut devices = self.device_indexes().map(device).collect::<anyhow::Result<Vec<_>>>()?;
        for device in &mut devices {
            device.totp = self.codes.as_ref().map(Codes::secret);
        }
        Ok(NewUser {
            id: self.user.clone(),
            audience: AUDIENCE.into(),
            method,
            phones: if by_phone { vec![phone] } else { Vec::new() },
            devices: if by_phone { Vec::new() } else { devices },
        })
    }

    /// Lets the person type codes from now on.
    pub(crate) fn type_codes(&mut self) {
        self.conduct = Conduct::TypesCodes;
        self.codes = Some(Codes::new());
    }

    /// The push tokens of the person's devices.
    pub(crate) fn push_tokens(&self) -> impl Iterator<Item = String> + '_ {
        self.device_indexes().map(push_token)
    }

    /// The person's devices, each with its push token.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<(DeviceId, String)>> {
        self.device_indexes().map(|index| Ok((device_id(index)?, push_token(index)))).collect()
    }

    fn device_indexes(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.devices).map(|number| self.index + number * NEXT_DEVICE)
    }

    /// Why this end contradicts what the person did, if it does. A challenge may fail or expire for all kinds of
    /// reasons; it may not be approved by somebody who does not approve, nor denied by somebody who does.
    pub(crate) fn contradicts(&self, result: ChallengeResult, reason: Reason) -> Option<&'static str> {
        let approves = matches!(self.conduct, Conduct::PressesKey | Conduct::Approves | Conduct::TypesCodes);
        match result {
            ChallengeResult::Approved if !approves => Some("approved by somebody who did not approve"),
            ChallengeResult::Denied if approves && reason != Reason::CallInProgress => {
                Some("denied by somebody who approved")
            }
            ChallengeResult::Pending => Some("still open"),
            ChallengeResult::Approved
            | ChallengeResult::Denied
            | ChallengeResult::Failed
            | ChallengeResult::Expired
            | ChallengeResult::Canceled => None,
        }
    }

    /// Whether the challenge ended as it would have without any fault.
    pub(crate) fn is_as_decided(&self, reason: Reason) -> bool {
        reason
            == match self.conduct {
                Conduct::PressesKey => Reason::OkKey,
                Conduct::Busy => Reason::Busy,
                Conduct::NoAnswer => Reason::NoAnswer,
                Conduct::HangsUp => Reason::HungUp,
                Conduct::Approves => Reason::OkPush,
                Conduct::TypesCodes => Reason::OkTotp,
            }
    }
}
