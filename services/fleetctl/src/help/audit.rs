//! Help for `fleetctl audit`.

pub(crate) const AUDIT: &str = "\
Examples:
  fleetctl audit verify
  fleetctl audit verify --since 7d
  fleetctl audit list

Every minute the fleet seals what has been written to the audit, in a chain under its own key.

Exit codes:
   0  done
  65  something is not as it was sealed
  66  nothing is sealed
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const AUDIT_VERIFY: &str = "\
Examples:
  fleetctl audit verify
  fleetctl audit verify --since 7d
  fleetctl audit verify --since 2026-01-31T00:00:00Z

Finds rows that were altered, removed or inserted after they were sealed, and seals that were. It changes nothing, reads all \
rows that are kept, and takes some minutes for some ten million. Days that retention has dropped and persons who were erased are no \
finding. What is younger than the newest seal is not checked; whether newer seals were removed, the fleet's logs tell, which \
name each (audit sealed).

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  all is as it was sealed
  65  something is not
  66  no seal covers that time
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const AUDIT_LIST: &str = "\
Example:
  fleetctl audit list --limit 5

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";
