//! A schema of its own for each test, so that tests run in parallel on one real PostgreSQL.
//!
//! Only for tests: behind the feature `testing`.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use fleet_settings::SecretString;
use tokio::runtime;
use tokio_postgres::SimpleQueryMessage;

use crate::connection::{pool, session_options};
use crate::person::PARTS;
use crate::{
    Records, Settings, account, activations, commit, create, enrollments, load, retelling, sweep, told,
};

/// A migrated schema that is dropped with this value.
pub struct Scratch {
    settings: Settings,
    pool: Pool,
}

impl Scratch {
    /// Makes a schema in the database that DATABASE_URL names.
    ///
    /// # Panics
    /// Where there is no such database: a test can't go on without it.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn new() -> Self {
        let mut settings = Settings::for_url(database_url()).expect("the defaults are valid");
        let name = i64::from_ne_bytes(fleet_keys::random_bytes());
        settings.schema = format!("scratch_{:016x}", name.cast_unsigned());
        Records::migrate(&settings).await.expect("the migrations apply to an empty schema");
        let options = format!("-c search_path={} -c lock_timeout=5000", settings.schema);
        let pool = pool(&settings, 4, &options).expect("the settings are valid");
        let scratch = Self { settings, pool };
        // A process makes them too, but on a busy machine its first try may be cut off.
        scratch.sql("SELECT make_partitions(3)").await;
        scratch
    }

    /// The settings that lead to the schema.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Runs any SQL in the schema, and gives the first column of its rows as texts: what no API shows, and what
    /// tests break on purpose.
    ///
    /// # Panics
    /// Where the SQL fails.
    #[expect(clippy::expect_used, reason = "a test whose SQL fails has failed")]
    pub async fn sql(&self, sql: &str) -> Vec<String> {
        let client = self.pool.get().await.expect("a connection");
        let messages = client.simple_query(sql).await.expect(sql);
        first_column(&messages)
    }

    /// Runs SQL in a transaction that stays open.
    ///
    /// # Panics
    /// Where the SQL fails.
    #[expect(clippy::expect_used, reason = "a test whose SQL fails has failed")]
    pub async fn hold(&self, sql: &str) -> Held {
        let client = self.pool.get().await.expect("a connection");
        client.batch_execute(&format!("BEGIN; {sql}")).await.expect(sql);
        Held(client)
    }

    /// The plans of the hot statements by name, as the fleet's own sessions plan them.
    ///
    /// # Panics
    /// Where one can't be planned.
    pub async fn plans(&self) -> Vec<(&'static str, String)> {
        self.plans_of(&HOT).await
    }

    /// The plans of the statements for enrollment requests by name, as the fleet's own sessions plan them.
    ///
    /// # Panics
    /// Where one can't be planned.
    pub async fn enrollment_plans(&self) -> Vec<(&'static str, String)> {
        self.plans_of(&ENROLLMENTS).await
    }

    #[expect(clippy::expect_used, reason = "a test whose SQL fails has failed")]
    async fn plans_of(
        &self,
        statements: &[(&'static str, &'static str, &'static str)],
    ) -> Vec<(&'static str, String)> {
        let options = session_options(&self.settings);
        let pool = pool(&self.settings, 1, &options).expect("the settings are valid");
        let client = pool.get().await.expect("a connection");
        let mut plans = Vec::new();
        for (name, sql, params) in statements {
            client.batch_execute(&format!("PREPARE hot_{name} AS {sql}")).await.expect(sql);
            let explain = format!("EXPLAIN EXECUTE hot_{name}({})", params.replace('?', "NULL"));
            let lines = first_column(&client.simple_query(&explain).await.expect(&explain));
            plans.push((*name, lines.join("\n")));
        }
        plans
    }
}

/// The tables that say something of a person, each with its columns that an export tells or keeps back on purpose, and
/// whether an erasure deletes its rows.
pub fn parts_of_a_person() -> Vec<(&'static str, Vec<&'static str>, bool)> {
    let columns = |part: &crate::person::Part| [part.shown, part.kept_back].concat();
    PARTS.iter().map(|part| (part.table, columns(part), part.deleted)).collect()
}

/// The hot statements with their parameters: `?` for what does not bear on the plan.
const HOT: [(&str, &str, &str); 12] = [
    ("create", create::CREATE, "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"),
    (
        "commit",
        commit::COMMIT,
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, first_id_of(fleet_now())",
    ),
    ("load", load::CHALLENGES, "?, ?, first_id_of(fleet_now())"),
    ("users", load::USERS, "?"),
    ("phones", load::PHONES, "?"),
    ("devices", load::DEVICES, "?"),
    ("mark", told::MARK, "?, ?, ?, first_id_of(fleet_now())"),
    ("overdue", sweep::OVERDUE, "?, ?, first_id_of(fleet_now()), 100"),
    ("due", sweep::DUE, "?, 100, ?, ?"),
    ("untold", sweep::UNTOLD, "fleet_now(), fleet_now(), ?, ?, 100"),
    ("open_of", load::OPEN_OF, "?, first_id_of(fleet_now()), ?"),
    ("retelling", retelling::PAGE, "fleet_now(), ?, ?, first_id_of(fleet_now()), 500"),
];

/// The statements of each request to change an enrollment, and of the sweep for them.
const ENROLLMENTS: [(&str, &str, &str); 15] = [
    ("enrollment", enrollments::LOAD, "?, ?"),
    ("of_test", enrollments::OF_TEST, "?, ?"),
    ("open_of_user", enrollments::OPEN_OF, "?"),
    ("update", enrollments::UPDATE, "?, ?, ?, ?, ?, ?, ?, ?"),
    ("due_ones", enrollments::DUE, "fleet_now(), 100"),
    ("untold_ones", enrollments::UNTOLD, "100"),
    ("to_collect", enrollments::TO_COLLECT, "fleet_now(), ?, ?, 100"),
    ("mark_told", enrollments::MARK, "?, ?, ?"),
    ("bypasses", account::BYPASSES, "?"),
    ("pins", account::PINS, "?, 10"),
    ("activation", activations::FIND, "?"),
    ("untested", activations::UNTESTED, "?"),
    ("activated", activations::ACTIVATED, "?"),
    ("refresh", activations::REFRESH, "?, ?, ?, ?"),
    ("revoke", activations::REVOKE, "?"),
];

fn first_column(messages: &[SimpleQueryMessage]) -> Vec<String> {
    let mut texts = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            texts.push(row.get(0).unwrap_or_default().to_owned());
        }
    }
    texts
}

/// A transaction that is open until it is committed.
pub struct Held(Object);

impl Held {
    /// Commits the transaction.
    ///
    /// # Panics
    /// Where that fails.
    #[expect(clippy::expect_used, reason = "a test whose SQL fails has failed")]
    pub async fn commit(self) {
        self.0.batch_execute("COMMIT").await.expect("it commits");
    }

    /// Ends the transaction as if its process had died.
    ///
    /// # Panics
    /// Where that fails.
    #[expect(clippy::expect_used, reason = "a test whose SQL fails has failed")]
    pub async fn abandon(self) {
        self.0.batch_execute("ROLLBACK").await.expect("it ends");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let settings = self.settings.clone();
        // A thread of its own: a runtime can't wait inside another one, and a failed test drops its schema too.
        let dropping = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let pool = pool(&settings, 1, "-c lock_timeout=5000").ok()?;
                let client = pool.get().await.ok()?;
                let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", settings.schema);
                tokio::time::timeout(Duration::from_secs(10), client.batch_execute(&drop)).await.ok()?.ok()
            })
        });
        let _ = dropping.join();
    }
}

#[expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests are told of their servers like this"
)]
fn database_url() -> SecretString {
    std::env::var("DATABASE_URL")
        .expect("DATABASE_URL names the PostgreSQL for tests: run `./ops/test`")
        .into()
}
