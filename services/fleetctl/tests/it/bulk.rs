//! Users out of files and into them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fleet_records::testing::Scratch;
use fleet_testkit::database_url;

use crate::looking::keys;
use crate::support::{Ended, Program};

/// Of the PIN 8250, made by Python's bcrypt.
const BCRYPT: &str = "$2b$05$jjopjJOVmLhVGa4NiHMv0ubHZAo99C4pSxqi2zMHZzNo7vfcvQSXO";

/// An empty fleet, and a folder that goes with it.
struct Place {
    scratch: Scratch,
    environment: Vec<(String, String)>,
    folder: PathBuf,
}

impl Place {
    async fn new() -> Self {
        Self::under(keys().await).await
    }

    /// Under the keys of another one.
    async fn under(mut environment: Vec<(String, String)>) -> Self {
        environment.retain(|(name, _)| name.starts_with("FLEET_KEYS__"));
        let scratch = Scratch::new().await;
        let schema = scratch.settings().schema.clone();
        let folder = std::env::temp_dir().join(format!("fleetctl-{schema}"));
        fs::create_dir(&folder).unwrap();
        environment.push(("DATABASE_URL".into(), database_url()));
        environment.push(("FLEET_RECORDS__SCHEMA".into(), schema));
        Self { scratch, environment, folder }
    }

    fn program(&self) -> Program {
        let pairs: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Program::with(&pairs)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).unwrap();
        path
    }

    async fn import(&self, path: &Path, options: &[&str]) -> Ended {
        let arguments = [&["user", "import", text(path)], options].concat();
        let ended = self.program().run(&arguments).await;
        // Whatever happens, nobody's number or hash is said.
        for secret in ["9195550", "2079460", "$2b$", "8250"] {
            assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{}{}", ended.out, ended.err);
        }
        ended
    }

    async fn export(&self, name: &str) -> String {
        let path = self.file(name);
        let ended = self.program().run(&["user", "export-all", "--out", text(&path)]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        fs::read_to_string(path).unwrap()
    }

    async fn column(&self, sql: &str) -> Vec<String> {
        self.scratch.sql(sql).await
    }

    async fn one(&self, sql: &str) -> String {
        self.column(sql).await.remove(0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Users who differ, in CSV.
fn people(count: usize) -> String {
    let mut csv = String::from("id,audience,method,phone,verified,pin_hash\n");
    for at in 0..count {
        let pin = if at % 10 == 0 { BCRYPT } else { "" };
        let verified = at % 2 == 0;
        let _ = writeln!(csv, "user-{at},staff,voice,+1919555{at:04},{verified},{pin}");
    }
    csv
}

/// Every kind of line, after the names in line 1.
fn kinds_of_lines() -> String {
    let long = "x".repeat(10 << 20);
    [
        "\u{feff}id,audience,method,phone,extension,backup_phone,verified,pin_hash",
        &format!("ann,staff,voice,+19195550101,\",,4123#\",+442079460000,true,{BCRYPT}"),
        "ben,staff,voice,,,,,",
        "cid,staff,push,,,,,",
        "",
        "\"d\"\"e,e\",staff,voice,+19195550104,,,no,",
        "eve,staff,voice,19195550105,,,,",
        "fay,staff,voice,1.91956E+10,,,,",
        "gus,staff,pigeon,+19195550107,,,,",
        "hal,staff,voice,+19195550108,4x,,,",
        "ida,staff,voice,+19195550109,,,,8250",
        "jon,\"staff,voice,+19195550110,,,,",
        "kay,st\u{0}aff,voice,+19195550111,,,,",
        &format!("leo,{long},voice,+19195550112,,,,"),
        "mia,staff,voice",
        "ned mann,staff,voice,+19195550114,,,,",
        "ann,staff,push,,,,,",
        "olaf,staff,voice,+19195550116,,,true,",
    ]
    .join("\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_line_is_stored_or_refused_by_itself() {
    let place = Place::new().await;
    let file = place.write("people.csv", kinds_of_lines());
    let ended = place.import(&file, &[]).await;
    assert_eq!(ended.code, Some(65), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("5 users added, 0 updated, 1 left as they were"), "{}", ended.out);
    assert!(
        ended.out.contains("3 lines have a method without its data (pending_user_data)"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("10 lines were refused"), "{}", ended.out);
    refused_lines_are_listed_without_their_values(&place);
    let ids = place.column("SELECT id FROM users ORDER BY id").await;
    assert_eq!(ids, ["ann", "ben", "cid", "d\"e,e", "olaf"]);
    let phones = place.column("SELECT concat_ws(' ', user_id, role, kind, verified, masked, has_extension) FROM phones ORDER BY 1").await;
    assert_eq!(
        phones,
        [
            "ann 1 2 t +1919*****01 t",
            "ann 2 1 f +4420******00 f",
            "d\"e,e 1 1 f +1919*****04 f",
            "olaf 1 1 t +1919*****16 f",
        ]
    );
    // Nothing in the tables tells a number, or a hash of a bare PIN.
    for table in ["users", "phones", "acts"] {
        let rows = place.column(&format!("SELECT t::text FROM {table} t")).await.join("\n");
        assert!(!rows.contains("9195550") && !rows.contains("2079460") && !rows.contains("$2b$"), "{rows}");
    }
    let acts = place.column("SELECT user_id || ' ' || act || ' ' || reason FROM acts ORDER BY 1").await;
    assert_eq!(acts.len(), 5);
    assert!(acts[0].starts_with("ann imported import of people.csv, run "), "{}", acts[0]);
    assert!(!place.file("people.csv.checkpoint").exists());
}

fn refused_lines_are_listed_without_their_values(place: &Place) {
    let rejects = fs::read_to_string(place.file("people.csv.rejects.csv")).unwrap();
    let refused: Vec<(&str, &str)> = rejects
        .lines()
        .map(|line| line.split_once(',').unwrap())
        .map(|(line, rest)| (line, rest.split(',').next().unwrap()))
        .collect();
    assert_eq!(
        refused,
        [
            ("line", "field"),
            ("7", "phone"),
            ("8", "phone"),
            ("9", "method"),
            ("10", "extension"),
            ("11", "pin_hash"),
            ("12", "line"),
            ("13", "line"),
            ("14", "line"),
            ("15", "line"),
            ("16", "id"),
        ]
    );
    assert!(rejects.contains("--add-plus") && rejects.contains("rounded") && rejects.contains("64 KiB"));
    for value in ["55501", "9195", "pigeon", "4x", "8250", "ned"] {
        assert!(!rejects.replace("+19195550100", "").contains(value), "{value}: {rejects}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_stores_nothing_and_says_what_is_allowed() {
    let place = Place::new().await;
    for (name, content, options, part) in [
        (
            "a.csv",
            &b"id,audience,method,telephone\nann,staff,voice,+19195550100\n"[..],
            &[][..],
            "allowed are id, audience",
        ),
        ("b.csv", b"ann,staff,voice,+19195550100\n", &[], "line 1 has no known name in column 1"),
        ("c.csv", b"", &[], "line 1 is missing"),
        ("d.csv", b"\xff\xfei\0d\0,\0", &[], "UTF-16"),
        ("e.dat", b"id,audience,method\n", &[], "--format csv or --format jsonl"),
        ("f.csv", b"id,audience,method\n", &["--rejects", "@"], "name another one for --rejects"),
    ] {
        let file = place.write(name, content);
        let options: Vec<&str> =
            options.iter().map(|one| if *one == "@" { text(&file) } else { one }).collect();
        let ended = place.import(&file, &options).await;
        assert_eq!(ended.code, Some(65), "{name} {}", ended.err);
        assert!(ended.err.contains(part), "{name}: {}", ended.err);
        assert!(file.exists());
    }
    let missing = place.import(&place.file("none.csv"), &[]).await;
    assert!(missing.code == Some(65) && missing.err.contains("cannot be read"), "{}", missing.err);
    assert_eq!(place.one("SELECT count(*)::text FROM users").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_checks_every_line_and_needs_no_database() {
    let place = Place::new().await;
    let file =
        place.write("people.jsonl", "{\"id\":\"ann\",\"audience\":\"staff\",\"method\":\"voice\"}\n{}\n");
    let mut environment = place.environment.clone();
    environment.retain(|(name, _)| name != "DATABASE_URL");
    let pairs: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let ended = Program::with(&pairs).run(&["user", "import", text(&file), "--dry-run"]).await;
    assert_eq!(ended.code, Some(65), "{}", ended.err);
    assert!(ended.out.starts_with("nothing was stored"), "{}", ended.out);
    assert!(ended.out.contains("1 lines have a method without its data"), "{}", ended.out);
    let rejects = fs::read_to_string(place.file("people.jsonl.rejects.csv")).unwrap();
    assert_eq!(rejects, "line,field,rule\n2,id,is missing\n");
    assert!(!place.file("people.jsonl.checkpoint").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_left_alone_or_gets_what_the_line_gives_and_keeps_the_rest() {
    let place = Place::new().await;
    let header = "id,audience,method,phone,verified,backup_phone,pin_hash\n";
    let first =
        place.write("one.csv", format!("{header}ann,staff,voice,+19195550101,true,+442079460000,{BCRYPT}\n"));
    assert_eq!(place.import(&first, &[]).await.code, Some(0));
    let device = "INSERT INTO devices (id, user_id, alg, public_key, state)
        VALUES ('5d0b8a52-6c1e-4f0a-9e00-000000000001', 'ann', 1, '\\x04', 1)";
    place.column(device).await;
    let all = "SELECT concat_ws(' ', u.id, audience, method, pin, pin_set_at, p.role, p.verified, p.masked, encode(p.sealed, 'hex'))
        FROM users u JOIN phones p ON p.user_id = u.id ORDER BY p.role";
    let before = place.column(all).await;
    let second = place.write("two.csv", format!("{header}ann,partners,push,+19195550102,,,\n"));
    let skipped = place.import(&second, &[]).await;
    assert!(skipped.out.contains("0 users added, 0 updated, 1 left as they were"), "{}", skipped.out);
    assert_eq!(place.column(all).await, before);
    let same = place.import(&first, &["--existing", "update"]).await;
    assert!(same.out.contains("0 users added, 0 updated, 1 left as they were"), "{}", same.out);
    assert_eq!(
        place.column(all).await,
        before,
        "the same again is no change, and the PIN is as old as it was"
    );
    let updated = place.import(&second, &["--existing", "update"]).await;
    assert!(updated.out.contains("0 users added, 1 updated, 0 left as they were"), "{}", updated.out);
    let after = place
        .column(
            "SELECT concat_ws(' ', u.id, audience, method, pin IS NOT NULL, p.role, p.verified, p.masked)
        FROM users u JOIN phones p ON p.user_id = u.id ORDER BY p.role",
        )
        .await;
    assert_eq!(after, ["ann partners 2 t 1 f +1919*****02", "ann partners 2 t 2 f +4420******00"]);
    assert_eq!(place.one("SELECT count(*)::text FROM devices WHERE state = 1").await, "1");
    // The same number without a word on it stays verified.
    place.column("UPDATE phones SET verified = true").await;
    let third = place.write("three.csv", format!("{header}ann,staff,push,+19195550102,,,\n"));
    assert_eq!(place.import(&third, &["--existing", "update"]).await.code, Some(0));
    assert_eq!(place.one("SELECT bool_and(verified)::text FROM phones").await, "true");
    let acts = place.one("SELECT count(*)::text FROM acts WHERE act = 'imported'").await;
    assert_eq!(acts, "3", "added and twice updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_repeats_a_user_is_taken_in_the_files_order() {
    let place = Place::new().await;
    let csv = "id,audience,method\nann,one,voice\nben,one,voice\nann,two,push\nann,three,voice\n";
    let file = place.write("people.csv", csv);
    let ended = place.import(&file, &["--existing", "update"]).await;
    assert!(ended.out.contains("2 users added, 2 updated, 0 left as they were"), "{}", ended.out);
    assert_eq!(place.column("SELECT id || audience FROM users ORDER BY 1").await, ["annthree", "benone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_goes_on_where_it_stopped_without_doubles() {
    const COUNT: usize = 6000;
    let place = Place::new().await;
    let mut csv = people(COUNT);
    csv.push_str("bad,staff,voice,5,,\n");
    let file = place.write("people.csv", &csv);
    let checkpoint = place.file("people.csv.checkpoint");
    for round in 0..3 {
        let mut arguments = vec!["user", "import", text(&file), "--share", "20", "--existing", "update"];
        if round > 0 {
            arguments.push("--resume");
        }
        let reached = |at: &str| -> u64 {
            let read = fs::read_to_string(&checkpoint).unwrap_or_default();
            let line = read.split_once(at).and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
            line.unwrap_or(0)
        };
        let before = reached("\"line\":");
        let mut child =
            place.program().command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while reached("\"line\":") <= before + 500 {
            tick.tick().await;
            assert!(child.try_wait().unwrap().is_none(), "it was killed too late");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let begun: usize = place.one("SELECT count(*)::text FROM users").await.parse().unwrap();
    assert!((1500..COUNT).contains(&begun), "{begun}");
    let refused = place.import(&file, &["--existing", "update"]).await;
    assert!(refused.code == Some(65) && refused.err.contains("--resume goes on there"), "{}", refused.err);
    let other = place.import(&file, &["--resume"]).await;
    assert!(other.code == Some(65) && other.err.contains("say the same again"), "{}", other.err);
    let ended = place.import(&file, &["--existing", "update", "--share", "100", "--resume"]).await;
    assert_eq!(ended.code, Some(65), "{}{}", ended.out, ended.err);
    assert!(
        ended.out.contains("going on after line ") && ended.out.contains("1 lines were refused"),
        "{}",
        ended.out
    );
    assert_eq!(place.one("SELECT count(*)::text FROM users").await, COUNT.to_string());
    assert_eq!(place.one("SELECT count(*)::text FROM phones").await, COUNT.to_string());
    assert_eq!(
        place.one("SELECT count(*) || ' ' || count(DISTINCT user_id) FROM acts").await,
        format!("{COUNT} {COUNT}")
    );
    assert_eq!(place.one("SELECT count(DISTINCT reason)::text FROM acts").await, "1", "it is one run");
    let rejects = fs::read_to_string(place.file("people.csv.rejects.csv")).unwrap();
    assert_eq!(rejects.lines().count(), 2, "{rejects}");
    assert!(!checkpoint.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_changed_is_not_gone_on_with() {
    let place = Place::new().await;
    let file = place.write("people.csv", people(4000));
    let mut child = place
        .program()
        .command(&["user", "import", text(&file), "--share", "10"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !place.file("people.csv.checkpoint").exists() {
        tick.tick().await;
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut longer = people(4000);
    longer.push_str("zoe,staff,voice,,,\n");
    place.write("people.csv", longer);
    let ended = place.import(&file, &["--resume"]).await;
    assert!(ended.code == Some(65) && ended.err.contains("the file has changed"), "{}", ended.err);
    fs::remove_file(place.file("people.csv.checkpoint")).unwrap();
    let again = place.import(&file, &["--share", "100"]).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(place.one("SELECT count(*)::text FROM users").await, "4001");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_imports_to_the_same() {
    let place = Place::new().await;
    let lines = [
        "id,audience,method,phone,extension,phone_kind,verified,backup_phone,backup_extension,backup_kind,backup_verified,pin_hash".to_owned(),
        format!("ann,staff,voice,+19195550101,\",,4123#\",office,true,+442079460000,,mobile,true,{BCRYPT}"),
        "\"b,\"\"en\",staff,push,,,,,+442079460001,7,office,false,".to_owned(),
        "çid,staff,totp,,,,,,,,,".to_owned(),
        "dee,staff,voice,+19195550104,,mobile,false,,,,,".to_owned(),
    ];
    let file = place.write("people.csv", lines.join("\n"));
    assert_eq!(place.import(&file, &[]).await.code, Some(0));
    // Her PIN was replaced by our own hash of it, as at the first right answer.
    let own =
        "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$3KEbG497O5xrUQFOP3pVWq2J6GuvaYmd3YAFoGELXsc";
    place.column(&format!("UPDATE users SET pin = '{own}', pin_set_at = fleet_now() WHERE id = 'dee'")).await;
    let tables = "SELECT concat_ws(' ', u.id, audience, method, pin IS NOT NULL, p.role, p.kind, p.verified, encode(number_index, 'hex'), has_extension)
        FROM users u LEFT JOIN phones p ON p.user_id = u.id ORDER BY 1";
    for name in ["all.csv", "all.jsonl"] {
        let exported = place.export(name).await;
        assert!(exported.contains("+19195550101") && exported.contains(BCRYPT), "{exported}");
        assert!(!exported.contains(own), "ours is sealed");
        let other = Place::under(place.environment.clone()).await;
        let copy = other.write(name, &exported);
        let ended = other.import(&copy, &[]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(other.column(tables).await, place.column(tables).await, "{name}");
        assert_eq!(other.one("SELECT pin FROM users WHERE id = 'dee'").await, own);
        let again = other.export(name).await;
        // Seals differ each time.
        let without_seals = |text: &str| -> BTreeSet<String> {
            text.lines().map(|line| line.split("fleet:").next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(without_seals(&again), without_seals(&exported), "{name}");
        let same = other.import(&copy, &["--existing", "update"]).await;
        assert!(same.out.contains("0 users added, 0 updated, 4 left as they were"), "{}", same.out);
    }
    let mode = fs::metadata(place.file("all.csv")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_under_another_master_key_says_what_it_cannot_read() {
    let place = Place::new().await;
    let file = place.write("people.csv", "id,audience,method\nann,staff,push\n");
    assert_eq!(place.import(&file, &[]).await.code, Some(0));
    let (_, mut fields) = (0, Place::under(keys().await).await);
    fields.environment.retain(|(name, _)| name != "FLEET_RECORDS__SCHEMA");
    fields.environment.push(("FLEET_RECORDS__SCHEMA".into(), place.scratch.settings().schema.clone()));
    place.column("UPDATE users SET pin = 'imported:AAAA', pin_set_at = fleet_now()").await;
    let out = fields.file("all.csv");
    let ended = fields.program().run(&["user", "export-all", "--out", text(&out)]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("the PINs of 1 of them can't be read"), "{}", ended.out);
}
