//! How an app gets its account, makes its push address known, and gives the account up.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::gateway::{Push, Reply, at};
use super::poll;
use super::totp::Totp;
use crate::cast::{Address, AppEntry, Device, nothing_else};
use crate::device_key::{Alg, DeviceKey};
use crate::ids;
use crate::journal::Fact;
use crate::jws;
use crate::world::World;

/// How the QR code of an activation begins.
const QR: &str = "mfa-fleet://activate?";

/// `POST /sim/apps`: a person scans or types a code, with this app and script.
#[derive(Deserialize)]
pub(crate) struct Activation {
    /// What the QR code says; or `url` and `code`.
    qr: Option<String>,
    url: Option<String>,
    code: Option<String>,
    #[serde(default = "a_phone")]
    name: String,
    #[serde(default = "android")]
    platform: String,
    fcm_token: Option<String>,
    fid: Option<String>,
    #[serde(default)]
    alg: Alg,
    /// A key that exists already, as in `[[device]]`; without it, one is made.
    private_key: Option<String>,
    #[serde(flatten)]
    script: AppEntry,
    #[serde(flatten, deserialize_with = "nothing_else")]
    _rest: (),
}

/// `POST /sim/apps/{device_id}/rotate`: FCM gives the app another address.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// Whether it happens twice, and the gateway hears of the second address first.
    #[serde(default)]
    late: bool,
    /// Whether the app wants no pushes any more.
    #[serde(default)]
    silent: bool,
    /// The new address; without one it is made up, of the kind that the app had.
    fcm_token: Option<String>,
    fid: Option<String>,
}

#[derive(Serialize)]
struct ActivationClaims<'a> {
    aud: &'a str,
    iat: i64,
    code: &'a str,
    name: &'a str,
    platform: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<Push<'a>>,
}

#[derive(Serialize)]
struct AddressClaims<'a> {
    aud: &'a str,
    device_id: Uuid,
    iat: i64,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<Push<'a>>,
}

#[derive(Serialize)]
struct RevocationClaims<'a> {
    aud: &'a str,
    device_id: Uuid,
    iat: i64,
}

#[derive(Deserialize)]
struct Account {
    device_id: Uuid,
    totp: Option<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    secret: String,
}

fn a_phone() -> String {
    "Simulated phone".to_owned()
}

fn android() -> String {
    "android".to_owned()
}

/// Activates an app and adds it to the cast. `Ok(None)` when the gateway can't be reached; the error says what the
/// order lacks.
pub(crate) async fn activate(world: &Arc<World>, order: Activation) -> Result<Option<Reply>, &'static str> {
    let (url, code) = match (&order.qr, order.url, order.code) {
        (Some(qr), None, None) => scan(qr).ok_or("qr is not that of an activation")?,
        (None, Some(url), Some(code)) => (url, code),
        (Some(_) | None, Some(_) | None, Some(_) | None) => return Err("needs either qr, or url and code"),
    };
    let address = one_address(order.fcm_token, order.fid)?;
    let key = match &order.private_key {
        Some(private) => DeviceKey::parse(private)?,
        None => DeviceKey::generate(order.alg)?.0,
    };
    let script = order.script.into_script()?;
    let sign = || {
        let (push, iat) = (address.as_ref().map(Push::from), world.time.now_secs());
        let (name, platform) = (&order.name, &order.platform);
        let claims = ActivationClaims { aud: &url, iat, code: &code, name, platform, push };
        jws::sign(&key, None, "mfa-activation+jwt", &claims)
    };
    let reply = world.apps.way.post(&at(&url, "/app/activate"), sign).await;
    let account = reply.as_ref().filter(|reply| matches!(reply.status, 200 | 201));
    let account = account.and_then(|reply| serde_json::from_slice::<Account>(&reply.body).ok());
    world.journal.record(&Fact::AppActivated {
        device: account.as_ref().map(|account| account.device_id),
        status: reply.as_ref().map(|reply| reply.status),
        error: reply.as_ref().and_then(Reply::word).as_deref(),
    });
    if let Some(Account { device_id, totp }) = account {
        let mut device = Device::new(device_id, Arc::new(key), Arc::new(script), url.into());
        device.totp = totp.and_then(|totp| Totp::parse(&totp.secret));
        let device = Arc::new(device);
        world.cast.admit(&device, address.into_iter().collect());
        poll(world, device);
    }
    Ok(reply)
}

/// Base URL and code of a QR code.
fn scan(qr: &str) -> Option<(String, String)> {
    let fields: Vec<_> = form_urlencoded::parse(qr.strip_prefix(QR)?.as_bytes()).collect();
    let field =
        |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.to_string());
    if field("v")? != "1" {
        return None;
    }
    Some((field("url")?, field("code")?))
}

fn one_address(token: Option<String>, fid: Option<String>) -> Result<Option<Address>, &'static str> {
    match (token, fid) {
        (Some(_), Some(_)) => Err("can have only one of fcm_token and fid"),
        (token, fid) => Ok(token.map(Address::Token).or(fid.map(Address::Fid))),
    }
}

/// Gives an app another push address, which makes the old one unknown to FCM, and has it tell the gateway. Returns the
/// address and what became of each refresh, in the order in which they were sent.
pub(crate) async fn rotate(
    world: &World,
    device: &Arc<Device>,
    order: Rotation,
) -> Result<Value, &'static str> {
    let chosen = one_address(order.fcm_token, order.fid)?;
    if order.silent && chosen.is_some() {
        return Err("can't be silent and have an address");
    }
    let has_fid = world.cast.has_fid(device.id);
    let mut refreshes = Vec::new();
    if order.late {
        refreshes.push((Some(fresh_address(has_fid)), device.next_version(now_millis(world))));
    }
    let address = if order.silent { None } else { chosen.or_else(|| Some(fresh_address(has_fid))) };
    refreshes.push((address.clone(), device.next_version(now_millis(world))));
    for (address, _) in &refreshes {
        world.cast.move_to(device, address.clone());
    }
    let mut told = Vec::new();
    for (address, version) in refreshes.iter().rev() {
        let reply = tell(world, device, address.as_ref(), *version).await;
        let body = reply.as_ref().and_then(|reply| serde_json::from_slice::<Value>(&reply.body).ok());
        told.push(json!({ "version": version, "status": reply.map(|reply| reply.status), "body": body }));
    }
    Ok(json!({ "push": address.as_ref().map(Push::from), "refreshes": told }))
}

/// Tells the gateway where pushes go.
async fn tell(world: &World, device: &Device, address: Option<&Address>, version: i64) -> Option<Reply> {
    let push = address.map(Push::from);
    let sign = || {
        let iat = world.time.now_secs();
        let claims = AddressClaims { aud: &device.url, device_id: device.id, iat, version, push };
        jws::sign(&device.key, Some(device.id), "mfa-push-address+jwt", &claims)
    };
    let reply = world.apps.way.post(&at(&device.url, "/app/push-address"), sign).await;
    world.journal.record(&Fact::PushAddressSent {
        device: device.id,
        version,
        push,
        status: reply.as_ref().map(|reply| reply.status),
        error: reply.as_ref().and_then(Reply::word).as_deref(),
    });
    reply
}

/// The person removes the account from the app: it tells the gateway, and forgets it whatever the answer is.
pub(crate) async fn revoke(world: &World, device: &Device) -> Option<Reply> {
    device.remove();
    let sign = || {
        let iat = world.time.now_secs();
        let claims = RevocationClaims { aud: &device.url, device_id: device.id, iat };
        jws::sign(&device.key, Some(device.id), "mfa-revocation+jwt", &claims)
    };
    let reply = world.apps.way.post(&at(&device.url, "/app/revoke"), sign).await;
    world.journal.record(&Fact::AppRevoked {
        device: device.id,
        status: reply.as_ref().map(|reply| reply.status),
        error: reply.as_ref().and_then(Reply::word).as_deref(),
    });
    reply
}

fn now_millis(world: &World) -> i64 {
    world.time.now_micros().div_euclid(1_000)
}

/// An address that looks like one of Firebase's.
fn fresh_address(is_fid: bool) -> Address {
    let fid = format!("c{:016x}{:05x}", ids::fresh_bits(), ids::fresh_bits() & 0xf_ffff);
    if is_fid { Address::Fid(fid) } else { Address::Token(format!("{fid}:APA91b{:016x}", ids::fresh_bits())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_has_a_version_a_url_and_a_code() {
        let both = Some(("https://mfa.example.org".to_owned(), "0f9ZvDk0TRiZ6YbRk1PTcg".to_owned()));
        let whole = "mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg";
        assert_eq!(scan(whole), both);
        for wrong in [
            whole.replace("v=1", "v=2").as_str(),
            whole.replace("mfa-fleet", "https").as_str(),
            "mfa-fleet://activate?v=1&code=x",
        ] {
            assert_eq!(scan(wrong), None, "{wrong}");
        }
    }
}
