//! Walking the chain of seals and holding the audit trail against it. [`crate::seals`] says what that shows and what not.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use fleet_domain::Timestamp;
use fleet_keys::Keys;
use tokio_postgres::Row;

use crate::connection::{Connections, Session};
use crate::error::{Error, Fault};
use crate::leaf::{ActLine, AuditLine, HASH, Leaf};
use crate::sealing::{ACTS, AUDIT, RANGE_TIME, act_leaf, audit_leaf, leaves};
use crate::seals::{MARK, Seal, hash_of, mark_of, seal_columns};
use crate::sql_time::SqlTime;

const DOING: &str = "verifying the audit";
/// Seals that are read at once.
const PAGE: i64 = 200;

/// With no seal there is none to begin with either.
const COUNT: &str =
    "SELECT count(*), coalesce(min(number), 9223372036854775807) FROM audit_seals WHERE until > $1";
const PAGE_OF: &str =
    concat!("SELECT ", seal_columns!(), " FROM audit_seals WHERE number >= $1 ORDER BY number LIMIT $2");
const MARKS: &str = "SELECT audit_marks, acts_marks FROM audit_seals WHERE number = $1";
/// Whether a day's partition is gone, and whether an act says that retention dropped it.
const DAY: &str = "
SELECT to_regclass('audit_' || d.day) IS NULL, EXISTS (SELECT FROM acts WHERE act = 'dropped ' || d.day), d.day
FROM (SELECT to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD') AS day) d";

/// Something that is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Seals before this one are not there.
    SealsMissing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The seal itself is not what follows from the one before it.
    SealAltered,
    /// The seal was not made with the fleet's key.
    SealForged,
    /// The row is another one than was sealed, or belongs to another person now.
    RowAltered(RowName),
    /// A row of this time is gone.
    RowRemoved(RowName),
    /// The row was not there when its time was sealed.
    RowInserted(RowName),
    /// The row says that its person was erased, but not under the fleet's key; or it was altered since.
    RowNotErasedByFleet(RowName),
    /// Rows of this table were altered, removed or inserted; it can't be told which.
    Rows {
        /// `audit` or `acts`.
        table: &'static str,
    },
    /// The audit of this day, `YYYYMMDD`, is gone, and no act says that retention dropped it.
    DayRemoved {
        /// The day.
        day: String,
    },
}

/// A row of the audit trail, as far as it can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowName {
    /// Its time.
    pub at: Timestamp,
    /// What it is.
    pub what: String,
}

/// One seal that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealCheck {
    /// The seal.
    pub seal: Seal,
    /// Rows that were held against it.
    pub rows: u64,
    /// Those among them whose person was erased.
    pub erased: u64,
    /// Rows of the seal that retention has dropped: nothing can be said of them any more.
    pub dropped: u64,
    /// What is not as it was sealed.
    pub findings: Vec<Finding>,
}

/// The way along the chain.
pub struct Verification {
    connections: Connections,
    keys: Keys,
    total: u64,
    next: u64,
    before: Option<Seal>,
    waiting: VecDeque<Seal>,
    days: HashMap<i64, Day>,
}

/// Whether a day's audit is gone, whether by retention, and its name.
type Day = (bool, bool, String);

/// One table's rows of a range, and what its seal says of them.
struct Side<'a> {
    table: &'static str,
    count: u32,
    hash: &'a [u8; HASH],
    leaves: &'a [Leaf],
}

impl Verification {
    /// Begins with the seal in whose range this time is, at the first one where none is given. The seal before it is taken as
    /// it is.
    pub(crate) async fn begin(
        connections: &Connections,
        keys: &Keys,
        since: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let from = SqlTime(since.unwrap_or_default());
        let rows = connections.read(COUNT, &[&from]).await.map_err(|fault| fault.into_error(DOING))?;
        let number = |column| rows.first().map_or(0, |row| unsigned(row.get(column)));
        let mut verification = Self {
            connections: connections.clone(),
            keys: keys.clone(),
            total: number(0),
            next: if since.is_some() { number(1) } else { 1 },
            before: None,
            waiting: VecDeque::new(),
            days: HashMap::new(),
        };
        if verification.next > 1 {
            let before = verification.page(verification.next - 1, 1).await;
            verification.before = before.map_err(|fault| fault.into_error(DOING))?.into_iter().next();
        }
        Ok(verification)
    }

    /// How many seals there are to check.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Checks the next seal; `None` behind the last one.
    pub async fn next(&mut self) -> Result<Option<SealCheck>, Error> {
        self.check_next().await.map_err(|fault| fault.into_error(DOING))
    }

    async fn check_next(&mut self) -> Result<Option<SealCheck>, Fault> {
        if self.waiting.is_empty() {
            self.waiting = self.page(self.next, PAGE).await?.into();
        }
        let Some(seal) = self.waiting.pop_front() else { return Ok(None) };
        let mut findings = self.link(&seal);
        self.next = seal.number.saturating_add(1);
        let mut session = self.connections.durable().await?;
        session.extend(RANGE_TIME);
        let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", RANGE_TIME.as_millis());
        session.begin(&begin).await?;
        let range = [SqlTime(seal.since), SqlTime(seal.until)];
        let audit_rows = session.query(AUDIT, &[&range[0], &range[1]]).await?;
        let acts_rows = session.query(ACTS, &[&range[0], &range[1]]).await?;
        let none = HashMap::new();
        let audit = leaves(&audit_rows, |at, row| audit_leaf(&self.keys, at, row, &none)).await;
        let acts = leaves(&acts_rows, |at, row| act_leaf(&self.keys, at, row, &none)).await;
        let sides = [
            Side { table: "audit", count: seal.audit_rows, hash: &seal.audit_hash, leaves: &audit },
            Side { table: "acts", count: seal.acts_rows, hash: &seal.acts_hash, leaves: &acts },
        ];
        let mut dropped = 0;
        for (side, rows) in sides.iter().zip([&audit_rows, &acts_rows]) {
            let forged = side.leaves.iter().filter(|leaf| !leaf.genuine);
            findings.extend(
                forged.map(|leaf| {
                    Finding::RowNotErasedByFleet(name_of(side.table, leaf.at, rows.get(leaf.row)))
                }),
            );
            if side.fits() {
                continue;
            }
            match self.day_of(&mut session, side, &seal).await? {
                Some((true, _)) => dropped = u64::from(side.count),
                Some((false, day)) => findings.push(Finding::DayRemoved { day }),
                None => findings.extend(differences(&mut session, &seal, side, rows).await?),
            }
        }
        session.commit().await?;
        let erased = audit.iter().chain(&acts).filter(|leaf| leaf.erased).count() as u64;
        let rows = (audit.len() + acts.len()) as u64;
        self.before = Some(seal.clone());
        Ok(Some(SealCheck { seal, rows, erased, dropped, findings }))
    }

    /// What is wrong with the seal's place in the chain.
    fn link(&self, seal: &Seal) -> Vec<Finding> {
        let mut findings = Vec::new();
        let follows = match &self.before {
            _ if seal.number > self.next => {
                findings.push(Finding::SealsMissing { from: self.next, to: seal.number - 1 });
                // What it has to be follows from a seal that is not there: its MAC must do.
                true
            }
            Some(before) => before.until == seal.since && seal.computed(&before.hash) == seal.hash,
            None => seal.since == Timestamp::default() && seal.computed(&[0; HASH]) == seal.hash,
        };
        if !follows {
            findings.push(Finding::SealAltered);
        }
        if !seal.is_ours(&self.keys) {
            findings.push(Finding::SealForged);
        }
        findings
    }

    async fn page(&self, from: u64, limit: i64) -> Result<Vec<Seal>, Fault> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let rows = self.connections.read(PAGE_OF, &[&from, &limit]).await?;
        Ok(rows.iter().map(Seal::of).collect())
    }

    /// Whether retention has dropped the rows, and their day, where the day is gone.
    async fn day_of(
        &mut self,
        session: &mut Session,
        side: &Side<'_>,
        seal: &Seal,
    ) -> Result<Option<(bool, String)>, Fault> {
        if side.table != "audit" || !side.leaves.is_empty() {
            return Ok(None);
        }
        let key = seal.since.as_secs().div_euclid(86_400);
        let known = if let Some(known) = self.days.get(&key) {
            known.clone()
        } else {
            let rows = session.query(DAY, &[&SqlTime(seal.since)]).await?;
            let known: Day = rows.first().map(|row| (row.get(0), row.get(1), row.get(2))).unwrap_or_default();
            self.days.insert(key, known.clone());
            known
        };
        let (gone, by_retention, day) = known;
        Ok(gone.then_some((by_retention, day)))
    }
}

impl Side<'_> {
    fn fits(&self) -> bool {
        u32::try_from(self.leaves.len()) == Ok(self.count) && hash_of(self.leaves) == *self.hash
    }
}

/// Names the rows that do not fit, by the seal's marks.
async fn differences(
    session: &mut Session,
    seal: &Seal,
    side: &Side<'_>,
    rows: &[Row],
) -> Result<Vec<Finding>, Fault> {
    let number = i64::try_from(seal.number).unwrap_or(i64::MAX);
    let marks = session.query(MARKS, &[&number]).await?;
    let column = usize::from(side.table == "acts");
    let marks = marks.first().and_then(|row| row.get::<_, Option<Vec<u8>>>(column)).unwrap_or_default();
    let found = diff(&marks, side.leaves, seal.since);
    let name = |at, leaf: Option<&Leaf>| name_of(side.table, at, leaf.and_then(|leaf| rows.get(leaf.row)));
    let mut findings: Vec<Finding> = found
        .into_iter()
        .map(|difference| match difference {
            Difference::Altered(leaf) => Finding::RowAltered(name(leaf.at, Some(leaf))),
            Difference::Inserted(leaf) => Finding::RowInserted(name(leaf.at, Some(leaf))),
            Difference::Removed(at) => Finding::RowRemoved(name(at, None)),
        })
        .collect();
    if findings.is_empty() || marks.is_empty() && side.count > 0 {
        findings = vec![Finding::Rows { table: side.table }];
    }
    Ok(findings)
}

/// How the rows differ from the marks.
#[derive(Debug, PartialEq, Eq)]
enum Difference<'a> {
    Altered(&'a Leaf),
    Inserted(&'a Leaf),
    Removed(Timestamp),
}

/// A mark without its row and a row without its mark at the same time are one altered row.
fn diff<'a>(marks: &[u8], leaves: &'a [Leaf], since: Timestamp) -> Vec<Difference<'a>> {
    let mut sealed: HashMap<[u8; MARK], usize> = HashMap::new();
    for mark in marks.as_chunks::<MARK>().0 {
        *sealed.entry(*mark).or_default() += 1;
    }
    let mut unknown: Vec<&Leaf> = Vec::new();
    for leaf in leaves {
        match sealed.get_mut(&mark_of(leaf, since)) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => unknown.push(leaf),
        }
    }
    let mut differences = Vec::new();
    let mut gone: Vec<[u8; 4]> = Vec::new();
    for (mark, count) in sealed {
        let [a, b, c, d, ..] = mark;
        gone.extend(std::iter::repeat_n([a, b, c, d], count));
    }
    gone.sort_unstable();
    for leaf in unknown {
        let time = mark_of(leaf, since);
        match gone.iter().position(|micros| time.starts_with(micros)) {
            Some(at) => {
                gone.remove(at);
                differences.push(Difference::Altered(leaf));
            }
            None => differences.push(Difference::Inserted(leaf)),
        }
    }
    let time = |micros: [u8; 4]| since.plus(Duration::from_micros(u32::from_be_bytes(micros).into()));
    differences.extend(gone.into_iter().map(|micros| Difference::Removed(time(micros))));
    differences
}

fn name_of(table: &str, at: Timestamp, row: Option<&Row>) -> RowName {
    let what = match (table, row) {
        ("audit", Some(row)) => {
            let line = AuditLine::of(row);
            format!("version {} ({}) of challenge {}/{}", line.version, line.event, line.portal, line.id)
        }
        ("audit", None) => "a version of a challenge".to_owned(),
        (_, Some(row)) => {
            let line = ActLine::of(row);
            let about = line.user_id.or(line.masked).or(line.carrier);
            format!(
                "act {} by {}{}",
                line.act,
                line.actor,
                about.map_or(String::new(), |about| format!(", about {about}"))
            )
        }
        (_, None) => "an act".to_owned(),
    };
    RowName { at, what }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seals::marks_of;

    fn leaf(at: i64, byte: u8) -> Leaf {
        Leaf { at: Timestamp::from_micros(at), hash: [byte; HASH], row: 0, erased: false, genuine: true }
    }

    #[test]
    fn one_altered_one_removed_and_one_inserted_row_are_told_apart() {
        let since = Timestamp::from_micros(100);
        let sealed = [leaf(101, 1), leaf(102, 2), leaf(102, 3), leaf(103, 4)];
        let marks = marks_of(&sealed, since);
        assert_eq!(diff(&marks, &sealed, since), []);
        let now = [leaf(101, 9), leaf(102, 2), leaf(103, 4), leaf(104, 5)];
        assert_eq!(
            diff(&marks, &now, since),
            [
                Difference::Altered(&now[0]),
                Difference::Inserted(&now[3]),
                Difference::Removed(Timestamp::from_micros(102))
            ]
        );
        let twice = [leaf(101, 1), leaf(101, 1), leaf(102, 2), leaf(102, 3), leaf(103, 4)];
        assert_eq!(diff(&marks, &twice, since), [Difference::Inserted(&twice[1])]);
    }
}
