//! Help for the fleet as a whole.

pub(crate) const FLEETCTL: &str = "\
Examples:
  fleetctl challenge --user alice --method voice --watch
  fleetctl queues
  fleetctl help challenge

Settings come from the file that FLEET_CONFIG names and from the environment. Each command needs only those of the \
servers that it talks to: AMQP_URL, REDIS_URL, DATABASE_URL and the two keys (FLEET_KEYS__…) for the fleet's own, \
PORTAL_AMQP_URLS and PORTAL_REDIS_URLS for a portal's.

64, 74 and 141 can end every command; the others stand in each one's help.

Exit codes:
   0  done, or approved
   1  a played challenge did not end as expected
  10  denied
  11  expired
  12  canceled
  13  failed
  14  refused before it was sent
  64  wrong usage
  65  a file or a signature is wrong
  66  not found
  69  a server is unavailable, or refuses
  74  the output can't be written
  75  no outcome in time
  78  a setting is missing or wrong
 141  the output was closed";

pub(crate) const KEYS: &str = "\
Example:
  fleetctl keys > fleet.env

The lines are secrets: keep them where only the fleet can read. All processes of one fleet need the same FLEET_KEYS__MASTER \
and FLEET_KEYS__OUTCOME_SIGNING_KEY; FLEET_ENROLLMENT_KEYS__CURRENT is for the enrollment-worker alone, which opens with it what \
portals seal. Without the master key nobody can read the stored phone numbers any more.

Exit codes:
   0  done";

pub(crate) const MIGRATE: &str = "\
Example:
  fleetctl migrate

Run it before the processes of a new version start. It can be repeated, and several may run it at once.

Needs: DATABASE_URL.

Exit codes:
   0  done
  69  PostgreSQL is unavailable, or refuses
  78  a setting is wrong";

pub(crate) const DEMO_DATA: &str = "\
Example:
  fleetctl demo-data ops/demo-data/people.toml

What the file names takes the place of what is stored under the same name; everything else stays.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  65  the file is wrong
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const CARRIERS: &str = "\
Examples:
  fleetctl carriers
  fleetctl carriers rate twilio 5 --reason approved

A carrier is listed from its first call on. Calls that find no slot in the next moments wait for their turn, oldest first; a call \
whose turn would come too late for its challenge ends as throttled, with retry_after_s.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  66  there is no such carrier
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const CARRIERS_RATE: &str = "\
Example:
  fleetctl carriers rate twilio 5 --reason approved

The rate is the whole fleet's, however many workers run. It is kept in PostgreSQL and goes before twilio.calls_per_second, which \
only a new carrier begins with; the reason and the login that PostgreSQL has for you are kept too.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  66  there is no such carrier
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const QUEUES: &str = "\
Example:
  fleetctl queues

Counts messages that wait; those that are being worked on are not among them. Queues that do not exist yet are made.

Needs: AMQP_URL of the fleet's own user.

Exit codes:
   0  done
  69  RabbitMQ is unavailable, or refuses
  78  a setting is wrong";
