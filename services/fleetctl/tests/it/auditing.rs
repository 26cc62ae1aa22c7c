//! The audit trail and one person's part of it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_records::Records;
use fleet_records::testing::Scratch;
use fleet_telemetry::{Metrics, Readiness};
use fleet_testkit::database_url;

use crate::support::Program;

const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ops/demo-data/people.toml");

/// A fleet's database with people in it, the program on it, and a process that seals.
struct Site {
    scratch: Scratch,
    program: Program,
    records: Records,
    context: Context,
}

impl Site {
    async fn new() -> Self {
        let scratch = Scratch::new().await;
        let keys = fleet_keys::Settings {
            master: "ab".repeat(32).into(),
            outcome_signing_key: fleet_keys::new_signing_key().into(),
        };
        let (url, signing_key) =
            (database_url(), fleet_settings::ExposeSecret::expose_secret(&keys.outcome_signing_key));
        let program = Program::with(&[
            ("DATABASE_URL", url.as_str()),
            ("FLEET_RECORDS__SCHEMA", &scratch.settings().schema),
            ("FLEET_KEYS__MASTER", &"ab".repeat(32)),
            ("FLEET_KEYS__OUTCOME_SIGNING_KEY", signing_key),
        ]);
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
        let (settings, metrics) = (scratch.settings().clone(), Metrics::new());
        let keys = Keys::from_settings(&keys).unwrap();
        let records = Records::start(settings, keys, &context, &metrics, &Readiness::new()).await.unwrap();
        let site = Self { scratch, program, records, context };
        site.ends(&["demo-data", PEOPLE], 0, "loaded").await;
        site
    }

    /// Runs the program, which ends with this code and says this.
    async fn ends(&self, arguments: &[&str], code: i32, part: &str) -> String {
        let ended = self.program.run(arguments).await;
        let told = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
        ended.out
    }

    /// Seals what was done so far: time passes.
    async fn seal(&self, minutes: u32) {
        self.scratch
            .sql(&format!(
                "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql
                 AS $$ SELECT clock_timestamp() + interval '{minutes} minutes' $$"
            ))
            .await;
        self.records.seal_audit().await.unwrap();
    }

    async fn stop(self) {
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(Duration::from_secs(10)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_the_audit_is_verified_and_a_change_is_named_with_an_exit_code() {
    let site = Site::new().await;
    site.ends(&["audit", "list"], 0, "nothing is sealed yet").await;
    site.ends(&["audit", "verify"], 66, "no seal covers that time").await;
    site.ends(&["user", "block", "alice", "--reason", "stolen"], 0, "alice is blocked").await;
    site.seal(5).await;
    let told = site.ends(&["audit", "verify"], 0, "all is as it was sealed").await;
    assert!(!told.contains('\x1b') && !told.contains('%'), "progress is for terminals: {told}");
    let newest = site.records.audit_seals(1).await.unwrap().remove(0);
    assert!(told.contains(&newest.hash_hex()), "{told}");
    let listed = site.ends(&["audit", "list", "--limit", "2"], 0, &newest.hash_hex()[..16]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    site.ends(&["audit", "verify", "--since", "1h"], 0, "all is as it was sealed").await;
    site.ends(&["audit", "verify", "--since", "2099-01-01T00:00:00Z"], 66, "no seal covers that time").await;
    site.ends(&["audit", "verify", "--since", "yesterday"], 64, "how long ago").await;

    site.scratch.sql("UPDATE acts SET reason = 'nothing' WHERE act = 'blocked' AND user_id = 'alice'").await;
    let told = site.ends(&["audit", "verify"], 65, "was altered: act blocked by operator").await;
    assert!(told.contains(&format!("seal {}, ", newest.number)) && told.contains("1 findings"), "{told}");
    site.scratch.sql("DELETE FROM acts WHERE act = 'blocked' AND user_id = 'alice'").await;
    site.ends(&["audit", "verify"], 65, "was removed: an act").await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_exported_and_erased_while_blocked_and_the_audit_still_fits() {
    let site = Site::new().await;
    site.ends(&["user", "block", "alice", "--reason", "lost phone"], 0, "alice is blocked").await;
    site.seal(5).await;

    let told = site.ends(&["user", "export", "alice"], 0, "challenges").await;
    let document: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(document["user_id"], "alice");
    assert_eq!(document["user"][0]["blocked"], true);
    assert!(document["phones"][0]["number"].as_str().unwrap().starts_with("+1919555"), "{told}");
    assert_eq!(document["acts"][0]["reason"], "lost phone");
    let path = std::env::temp_dir().join(format!("{}.json", site.scratch.settings().schema));
    let file = path.to_str().unwrap();
    site.ends(&["user", "export", "alice", "--out", file], 0, "alice was exported to").await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written["phones"], document["phones"]);
    site.ends(&["user", "export", "alice", "--out", file], 65, "cannot be written: File exists").await;
    std::fs::remove_file(&path).unwrap();

    site.ends(&["user", "erase", "alice", "--reason", "asked"], 64, "nothing was erased: --yes erases alice")
        .await;
    site.ends(&["user", "show", "alice"], 0, "lost phone").await;
    site.ends(&["user", "erase", "alice", "--reason", "asked", "--yes"], 0, "alice was erased").await;
    site.ends(&["audit", "verify"], 0, "rows of erased persons among them").await;
    site.seal(15).await;
    site.ends(&["audit", "verify"], 0, "all is as it was sealed").await;
    for arguments in [
        &["user", "erase", "alice", "--reason", "again", "--yes"][..],
        &["user", "export", "alice"],
        &["user", "show", "alice"],
    ] {
        site.ends(arguments, 66, "there is no user alice").await;
    }
    site.ends(&["user", "erase", "oscar", "--reason", "who", "--yes"], 66, "there is no user oscar").await;
    site.stop().await;
}
