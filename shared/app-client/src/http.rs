//! HTTP to the gateway: requests that are signed, and answers read by the protocol's rules.

use std::time::Duration;

use fleet_domain::Timestamp;
use fleet_keys::{DeviceKeyPair, Signer, random_bytes};
use fleet_lifecycle::Clock;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;

use crate::claims::{Message, RequestClaims};
use crate::error::{Error, Refusal};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// When to try again where the gateway does not say.
const AFTER: Duration = Duration::from_secs(1);
/// No answer of the protocol is longer: a list of some challenges, each with its context.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The way to one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    base_url: String,
    clock: Clock,
}

#[derive(Deserialize)]
struct Body {
    error: Fault,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    message: String,
}

impl Http {
    pub(crate) fn new(base_url: &str) -> Result<Self, Error> {
        fleet_keys::install_tls_provider();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // What is signed is for this URL and nobody else's.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::Client)?;
        Ok(Self { client, base_url: base_url.to_owned(), clock: Clock::system() })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A request that is proved by its header.
    pub(crate) async fn signed(
        &self,
        (method, path): (reqwest::Method, &str),
        (key, kid): (&DeviceKeyPair, &str),
    ) -> Result<Vec<u8>, Error> {
        let url = format!("{}{path}", self.base_url);
        let jti = random_bytes::<16>().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let claims = RequestClaims { htm: method.as_str(), htu: &url, iat: self.now().as_secs(), jti };
        let proof = sign(key, Signer::Kid(kid), &claims);
        let request = self.client.request(method, &url).header(AUTHORIZATION, format!("Device {proof}"));
        answer(request).await
    }

    /// A signed message as the body.
    pub(crate) async fn post<M: Message>(
        &self,
        path: &str,
        (key, signer): (&DeviceKeyPair, Signer<'_>),
        claims: &M,
    ) -> Result<Vec<u8>, Error> {
        let request = self.client.post(format!("{}{path}", self.base_url));
        let jws = sign(key, signer, claims);
        answer(request.header(CONTENT_TYPE, "application/jose").body(jws)).await
    }
}

pub(crate) fn sign<M: Message>(key: &DeviceKeyPair, signer: Signer<'_>, claims: &M) -> String {
    // Texts and whole numbers: there is nothing in claims that JSON cannot say.
    let claims = serde_json::to_string(claims).unwrap_or_else(|_| unreachable!("claims are plain data"));
    key.sign(M::TYPE, signer, &claims)
}

/// The body of an answer that says yes.
async fn answer(request: RequestBuilder) -> Result<Vec<u8>, Error> {
    let response = request.send().await.map_err(Error::Unreachable)?;
    let status = response.status();
    let after = retry_after(&response);
    let body = body(response).await?;
    if status.is_success() {
        return Ok(body);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(Error::Unavailable { after });
    }
    let fault = serde_json::from_slice::<Body>(&body).map_err(|_| not_ours(status))?.error;
    Err(Error::Refused { refusal: Refusal::of(&fault.code), message: fault.message })
}

async fn body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::Unreachable)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(not_ours(response.status()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| not_ours(StatusCode::OK))
}

const fn not_ours(status: StatusCode) -> Error {
    Error::NotOurs { status: status.as_u16() }
}

fn retry_after(response: &Response) -> Duration {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    header.map_or(AFTER, Duration::from_secs)
}
