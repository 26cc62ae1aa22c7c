//! Layers, errors and the reference, on texts.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{NotAllowed, Settings, SettingsError, reference, undocumented};

const BROKER: &str = r#"
[broker]
# Addresses of the RabbitMQ nodes.
urls = [
    "amqp://localhost",
]
# Messages a consumer holds at once,
# from 1 to 1000.
prefetch = 20
# Time without a confirm after which
# a publish has failed.
confirm_timeout = "5s"
"#;

const OTHER: &str = r#"
[records]
# Address of PostgreSQL, with user | password.
url = ""

[telemetry]
# text or json
format = "text"
# Share of traces kept, 0 to 1.
share = 0.5
# Whether to shout.
loud = false
"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broker {
    urls: Vec<String>,
    prefetch: u16,
    #[serde(with = "crate::duration")]
    confirm_timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    url: SecretString,
}

#[derive(Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Telemetry {
    format: Option<Format>,
    share: f64,
    loud: bool,
}

fn load(file: Option<&str>, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Settings::load_from(&[BROKER, OTHER], file, env)
}

fn broker(file: Option<&str>, env: &[(&str, &str)]) -> Broker {
    load(file, env).unwrap().section("broker").unwrap()
}

/// The first error of loading and of reading all sections.
fn error(file: Option<&str>, env: &[(&str, &str)]) -> String {
    let read = |settings: Settings| {
        settings.section::<Broker>("broker")?;
        settings.section::<Records>("records")?;
        settings.section::<Telemetry>("telemetry")?;
        Ok(())
    };
    load(file, env).and_then(read).expect_err("accepted").to_string()
}

#[test]
fn defaults_hold_when_nothing_is_set() {
    let Broker { urls, prefetch, confirm_timeout } = broker(None, &[("PATH", "/bin")]);
    assert_eq!(
        (urls, prefetch, confirm_timeout),
        (vec!["amqp://localhost".to_owned()], 20, Duration::from_secs(5))
    );
}

#[test]
fn environment_beats_file_beats_default() {
    let file = "[broker]\nprefetch = 5\nconfirm_timeout = \"1s\"\n";
    let Broker { prefetch, confirm_timeout, .. } = broker(Some(file), &[("FLEET_BROKER__PREFETCH", "10")]);
    assert_eq!((prefetch, confirm_timeout), (10, Duration::from_secs(1)));
}

#[test]
fn environment_repairs_a_wrong_kind_in_the_file() {
    let file = "[broker]\nprefetch = \"5\"\n";
    assert_eq!(broker(Some(file), &[("FLEET_BROKER__PREFETCH", "10")]).prefetch, 10);
}

#[test]
fn lists_in_the_environment_are_toml_or_separated_by_commas() {
    for text in ["amqp://a, amqp://b,", r#"["amqp://a", "amqp://b"]"#] {
        assert_eq!(broker(None, &[("FLEET_BROKER__URLS", text)]).urls, ["amqp://a", "amqp://b"], "{text}");
    }
}

#[test]
fn items_are_texts_unless_the_default_holds_others() {
    const LISTS: &str = "[lists]\n# No numbers.\nphones = []\n# Prime.\nprimes = [2]\n";
    #[derive(Deserialize)]
    struct Lists {
        phones: Vec<String>,
        primes: Vec<u32>,
    }
    let env = [("FLEET_LISTS__PHONES", "+19195550100, +19195550101"), ("FLEET_LISTS__PRIMES", "3,5")];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let lists: Lists = Settings::load_from(&[LISTS], None, env).unwrap().section("lists").unwrap();
    assert_eq!(
        (lists.phones, lists.primes),
        (vec!["+19195550100".to_owned(), "+19195550101".to_owned()], vec![3, 5])
    );
}

#[test]
fn aliases_beat_the_file_and_yield_to_the_named_variable() {
    let file = Some("[broker]\nurls = [\"amqp://file\"]\n");
    assert_eq!(broker(file, &[("AMQP_URL", "amqp://a,amqp://b")]).urls, ["amqp://a", "amqp://b"]);
    let both = [("FLEET_BROKER__URLS", "amqp://named"), ("AMQP_URL", "amqp://alias")];
    assert_eq!(broker(file, &both).urls, ["amqp://named"]);
    let records: Records =
        load(None, &[("DATABASE_URL", "postgres://db")]).unwrap().section("records").unwrap();
    assert_eq!(records.url.expose_secret(), "postgres://db");
    assert!(load(None, &[("REDIS_URL", "redis://for-others")]).is_ok());
}

#[test]
fn text_of_digits_stays_a_text_where_the_default_is_a_text() {
    let records: Records =
        load(None, &[("FLEET_RECORDS__URL", "123456")]).unwrap().section("records").unwrap();
    assert_eq!(records.url.expose_secret(), "123456");
}

#[test]
fn values_of_every_kind_come_from_the_environment() {
    let env = [
        ("FLEET_TELEMETRY__FORMAT", "json"),
        ("FLEET_TELEMETRY__SHARE", "0.25"),
        ("FLEET_TELEMETRY__LOUD", "true"),
    ];
    let telemetry: Telemetry = load(None, &env).unwrap().section("telemetry").unwrap();
    assert_eq!((telemetry.format, telemetry.loud), (Some(Format::Json), true));
    assert!((telemetry.share - 0.25).abs() < f64::EPSILON);
}

#[test]
fn errors_name_the_setting_its_origin_and_what_is_allowed() {
    let env = |name, value| error(None, &[(name, value)]);
    let file = |text| error(Some(text), &[]);
    for (error, text) in [
        (
            env("FLEET_BROKER__PREFETSCH", "1"),
            "broker.prefetsch (environment variable FLEET_BROKER__PREFETSCH): no such setting; did you mean FLEET_BROKER__PREFETCH?",
        ),
        (
            env("FLEET_BROKER_PREFETCH", "1"),
            "FLEET_BROKER_PREFETCH (environment): no such setting; did you mean FLEET_BROKER__PREFETCH?",
        ),
        (
            env("FLEET_BROKER__PREFETCH", "many"),
            "broker.prefetch (environment variable FLEET_BROKER__PREFETCH): expected an integer from 0 to 65535, found a text",
        ),
        (
            env("FLEET_BROKER__PREFETCH", "-1"),
            "broker.prefetch (environment variable FLEET_BROKER__PREFETCH): expected an integer from 0 to 65535",
        ),
        (
            env("FLEET_BROKER__CONFIRM_TIMEOUT", "5"),
            "broker.confirm_timeout (environment variable FLEET_BROKER__CONFIRM_TIMEOUT): expected a duration such as 250ms, 2s, 5m, 1h or 1d",
        ),
        (
            env("FLEET_TELEMETRY__FORMAT", "xml"),
            "telemetry.format (environment variable FLEET_TELEMETRY__FORMAT): expected one of text, json",
        ),
        (
            env("FLEET_TELEMETRY__LOUD", "yes"),
            "telemetry.loud (environment variable FLEET_TELEMETRY__LOUD): expected true or false, found a text",
        ),
        (
            file("[broker]\nprefetches = 1"),
            "broker.prefetches (file settings.toml): no such setting; did you mean broker.prefetch?",
        ),
        (file("[carriers]\nname = 1"), "carriers.name (file settings.toml): no such setting"),
        (file("prefetch = 1"), "prefetch (file settings.toml): no such setting"),
        (
            file("[records]\nurl = 123456"),
            "records.url (file settings.toml): expected a text, found an integer",
        ),
        (
            file("[records]\nurl = \"file:/nonexistent/url\""),
            "records.url (file settings.toml): cannot read /nonexistent/url: No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(error, text);
    }
}

#[test]
fn no_error_and_no_debug_text_shows_a_value() {
    const SECRET: &str = "canary4711";
    let in_file = |value: &str| format!("[broker]\nprefetch = {value}\n");
    let errors = [
        error(Some(&in_file(&format!("\"{SECRET}\""))), &[]),
        error(Some(&in_file(&format!("[\"{SECRET}\"]"))), &[]),
        error(Some(&in_file(&format!("\"{SECRET}"))), &[]),
        error(Some(&in_file(SECRET)), &[]),
        error(Some(&format!("[broker]\nurls = [{{ a = \"{SECRET}\" }}]")), &[]),
        error(Some(&format!("[broker]\nconfirm_timeout = \"{SECRET}\"")), &[]),
        error(Some(&format!("[telemetry]\nformat = \"{SECRET}\"")), &[]),
        error(None, &[("FLEET_TELEMETRY__SHARE", SECRET)]),
        error(None, &[("FLEET_NOWHERE__KEY", SECRET)]),
        format!("{:?}", load(None, &[("DATABASE_URL", SECRET)]).unwrap()),
    ];
    for error in errors {
        assert!(!error.contains("canary") && !error.contains("4711"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn mistakes_of_syntax_are_named_with_file_and_line() {
    assert!(
        error(Some("[broker]\nprefetch = 1\nprefetch = 2\n"), &[]).starts_with("settings.toml, line 3: ")
    );
}

#[test]
fn secrets_are_read_from_files() {
    let path = std::env::temp_dir().join(format!("fleet-settings-{}", std::process::id()));
    std::fs::write(&path, "amqp://a,\namqp://b\n").unwrap();
    let reference = format!("file:{}", path.display());
    let urls = broker(None, &[("AMQP_URL", &reference)]).urls;
    let records: Records = load(None, &[("DATABASE_URL", &reference)]).unwrap().section("records").unwrap();
    std::fs::write(&path, " \n").unwrap();
    let empty = error(None, &[("DATABASE_URL", &reference)]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(urls, ["amqp://a", "amqp://b"]);
    assert_eq!(records.url.expose_secret(), "amqp://a,\namqp://b");
    assert!(empty.ends_with("is empty"), "{empty}");
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_left_alone() {
    let kubernetes = [
        ("FLEET_GATEWAY_PORT", "tcp://10.0.0.1:80"),
        ("FLEET_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("FLEET_CONFIG", "/etc/fleet.toml"),
    ];
    assert!(load(None, &kubernetes).is_ok());
}

#[test]
fn refusals_of_a_crate_get_the_origin_of_the_value() {
    let settings = load(None, &[("FLEET_BROKER__PREFETCH", "0")]).unwrap();
    let refusal = NotAllowed::new("broker.prefetch", "1 to 1000");
    assert_eq!(refusal.to_string(), "broker.prefetch: allowed is 1 to 1000");
    assert_eq!(
        settings.refuse(&refusal).to_string(),
        "broker.prefetch (environment variable FLEET_BROKER__PREFETCH): allowed is 1 to 1000"
    );
}

#[test]
fn broken_defaults_are_refused() {
    for (defaults, text) in [
        (&[BROKER, BROKER][..], "built-in defaults: broker.urls is declared twice"),
        (&["key = 1"][..], "built-in defaults: key stands outside a section"),
    ] {
        let error = Settings::load_from(defaults, None, std::iter::empty()).expect_err("accepted");
        assert_eq!(error.to_string(), text);
    }
    let error = load(None, &[]).unwrap().section::<Records>("brokers").expect_err("accepted");
    assert_eq!(error.to_string(), "built-in defaults: no section [brokers]");
    let error = load(None, &[]).unwrap().section::<Records>("broker").expect_err("accepted");
    assert_eq!(error.to_string().split(':').next(), Some("broker.confirm_timeout (its default)"));
}

#[test]
fn reference_lists_every_setting_in_the_order_of_the_fragments() {
    let expected = r#"| Setting | Default | Environment variable | Meaning |
|---|---|---|---|
| `broker.urls` | `["amqp://localhost"]` | `FLEET_BROKER__URLS`, `AMQP_URL` | Addresses of the RabbitMQ nodes. |
| `broker.prefetch` | `20` | `FLEET_BROKER__PREFETCH` | Messages a consumer holds at once, from 1 to 1000. |
| `broker.confirm_timeout` | `"5s"` | `FLEET_BROKER__CONFIRM_TIMEOUT` | Time without a confirm after which a publish has failed. |
| `records.url` | `""` | `FLEET_RECORDS__URL`, `DATABASE_URL` | Address of PostgreSQL, with user \| password. |
| `telemetry.format` | `"text"` | `FLEET_TELEMETRY__FORMAT` | text or json |
| `telemetry.share` | `0.5` | `FLEET_TELEMETRY__SHARE` | Share of traces kept, 0 to 1. |
| `telemetry.loud` | `false` | `FLEET_TELEMETRY__LOUD` | Whether to shout. |
"#;
    assert_eq!(reference(&[BROKER, OTHER]), expected);
}

#[test]
fn settings_without_a_comment_are_found() {
    assert_eq!(undocumented(&[BROKER, OTHER]), Vec::<String>::new());
    assert_eq!(undocumented(&["[a]\n# said\nx = 1\ny = 2\n\n# far away\n\nz = 3\n"]), ["a.y", "a.z"]);
}
