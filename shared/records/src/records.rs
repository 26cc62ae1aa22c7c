//! `Records`: one handle for everything that the rest of the fleet asks of PostgreSQL. Devices are in `records/devices.rs`,
//! requests to change an enrollment in `records/enrollments.rs`, PINs and one-time codes in `records/factors.rs`.

mod devices;
mod enrollments;
mod factors;

use std::sync::Arc;
use std::time::Duration;

use fleet_domain::{
    Account, Challenge, ChallengeKey, Extension, Phone, PhoneKind, PhoneNumber, PhoneRole, Portal,
    PortalName, Timestamp, User, UserId,
};
use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context};
use fleet_telemetry::{Metrics, Readiness};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::batch::{Lane as Batches, Limits};
use crate::commit::{Commit, Step};
use crate::connection::Connections;
use crate::create::{Create, NewRow};
use crate::load::{LoadChallenges, LoadDevices, LoadOpen, LoadUsers, OPEN_BATCH_MAX};
use crate::metrics::RecordsMetrics;
use crate::pacing::TakeSlots;
use crate::portals::Portals;
use crate::retelling::Retelling;
use crate::sealing::Sealer;
use crate::sweep::Sweeps;
use crate::told::ToldMarks;
use crate::upkeep::Upkeep;
use crate::{
    AuditRow, BulkUser, CarrierRate, Cause, Claimed, Committed, Created, Erasure, Error, Existing, Imported,
    Lane, Line, NewUser, Note, PacedCarrier, Person, Place, Seal, Sealed, Settings, Slot, SlotAsk, Standing,
    Storage, Stored, ToldCursor, Transition, Verification, account, administration, bulk, erasure, history,
    migrations, pacing, person, phones, seals, standing, storage,
};

/// The part of the connections that may be taken beside the lanes.
const BESIDE_PART: usize = 3;

/// The records of the fleet. A clone is another handle on the same connections and lanes.
#[derive(Clone)]
pub struct Records(Arc<Inner>);

struct Inner {
    connections: Connections,
    keys: Keys,
    users: Batches<LoadUsers>,
    challenges: Batches<LoadChallenges>,
    devices: Batches<LoadDevices>,
    open: Batches<LoadOpen>,
    creates: Batches<Create>,
    urgent: Batches<Commit>,
    bulk: Batches<Commit>,
    slots: Batches<TakeSlots>,
    told: ToldMarks,
    sweeps: Sweeps,
    sealer: Sealer,
    portals: Portals,
    clock: Clock,
    /// For what is asked beside the lanes, one connection for each ask: the lanes always find theirs.
    beside: Semaphore,
    unit_timeout: Duration,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

impl Records {
    /// Starts the lanes and the upkeep. Fails on bad settings only: with PostgreSQL away the readiness check
    /// `postgresql` says so, calls fail, and everything begins to work when it comes.
    pub async fn start(
        settings: Settings,
        keys: Keys,
        context: &Context,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> Result<Self, Error> {
        settings.check()?;
        let metrics = RecordsMetrics::new(metrics);
        let connections = Connections::new(&settings, metrics.clone())?;
        let limits = Limits { batch_max: settings.batch_max, wait_max: settings.unit_timeout };
        let few = Limits { batch_max: settings.batch_max.min(OPEN_BATCH_MAX), ..limits };
        let commit = |lane| {
            let unit = Commit { lane, connections: connections.clone(), metrics: metrics.clone() };
            Batches::start(unit, limits, metrics.clone(), context)
        };
        let create = Create { connections: connections.clone(), metrics: metrics.clone() };
        let slots = TakeSlots { connections: connections.clone(), metrics: metrics.clone() };
        let portals = Portals::default();
        let sealer = Sealer::new(connections.clone(), keys.clone(), metrics.clone());
        let inner = Inner {
            users: Batches::start(LoadUsers(connections.clone()), limits, metrics.clone(), context),
            challenges: Batches::start(LoadChallenges(connections.clone()), limits, metrics.clone(), context),
            devices: Batches::start(LoadDevices(connections.clone()), limits, metrics.clone(), context),
            open: Batches::start(LoadOpen(connections.clone()), few, metrics.clone(), context),
            creates: Batches::start(create, limits, metrics.clone(), context),
            urgent: commit(Lane::Urgent),
            bulk: commit(Lane::Bulk),
            slots: Batches::start(slots, limits, metrics.clone(), context),
            told: ToldMarks::start(connections.clone(), metrics.clone(), context),
            sweeps: Sweeps::new(connections.clone(), metrics.clone()),
            sealer: sealer.clone(),
            portals: portals.clone(),
            connections: connections.clone(),
            keys,
            clock: context.clock.clone(),
            beside: Semaphore::new(settings.pool_size / BESIDE_PART),
            unit_timeout: settings.unit_timeout,
        };
        let upkeep = Upkeep {
            connections,
            portals,
            sealer,
            clock: context.clock.clone(),
            ready: readiness.check("postgresql"),
            metrics,
            days_kept: settings.days_kept,
            failing: Arc::default(),
            behind: Arc::default(),
        };
        upkeep.start(context).await;
        Ok(Self(Arc::new(inner)))
    }

    /// Applies the migrations that are not applied yet, and gives their names. Any number of processes may do so at
    /// once: one works, the others wait for it.
    pub async fn migrate(settings: &Settings) -> Result<Vec<String>, Error> {
        migrations::migrate(settings).await
    }

    /// The database's time, by which everything that is stored is decided. Fails until it was measured for the first
    /// time: this system's own time may be anything.
    pub fn now(&self) -> Result<Timestamp, Error> {
        if self.0.clock.is_measured() {
            Ok(self.0.clock.now())
        } else {
            Err(Error::late("asking for the time"))
        }
    }

    /// The user with phones and active devices. Batched.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, Error> {
        self.0.users.ask(id.clone()).await
    }

    /// The challenge as it is stored. Batched.
    pub async fn load(&self, key: &ChallengeKey) -> Result<Option<Stored>, Error> {
        self.0.challenges.ask(key.clone()).await
    }

    /// Stores a challenge that is new, in whatever version it is, unless there is one under its key. Batched.
    /// Asking again with the same challenge is harmless.
    pub async fn create(&self, challenge: &Challenge, note: Note) -> Result<Created, Error> {
        self.0.creates.ask(NewRow::of(challenge, &note)).await
    }

    /// Commits a transition and its audit row, if the row is still in the version that was read. Batched with its
    /// neighbours of the lane. `Done` is true even where the connection broke meanwhile; after an error, load the
    /// challenge to see what has become of it.
    pub async fn commit(&self, lane: Lane, transition: Transition<'_>) -> Result<Committed, Error> {
        let step = Step::of(&transition)?;
        match lane {
            Lane::Urgent => self.0.urgent.ask(step).await,
            Lane::Bulk => self.0.bulk.ask(step).await,
        }
    }

    /// A slot for a call, or a place among those who wait for their turn at its carrier. Batched. Asking again is harmless
    /// to who waits.
    pub async fn take_slot(&self, ask: SlotAsk) -> Result<Slot, Error> {
        self.0.slots.ask(ask).await
    }

    /// Slots for those whose turn it is at the carrier, `most` at once; the places in `done` are given up. Whoever is handed
    /// out is handed out again after twelve seconds, unless its place is given up by then.
    pub async fn claim_slots(
        &self,
        carrier: &PacedCarrier,
        most: usize,
        done: &[Place],
    ) -> Result<Vec<Claimed>, Error> {
        pacing::claim(&self.0.connections, carrier, most, done).await
    }

    /// Every carrier that was ever dialed by, with its rate and who waits.
    pub async fn carriers(&self) -> Result<Vec<CarrierRate>, Error> {
        let _place = self.beside("reading the carriers").await?;
        pacing::carriers(&self.0.connections).await
    }

    /// Changes a carrier's calls per second, 1 to 10,000, for the whole fleet and at once. `false` where there is no such
    /// carrier.
    pub async fn set_rate(&self, carrier: &str, calls_per_second: u16, cause: &Cause) -> Result<bool, Error> {
        let _place = self.beside("changing a carrier's rate").await?;
        pacing::set_rate(&self.0.connections, carrier, calls_per_second, cause).await
    }

    /// What the database has written so far. For benchmarks.
    pub async fn storage(&self) -> Result<Storage, Error> {
        storage::storage(&self.0.connections).await
    }

    /// Notes that the portal was told of this version of an ended challenge. Returns at once; the mark may get lost,
    /// and then a sweep hands the challenge out as untold.
    pub fn mark_told(&self, key: &ChallengeKey, version: u32) {
        self.0.told.mark(key, version);
    }

    /// Open challenges whose time for an answer is over at `now`, oldest first. They are handed out again until they
    /// have ended.
    pub async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Stored>, Error> {
        self.0.sweeps.overdue(now, limit).await
    }

    /// Attempts that are due for a look at `now`. Each is handed out to one process, and again after 5 seconds unless
    /// a transition has changed when it is to be looked at. Calls are handed out only if they were due at `calls_by`: who
    /// can't ask a carrier leaves them for a while to those who can.
    pub async fn due(
        &self,
        (now, calls_by): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Vec<(ChallengeKey, u8)>, Error> {
        self.0.sweeps.due((now, calls_by), limit).await
    }

    /// Gives an attempt back that [`Records::due`] handed out at `now` and that could not be looked at: it is due
    /// again after a second.
    pub async fn release(&self, key: &ChallengeKey, attempt: u8, now: Timestamp) -> Result<(), Error> {
        self.0.sweeps.release(key, attempt, now).await
    }

    /// Ends the watch over an attempt that [`Records::due`] handed out at `now` and that is no more, unless a
    /// transition has begun it anew.
    pub async fn forget(&self, key: &ChallengeKey, attempt: u8, now: Timestamp) -> Result<(), Error> {
        self.0.sweeps.forget(key, attempt, now).await
    }

    /// Where the telling sweep of a process that starts at `now` begins.
    pub fn told_cursor(&self, now: Timestamp) -> ToldCursor {
        ToldCursor::before(now)
    }

    /// Challenges that ended, or learned late facts, between the cursor and a second before `now`, and are not marked
    /// as told; oldest first. The cursor moves behind them: only another cursor hands them out again.
    ///
    /// Time is read in short windows, as many as fit into a fraction of a second: what [`ToldCursor::is_behind`] says
    /// is whether there is more to read already. An error leaves the cursor where it is and makes the window smaller.
    pub async fn untold(
        &self,
        cursor: &mut ToldCursor,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Stored>, Error> {
        self.0.sweeps.untold(cursor, now, limit).await
    }

    /// Begins to hand out every challenge whose outcome is still to be collected at `now`, open or ended. `None` while
    /// another process does so.
    pub async fn retelling(&self, now: Timestamp) -> Result<Option<Retelling>, Error> {
        Retelling::begin(&self.0.connections, now, self.0.unit_timeout).await
    }

    /// The user's challenges that are open and not overdue at `now`, newest first: the newest 200, since a portal may open
    /// any number. Batched.
    pub async fn open_challenges_of(&self, user: &UserId, now: Timestamp) -> Result<Vec<Stored>, Error> {
        self.0.open.ask((user.clone(), now)).await
    }

    /// The number of a user's phone, and what is dialed after the answer. Fails where it was sealed for somebody else.
    pub fn reveal(&self, user: &UserId, phone: &Phone) -> Result<(PhoneNumber, Option<Extension>), Error> {
        phones::reveal(&self.0.keys, user, phone)
    }

    /// The line from `from`, one of our own numbers, to this number.
    pub fn line(&self, number: &PhoneNumber, extension: bool, from: &str) -> Line {
        phones::line(&self.0.keys, number, extension, from)
    }

    /// The registered portal of this name, as of the last second.
    pub fn portal(&self, name: &PortalName) -> Option<Arc<Portal>> {
        if self.0.clock.is_measured() { self.0.portals.get(name) } else { None }
    }

    /// Whether the portals were read, and the time was measured, since the start. Until then `portal` knows none,
    /// whatever is registered: nobody's request can be judged yet.
    pub fn knows_portals(&self) -> bool {
        self.0.clock.is_measured() && self.0.portals.are_known()
    }

    /// Registers a portal, or changes what is registered. This process knows it at once, others within a second.
    pub async fn put_portal(&self, portal: &Portal) -> Result<(), Error> {
        administration::put_portal(&self.0.connections, portal).await?;
        let refreshed = self.0.portals.refresh(&self.0.connections).await;
        refreshed.map_err(|fault| fault.into_error("reading the portals"))
    }

    /// Stores a user with exactly these phones and devices. Whether the user is blocked, and the PIN, stay as they are.
    pub async fn put_user(&self, user: &NewUser) -> Result<(), Error> {
        self.put_users(std::slice::from_ref(user)).await
    }

    /// Stores many users, each as [`Records::put_user`] does; after an error, the first ones may be stored.
    pub async fn put_users(&self, users: &[NewUser]) -> Result<(), Error> {
        administration::put_users(&self.0.connections, &self.0.keys, users).await
    }

    /// Stores users of an operator's file in one commit, wholly or not at all; at most some hundreds, of which no two have
    /// the same id. Each that is added or changed has an act with this reason, once however often the same is done again.
    pub async fn import_users(
        &self,
        users: &[BulkUser],
        existing: Existing,
        reason: &str,
    ) -> Result<Imported, Error> {
        bulk::import(&self.0.connections, &self.0.keys, users, (existing, reason)).await
    }

    /// At most so many users after this id, in the order of ids, with their numbers in clear: for an operator's file.
    pub async fn export_users(&self, after: Option<&UserId>, most: usize) -> Result<Vec<BulkUser>, Error> {
        bulk::page(&self.0.connections, &self.0.keys, after, most).await
    }

    /// Blocks a user, until somebody lifts it where no time is given. `false` where there is no such user, or this
    /// challenge has brought that about before.
    pub async fn block(&self, user: &UserId, until: Option<Timestamp>, cause: &Cause) -> Result<bool, Error> {
        let _place = self.beside("blocking a user").await?;
        standing::block(&self.0.connections, user, until, cause).await
    }

    /// Notes that a report of fraud does not block the user, by the portal's policy.
    pub async fn leave_unblocked(&self, user: &UserId, cause: &Cause) -> Result<bool, Error> {
        let _place = self.beside("noting a report of fraud").await?;
        standing::leave_unblocked(&self.0.connections, user, cause).await
    }

    /// Lifts a block, and every lockout. `false` where there is no such user.
    pub async fn unblock(&self, user: &UserId, cause: &Cause) -> Result<bool, Error> {
        let _place = self.beside("unblocking a user").await?;
        standing::unblock(&self.0.connections, user, cause).await
    }

    /// The number of this phone is not called any more, whoever has it. `false` where it was not before.
    pub async fn opt_out(&self, user: &UserId, phone: &Phone, cause: &Cause) -> Result<bool, Error> {
        let _place = self.beside("opting a number out").await?;
        standing::opt_out(&self.0.connections, &self.0.keys, (user, phone), cause).await
    }

    /// The number may be called again. `false` where it could be.
    pub async fn opt_in(&self, number: &PhoneNumber, cause: &Cause) -> Result<bool, Error> {
        let _place = self.beside("opting a number in").await?;
        standing::opt_in(&self.0.connections, &self.0.keys, number, cause).await
    }

    /// The login under which this process is at the database.
    pub async fn login(&self) -> Result<String, Error> {
        let _place = self.beside("reading the login").await?;
        standing::login(&self.0.connections).await
    }

    /// What is known of a user whose enrollment is to be changed. Not for the hot path.
    pub async fn account(&self, user: &UserId) -> Result<Account, Error> {
        let found = self.user(user).await?;
        let _place = self.beside("reading a user's enrollment").await?;
        account::account(&self.0.connections, user, found).await
    }

    /// Whether this number asked never to be called again.
    pub async fn is_opted_out(&self, number: &PhoneNumber) -> Result<bool, Error> {
        let _place = self.beside("asking whether a number is opted out").await?;
        account::is_opted_out(&self.0.connections, &self.0.keys, number).await
    }

    /// The stored answers to these questions: question and hash.
    pub async fn answers(&self, user: &UserId, questions: &[String]) -> Result<Vec<(String, String)>, Error> {
        let _place = self.beside("reading answers").await?;
        account::answers(&self.0.connections, user, questions).await
    }

    /// Takes the user's bypass, if an operator has given one: of all who ask, only one gets `true`. Whoever dies after
    /// that has burnt it.
    pub async fn take_bypass(&self, user: &UserId) -> Result<bool, Error> {
        let _place = self.beside("taking a bypass").await?;
        account::take_bypass(&self.0.connections, user).await
    }

    /// A phone as it is stored, not verified: its number sealed for this user and role.
    pub fn sealed_phone(
        &self,
        of: (&UserId, PhoneRole),
        number: (&PhoneNumber, Option<&Extension>),
        kind: PhoneKind,
    ) -> Phone {
        account::sealed_phone(&self.0.keys, of, number, kind)
    }

    /// Where a user stands, and what was done about it. For people, not for the hot path.
    pub async fn standing(&self, user: &UserId) -> Result<Option<Standing>, Error> {
        let _place = self.beside("reading where a user stands").await?;
        standing::standing(&self.0.connections, user).await
    }

    /// The audit rows of a challenge, oldest first. For people, not for the hot path.
    pub async fn history(&self, key: &ChallengeKey) -> Result<Vec<AuditRow>, Error> {
        history::history(&self.0.connections, key).await
    }

    /// Seals what is closed of the audit trail and not sealed yet, for some seconds. Every process does so each minute; any
    /// number may do it at once.
    pub async fn seal_audit(&self) -> Result<Sealed, Error> {
        self.0.sealer.round().await.map_err(|fault| fault.into_error("sealing the audit"))
    }

    /// The newest seals of the audit trail, newest first.
    pub async fn audit_seals(&self, limit: u16) -> Result<Vec<Seal>, Error> {
        let _place = self.beside("reading the seals").await?;
        seals::newest(&self.0.connections, limit).await
    }

    /// Begins to hold the audit trail against its seals, from the seal in whose range `since` is, or from the first one. It
    /// takes as long as reading the audit does.
    pub async fn verify_audit(&self, since: Option<Timestamp>) -> Result<Verification, Error> {
        Verification::begin(&self.0.connections, &self.0.keys, since).await
    }

    /// How much is stored about a person, by its name in exports: nothing where there is nothing.
    pub async fn count_person(&self, user: &UserId) -> Result<Vec<(&'static str, u64)>, Error> {
        let _place = self.beside("counting what is stored about a person").await?;
        person::count(&self.0.connections, user).await
    }

    /// Everything that is stored about a person. Numbers are in clear, secrets left out. For people, not for the hot path.
    pub async fn person(&self, user: &UserId) -> Result<Option<Person>, Error> {
        person::export(&self.0.connections, &self.0.keys, user).await
    }

    /// Removes a person. Block the user before and end what is open: whoever has challenges that are not settled stays. The
    /// act that is left has this reason and the login of this process. Repeat it after an error: it goes on where it was.
    pub async fn erase(&self, user: &UserId, reason: &str) -> Result<Erasure, Error> {
        erasure::erase(&self.0.connections, &self.0.keys, user, reason).await
    }

    /// A place for an ask beside the lanes.
    async fn beside(&self, doing: &'static str) -> Result<SemaphorePermit<'_>, Error> {
        match timeout(self.0.unit_timeout, self.0.beside.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Error::late(doing)),
        }
    }
}
