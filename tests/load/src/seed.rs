//! Users whose devices are the simulator's swarm.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fleet_domain::{Channel, DeviceId, Policy, Portal, PortalName, PushToken, UserId};
use fleet_records::{DeviceAlg, NewDevice, NewUser};
use indicatif::ProgressBar;
use uuid::Uuid;

use crate::surroundings::{PORTAL, Surroundings};

/// How many users one statement stores.
const CHUNK: u64 = 2_000;

pub(crate) async fn seed(users: u64, public_key: &str) -> anyhow::Result<()> {
    let surroundings = Surroundings::new()?;
    let records = surroundings.records().await?;
    let portal = Portal {
        name: PortalName::parse(PORTAL)?,
        title: "Benchmark".into(),
        audiences: vec![PORTAL.into()],
        policy: Policy {
            approve_only: true,
            answer_within_s: 600,
            detect_machines: false,
            ..Policy::default()
        },
    };
    records.put_portal(&portal).await?;
    let key = URL_SAFE_NO_PAD.decode(public_key).context("--public-key is base64url")?;
    let bar = ProgressBar::new(users);
    for start in (0..users).step_by(usize::try_from(CHUNK)?) {
        let chunk = (start..users.min(start + CHUNK))
            .map(|index| user(index, &key))
            .collect::<Result<Vec<_>, _>>()?;
        records.put_users(&chunk).await?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The id of a user.
pub(crate) fn user_id(index: u64) -> anyhow::Result<UserId> {
    Ok(UserId::parse(&format!("swarm-{index}"))?)
}

fn user(index: u64, key: &[u8]) -> anyhow::Result<NewUser> {
    let device = NewDevice {
        id: DeviceId::from_uuid(swarm_device(index)),
        alg: DeviceAlg::Es256,
        public_key: key.to_vec(),
        push_token: Some(PushToken::new(format!("swarm-{index}"))),
        totp: None,
    };
    Ok(NewUser {
        id: user_id(index)?,
        audience: PORTAL.into(),
        method: Channel::Push,
        phones: Vec::new(),
        devices: vec![device],
    })
}

/// The simulator's own rule: a UUIDv8 with the index in its low 48 bits.
fn swarm_device(index: u64) -> Uuid {
    Uuid::from_u128(
        (0x8000_8000_u128 << 64 | 0x8000_u128 << 48 | u128::from(index)) & !(0x8000_0000_u128 << 64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_the_id_that_the_simulator_gives_it() {
        assert_eq!(swarm_device(0x2a).to_string(), "00000000-0000-8000-8000-00000000002a");
    }
}
