//! Users, phones, devices and portals.

use fleet_domain::{
    Channel, Extension, PhoneKind, PhoneNumber, PhoneRole, Policy, Portal, PortalName, PushToken, UserId,
};
use fleet_records::testing::Scratch;
use fleet_records::{DeviceAlg, DeviceRecord, DeviceStanding, Error, NewDevice, NewPhone, NewUser};
use futures_util::future::join_all;

use crate::fixtures::{Process, ann, device_id, number, portal};

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_user_is_loaded_with_phones_and_devices_and_storing_again_replaces_them() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let mut new = ann();
    new.phones.push(NewPhone {
        role: PhoneRole::Backup,
        kind: PhoneKind::Office,
        number: PhoneNumber::parse("+19195550111").unwrap(),
        extension: Some(Extension::parse(",,42#").unwrap()),
        verified: false,
    });
    records.put_user(&new).await.unwrap();
    let user = records.user(&new.id).await.unwrap().unwrap();
    assert_eq!((user.audience.as_str(), user.method, user.blocked), ("staff", Channel::Push, false));
    assert_eq!(user.phones.len(), 2);
    assert!(user.phone(PhoneRole::Primary).is_some() && user.phone(PhoneRole::Backup).is_none());
    assert_eq!(user.devices[0].push_token, Some(PushToken::new("token-1".into())));

    let backup = &user.phones[1];
    assert_eq!((backup.masked.as_str(), backup.has_extension), ("+1919*****11", true));
    let (revealed, extension) = records.reveal(&user.id, backup).unwrap();
    assert_eq!((revealed.e164(), extension.unwrap().as_str()), ("+19195550111", ",,42#"));
    let other = UserId::parse("ben").unwrap();
    assert!(matches!(records.reveal(&other, backup), Err(Error::Corrupt(_))));
    let at_rest = scratch.sql("SELECT p::text FROM phones p").await;
    assert!(at_rest.iter().all(|row| !row.contains("5550100") && !row.contains("5550111")), "{at_rest:?}");

    scratch.sql("UPDATE users SET blocked = true").await;
    let fewer = NewUser { devices: Vec::new(), ..ann() };
    records.put_user(&fewer).await.unwrap();
    let user = records.user(&new.id).await.unwrap().unwrap();
    assert_eq!((user.phones.len(), user.devices.len(), user.blocked), (1, 0, true));
    assert_eq!(records.user(&other).await.unwrap(), None);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_that_are_asked_for_together_share_a_statement() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let users: Vec<NewUser> = (0..2500)
        .map(|n| NewUser { id: UserId::parse(&format!("user-{n}")).unwrap(), devices: Vec::new(), ..ann() })
        .collect();
    process.records.put_users(&users).await.unwrap();
    assert_eq!(scratch.sql("SELECT count(*) FROM phones").await, ["2500"]);
    let loaded = join_all(users.iter().take(200).map(|user| process.records.user(&user.id))).await;
    assert!(loaded.into_iter().all(|user| user.unwrap().unwrap().phones.len() == 1));
    let batches = process.metric("mfa_records_batch_jobs_count{lane=\"load_user\"}");
    // How few depends on who comes while one is under way.
    assert!(batches <= 20, "{batches} statements");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_token_is_retired_only_while_it_is_still_the_devices() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    records.put_user(&ann()).await.unwrap();
    let device = async || records.user(&ann().id).await.unwrap().unwrap().devices[0].clone();
    let retire = async |token: &str| {
        records.retire_push_token(device_id(), &PushToken::new(token.into())).await.unwrap()
    };
    assert!(!retire("an older one").await);
    assert!(device().await.push_token.is_some());
    assert!(retire("token-1").await);
    assert_eq!((device().await.push_token, device().await.push_gone), (None, true));
    assert!(!retire("token-1").await, "it was so already");
    // The app is back, and then only polls.
    let fresh = PushToken::new("token-2".into());
    assert!(records.refresh_push_token(device_id(), Some(&fresh), 1).await.unwrap());
    assert_eq!((device().await.push_token, device().await.push_gone), (Some(fresh), false));
    assert!(records.refresh_push_token(device_id(), None, 2).await.unwrap());
    assert_eq!((device().await.push_token, device().await.push_gone), (None, false));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_loaded_with_its_key_and_a_revoked_one_is_not_active() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let mut new = ann();
    let second = fleet_domain::DeviceId::parse("0192f6a0-0000-7000-8000-000000000002").unwrap();
    let es256 = NewDevice {
        id: second,
        alg: DeviceAlg::Es256,
        public_key: vec![4; 65],
        push_token: None,
        totp: None,
    };
    new.devices.push(es256);
    process.records.put_user(&new).await.unwrap();
    scratch.sql("UPDATE devices SET state = 2 WHERE alg = 1").await;
    let record =
        |id, alg, public_key, standing| Some(DeviceRecord { id, user: ann().id, alg, public_key, standing });
    let (first, revoked) = tokio::join!(process.records.device(device_id()), process.records.device(second));
    assert_eq!(first.unwrap(), record(device_id(), DeviceAlg::EdDsa, vec![1; 32], DeviceStanding::Active));
    assert_eq!(revoked.unwrap(), record(second, DeviceAlg::Es256, vec![4; 65], DeviceStanding::Out));
    let user = process.records.user(&ann().id).await.unwrap().unwrap();
    assert_eq!(user.devices.len(), 1, "a revoked device is not challenged");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_fails_alone() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ben = NewUser { id: UserId::parse("ben").unwrap(), devices: Vec::new(), ..ann() };
    process.records.put_users(&[ann(), ben.clone()]).await.unwrap();
    scratch.sql("UPDATE users SET method = 99 WHERE id = 'ben'").await;
    let ann = ann().id;
    let (ann, ben) = tokio::join!(process.records.user(&ann), process.records.user(&ben.id));
    assert!(ann.unwrap().is_some());
    assert!(matches!(ben, Err(Error::Corrupt(_))));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_is_known_at_once_where_it_was_stored_and_at_the_start_elsewhere() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    assert!(process.records.knows_portals());
    assert_eq!(process.records.portal(&portal().name), None);
    process.records.put_portal(&portal()).await.unwrap();
    assert_eq!(process.records.portal(&portal().name).as_deref(), Some(&portal()));

    scratch.sql("INSERT INTO portals VALUES ('broken', 'x', '{}', '{\"ring_s\": 200}'), ('short', 'x', '{}', '{}')").await;
    let other = Process::start(&scratch).await;
    let known = |name: &str| other.records.portal(&PortalName::parse(name).unwrap());
    assert_eq!(known("operations").as_deref(), Some(&portal()));
    assert_eq!(known("short").unwrap().policy, Policy::default());
    assert_eq!(known("broken"), None, "a policy out of range is not in force");

    let bad = Portal { policy: Policy { ring_s: 1, ..Policy::default() }, ..portal() };
    assert!(matches!(process.records.put_portal(&bad).await, Err(Error::Rejected(_))));
    assert_eq!(process.records.portal(&portal().name).as_deref(), Some(&portal()));
    process.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_found_by_its_index_and_by_nothing_else() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let index = fleet_keys::Keys::for_tests().phone_index(number().e164());
    let hex = format!("{:032x}", u128::from_be_bytes(index));
    let found = scratch.sql(&format!("SELECT user_id FROM phones WHERE number_index = '\\x{hex}'")).await;
    assert_eq!(found, ["ann"]);
    process.stop().await;
}
