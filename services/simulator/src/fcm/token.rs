//! The OAuth endpoint: a signed assertion of the service account becomes an access token.
//!
//! Access tokens carry their expiry and a keyed hash, so that checking one needs no table and survives a restart; only
//! what was revoked is forgotten then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::URL_SAFE_NO_PAD};
use ring::{digest, hmac, signature};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::FcmError;
use crate::credentials;
use crate::journal::Fact;
use crate::world::World;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an access token is good, unless `POST /sim/google` says otherwise.
const LIFETIME: Duration = Duration::from_secs(3_599);
/// How far the clocks of client and Google may differ.
const SKEW_SECONDS: i64 = 300;
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];
/// Accepts base64url with and without padding.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Gives and checks access tokens.
pub(crate) struct AccessTokens {
    client_email: String,
    audience: String,
    public_key: Vec<u8>,
    key: hmac::Key,
    rule: Mutex<Rule>,
}

/// What can be changed of Google's sign-in while the simulator runs.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Google {
    /// How long an access token is good.
    #[serde(default = "lifetime", with = "fleet_settings::duration")]
    token_lifetime: Duration,
    /// Whether the service account's key is refused. The access tokens that it got before are refused for good.
    #[serde(default)]
    key_revoked: bool,
}

/// What tokens are given and checked by.
struct Rule {
    google: Google,
    /// How often the key was revoked: tokens of an earlier generation are worth nothing.
    generation: u64,
}

fn lifetime() -> Duration {
    LIFETIME
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    scope: String,
    aud: String,
    iat: i64,
    exp: i64,
}

impl AccessTokens {
    /// For the service account of this project, whose token endpoint has this URL.
    pub(crate) fn new(project: &str, token_uri: String) -> Result<Self, &'static str> {
        let public_key = credentials::service_account_public_key()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, digest::digest(&digest::SHA256, &public_key).as_ref());
        let google = Google { token_lifetime: LIFETIME, key_revoked: false };
        let rule = Mutex::new(Rule { google, generation: 0 });
        Ok(Self {
            client_email: credentials::client_email(project),
            audience: token_uri,
            public_key,
            key,
            rule,
        })
    }

    /// What is in force.
    pub(crate) fn google(&self) -> Google {
        self.rule().google
    }

    /// Puts this in force.
    pub(crate) fn set_google(&self, google: Google) {
        let mut rule = self.rule();
        rule.generation += u64::from(google.key_revoked);
        rule.google = google;
    }

    fn rule(&self) -> MutexGuard<'_, Rule> {
        self.rule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tag of a token with this expiry is made of.
    fn tagged(&self, expiry: &str) -> String {
        format!("{}.{expiry}", self.rule().generation)
    }

    /// Checks the `Authorization` of a request.
    pub(super) fn check(&self, headers: &HeaderMap, now: i64) -> Result<(), FcmError> {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok());
        let parts = token.and_then(|text| text.strip_prefix("Bearer ya29.")?.split_once('.'));
        let Some((expiry, tag)) = parts else { return Err(FcmError::Unauthenticated) };
        let is_fresh = expiry.parse().is_ok_and(|expiry: i64| expiry > now);
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| FcmError::Unauthenticated)?;
        if is_fresh && hmac::verify(&self.key, self.tagged(expiry).as_bytes(), &tag).is_ok() {
            Ok(())
        } else {
            Err(FcmError::Unauthenticated)
        }
    }

    /// A token, and for how many seconds it is good.
    fn give(&self, now: i64) -> (String, i64) {
        let lifetime_s = i64::try_from(self.google().token_lifetime.as_secs()).unwrap_or(i64::MAX);
        let expiry = now.saturating_add(lifetime_s).to_string();
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, self.tagged(&expiry).as_bytes()));
        (format!("ya29.{expiry}.{tag}"), lifetime_s)
    }

    /// Checks an assertion; the error is Google's word and its description of what is wrong.
    fn verify(&self, assertion: &str, now: i64) -> Result<(), (&'static str, &'static str)> {
        let claims = self.verified(assertion, now).map_err(|why| ("invalid_grant", why))?;
        if !claims.scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err(("invalid_scope", "Invalid OAuth scope or ID token audience provided."));
        }
        Ok(())
    }

    /// The claims of an assertion that this project's account has signed a moment ago.
    fn verified(&self, assertion: &str, now: i64) -> Result<Claims, &'static str> {
        let malformed = "Invalid JWT: Failed to parse the assertion.";
        let (signed, tag) = assertion.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| URL_SAFE.decode(part).map_err(|_| malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed)?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed)?;
        if claims.iss != self.client_email {
            return Err("Invalid grant: account not found");
        }
        let known_key =
            header.kid.is_none_or(|kid| kid == credentials::key_id()) && !self.google().key_revoked;
        let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        if header.alg != "RS256" || !known_key || key.verify(signed.as_bytes(), &decode(tag)?).is_err() {
            return Err("Invalid JWT Signature.");
        }
        if claims.aud != self.audience && claims.aud != credentials::GOOGLE_TOKEN_URI {
            return Err("Invalid JWT: Failed audience check.");
        }
        let is_short_lived = claims.exp <= claims.iat + 3_600
            && claims.exp > now - SKEW_SECONDS
            && claims.iat < now + SKEW_SECONDS;
        if !is_short_lived {
            return Err(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check \
                 your iat and exp values in the JWT claim.",
            );
        }
        Ok(claims)
    }
}

/// Answers `POST /token`.
pub(super) async fn give(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let mut grant_type = None;
    let mut assertion = None;
    for (name, value) in form_urlencoded::parse(&body) {
        match &*name {
            "grant_type" => grant_type = Some(value),
            "assertion" => assertion = Some(value),
            _ => {}
        }
    }
    let now = world.time.now_secs();
    let checked = if grant_type.as_deref() == Some(GRANT_TYPE) {
        world.fcm.tokens.verify(assertion.as_deref().unwrap_or_default(), now)
    } else {
        Err(("unsupported_grant_type", "Invalid grant_type"))
    };
    world.journal.record(&Fact::Token { error: checked.err().map(|(_, why)| why) });
    match checked {
        Ok(()) => {
            let (token, lifetime_s) = world.fcm.tokens.give(now);
            let body = json!({ "access_token": token, "expires_in": lifetime_s, "token_type": "Bearer" });
            Json(body).into_response()
        }
        Err((error, why)) => {
            let body = json!({ "error": error, "error_description": why });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}
