//! One-time codes: their secrets, the steps that are taken, and the lockout of those who guess.

use std::time::Duration;

use fleet_domain::{DeviceId, Factor};
use fleet_keys::Keys;
use fleet_records::testing::Scratch;
use fleet_records::{Cause, CodeDevice, DeviceAlg, GuessLimit, NewDevice};
use futures_util::future::join_all;

use crate::fixtures::{Process, ann, device_id};

#[tokio::test(flavor = "multi_thread")]
async fn r3_fifty_who_take_one_code_at_once_get_it_once_and_an_older_one_never() {
    let scratch = Scratch::new().await;
    let processes = [Process::start(&scratch).await, Process::start(&scratch).await];
    processes[0].records.put_user(&ann()).await.unwrap();
    let mut winner = 0;
    for step in [59_666_667, 59_666_668] {
        let takers = (0..50_u8).map(|by| {
            let records = &processes[usize::from(by % 2)].records;
            async move { records.take_code((device_id(), step), &[by; 16]).await.unwrap() }
        });
        let taken: Vec<bool> = join_all(takers).await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{step}");
        winner = u8::try_from(taken.iter().position(|taken| *taken).unwrap()).unwrap();
    }
    let take = |step, by: u8| {
        let records = &processes[0].records;
        async move { records.take_code((device_id(), step), &[by; 16]).await.unwrap() }
    };
    for older in [59_666_668, 59_666_667, 0] {
        assert!(!take(older, 100).await, "{older}");
    }
    assert!(take(59_666_668, winner).await, "whoever has it asks again after a crash");
    assert!(!take(59_666_667, winner).await);
    scratch.sql("UPDATE devices SET state = 2").await;
    assert!(!take(59_666_669, 100).await, "a revoked device has no codes");
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_secrets_are_sealed_at_rest_and_those_of_active_devices_are_opened() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let secret = Keys::new_totp_secret();
    let mut new = ann();
    new.devices[0].totp = Some(secret.clone());
    let others = ["2", "3", "4"].map(|last| {
        let id = DeviceId::parse(&format!("0192f6a0-0000-7000-8000-00000000000{last}")).unwrap();
        let totp = (last != "4").then(Keys::new_totp_secret);
        NewDevice { id, alg: DeviceAlg::EdDsa, public_key: vec![2; 32], push_token: None, totp }
    });
    let (revoked, damaged) = (others[0].id, others[1].id);
    new.devices.extend(others);
    process.records.put_user(&new).await.unwrap();
    scratch.sql(&format!("UPDATE devices SET state = 2 WHERE id = '{revoked}'")).await;
    // The secret of another device is none for this one.
    let copy = format!("(SELECT totp FROM devices WHERE id = '{}')", device_id());
    scratch.sql(&format!("UPDATE devices SET totp = {copy} WHERE id = '{damaged}'")).await;
    let found = process.records.code_devices(&new.id).await.unwrap();
    assert_eq!(found, [CodeDevice { id: device_id(), secret: secret.clone(), taken_by: None }]);
    let user = process.records.user(&new.id).await.unwrap().unwrap();
    let has: Vec<bool> = user.devices.iter().map(|device| device.has_totp).collect();
    assert_eq!(has, [true, true, false], "what is damaged shows when it is opened");
    let stored =
        scratch.sql("SELECT encode(totp, 'escape') FROM devices WHERE totp IS NOT NULL").await.concat();
    assert!(!stored.contains(&*secret.base32()));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_codes_have_a_lockout_of_their_own_that_help_desk_lifts() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let mut new = ann();
    new.devices[0].totp = Some(Keys::new_totp_secret());
    records.put_user(&new).await.unwrap();
    let limit = GuessLimit { calls: 2, lock_for: Duration::from_mins(15) };
    let count = || records.count_guess(&new.id, Factor::Totp, limit);
    assert!(count().await.unwrap() && count().await.unwrap());
    assert!(!count().await.unwrap());
    let standing = records.standing(&new.id).await.unwrap().unwrap();
    assert_eq!((standing.has_totp, standing.wrong_codes, standing.wrong_calls), (true, 2, 0));
    let user = records.user(&new.id).await.unwrap().unwrap();
    assert!(standing.totp_locked_until.is_some());
    assert_eq!((user.totp_locked_until, user.pin_locked_until), (standing.totp_locked_until, None));
    assert!(records.unblock(&new.id, &Cause::operator("it was she")).await.unwrap());
    assert!(count().await.unwrap());
    process.stop().await;
}
