//! What all routes share.

use fleet_domain::{Challenge, Effect, Policy, Portal, PortalName, Timestamp};
use fleet_engine::{Applied, Engine};
use fleet_keys::constant_time_eq;
use fleet_prompts::{Prompt, Utterance};
use fleet_twilio::Profile;

use crate::Settings;
use crate::error::{Setback, refused_label};
use crate::metrics::GatewayMetrics;
use crate::pins::Comparing;

/// The gateway without its port.
pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    pub(crate) carrier: Profile,
    pub(crate) settings: Settings,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) comparing: Comparing,
}

impl Gateway {
    /// The time that decides; there is none until it was measured.
    pub(crate) fn now(&self) -> Result<Timestamp, Setback> {
        self.engine.records().now().map_err(|_not_measured| Setback::Unavailable)
    }

    /// Whether the digits are those on the portal's page; `None` where it shows none.
    pub(crate) fn is_number(&self, challenge: &Challenge, digits: &str) -> Option<bool> {
        let expected = challenge.request.number_match?;
        Some(constant_time_eq(&self.engine.number_hash(&challenge.key, digits), &expected))
    }

    /// What a call of this challenge says.
    pub(crate) fn prompt(&self, challenge: &Challenge, utterance: Utterance) -> Prompt {
        let name = &challenge.key.portal;
        match self.engine.records().portal(name) {
            Some(portal) => fleet_prompts::say(utterance, &challenge.request.locale, &portal),
            // Registered no more, or not read yet: its name says more than silence.
            None => fleet_prompts::say(utterance, &challenge.request.locale, &unregistered(name)),
        }
    }

    /// Hands what is owed after a commit to the workers that can do it.
    ///
    /// The commit stands whatever comes of this: what could not be handed over is found by the sweep, so the
    /// request is neither held up nor failed for it.
    pub(crate) async fn hand_over_owed(&self, applied: &Applied) {
        let (Applied::Changed { after, .. }, effects) = (applied, applied.owed()) else { return };
        if effects.is_empty() {
            return;
        }
        let key = &after.challenge.key;
        let handing = async {
            for effect in &effects {
                self.engine.hand_over(key, effect).await?;
            }
            Ok::<(), fleet_engine::Error>(())
        };
        let what = effects.first().map_or("nothing", effect_word);
        match tokio::time::timeout(self.settings.request_timeout / 2, handing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(challenge = %key, owed = what, %error, "not handed over; left to the sweep");
            }
            Err(_) => {
                tracing::warn!(challenge = %key, owed = what, "not handed over in time; left to the sweep");
            }
        }
    }
}

fn unregistered(name: &PortalName) -> Portal {
    Portal {
        name: name.clone(),
        title: name.as_str().to_owned(),
        audiences: Vec::new(),
        policy: Policy::default(),
    }
}

/// Why the event had no effect, if it had none.
pub(crate) fn without_effect(applied: &Applied) -> Option<&'static str> {
    match applied {
        Applied::Changed { .. } => None,
        Applied::Unchanged { refused, .. } => Some(refused_label(*refused)),
    }
}

const fn effect_word(effect: &Effect) -> &'static str {
    match effect {
        Effect::Dial => "dial",
        Effect::Push => "push",
        Effect::Resend => "resend",
        Effect::Withdraw => "withdraw",
        Effect::HangUp { .. } => "hang_up",
    }
}
