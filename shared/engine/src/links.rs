//! The URLs that providers and apps are given. The gateway serves the same paths.
//!
//! Each carries the attempt's token: a keyed hash of portal, challenge and attempt. It is unguessable, needs
//! no storage, and a forged URL is refused before anything is read from the database.

use fleet_domain::ChallengeKey;
use fleet_keys::Keys;

/// Asks the carrier to try three times more, whatever went wrong (Twilio's connection overrides): a gateway that dies
/// over a request is another one's turn then, and every route is idempotent. The fragment is neither sent nor signed.
const OVERRIDES: &str = "#rc=3&rp=all";

/// Makes the URLs of one deployment.
#[derive(Clone, Debug)]
pub struct Links {
    public_url: String,
    keys: Keys,
}

impl Links {
    /// `public_url` is where providers and apps reach the gateway, without a slash at the end.
    pub fn new(public_url: String, keys: Keys) -> Self {
        Self { public_url, keys }
    }

    /// Where the gateway is reached from outside.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The path of a call: its first TwiML document.
    pub fn call_path(&self, key: &ChallengeKey, attempt: u8) -> String {
        let token = self.keys.attempt_token(key.portal.as_str(), key.id.as_bytes(), u16::from(attempt));
        format!("/twilio/calls/{}/{}/{attempt}/{token}", key.portal, key.id)
    }

    /// Where the carrier fetches the first TwiML document.
    pub fn twiml_url(&self, key: &ChallengeKey, attempt: u8) -> String {
        format!("{}{}{OVERRIDES}", self.public_url, self.call_path(key, attempt))
    }

    /// Where the carrier fetches the document of the current round once more, `times` after a failure.
    pub fn twiml_again_url(&self, key: &ChallengeKey, attempt: u8, times: u8) -> String {
        format!("{}{}?again={times}{OVERRIDES}", self.public_url, self.call_path(key, attempt))
    }

    /// Where the carrier sends status callbacks.
    pub fn status_url(&self, key: &ChallengeKey, attempt: u8) -> String {
        format!("{}{}/status{OVERRIDES}", self.public_url, self.call_path(key, attempt))
    }

    /// Where the carrier sends what was keyed at a prompt. The round makes an answer to an earlier prompt
    /// recognizable.
    pub fn input_url(&self, key: &ChallengeKey, attempt: u8, round: u8) -> String {
        format!("{}{}/input/{round}{OVERRIDES}", self.public_url, self.call_path(key, attempt))
    }

    /// Whether the token of a URL is this attempt's.
    pub fn token_matches(&self, key: &ChallengeKey, attempt: u8, token: &str) -> bool {
        self.keys.attempt_token_matches(key.portal.as_str(), key.id.as_bytes(), u16::from(attempt), token)
    }
}
