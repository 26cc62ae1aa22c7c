//! Help for `fleetctl user` and `fleetctl phone`.

pub(crate) const USER: &str = "\
Examples:
  fleetctl user show alice
  fleetctl user block alice --reason stolen
  fleetctl user unblock alice --reason mistake
  fleetctl user export alice
  fleetctl user erase alice --reason request
  fleetctl user change alice bypass --portal help-desk --seconds 120 --ticket HD-7 --reason repair
  fleetctl user continue 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b test --portal help-desk
  fleetctl user import people.csv
  fleetctl user export-all --out people.jsonl

Every act is kept with its reason and with the login of whoever did it: that which PostgreSQL has, for change and continue the \
portal's at RabbitMQ.

Exit codes:
   0  done
  10  a change was refused
  11  no test of a change passed in time
  12  a change was called off
  14  a change breaks its contract, or is not due, and was not sent
  64  an erasure was not confirmed
  65  a file cannot be used, or a signature does not hold
  66  there is no such user or request
  69  a server is unavailable, or refuses
  75  a change waits for another message; or a call is still to be hung up before an erasure
  78  a setting is missing or wrong";

pub(crate) const USER_BLOCK: &str = "\
Examples:
  fleetctl user block alice --reason stolen
  fleetctl user block alice --reason suspicion --for 12h

Takes some two seconds: what was being accepted meanwhile is ended too. With RabbitMQ or Redis away the user is blocked \
all the same; the workers hang up and tell the portals later.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY, AMQP_URL of the fleet's own user, REDIS_URL.

Exit codes:
   0  done
  66  there is no such user
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const USER_UNBLOCK: &str = "\
Example:
  fleetctl user unblock alice --reason mistake

Lifts the block, and every lockout: after wrong PINs, one-time codes and answers.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  66  there is no such user
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const USER_SHOW: &str = "\
Example:
  fleetctl user show alice

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  66  there is no such user
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const USER_CHANGE: &str = "\
Examples:
  fleetctl user change alice read --portal help-desk --reason asked
  fleetctl user change alice phone_change --portal help-desk --number +19195550102 --reason lost
  fleetctl user change alice pin_change --portal help-desk --pin --reason asked
  fleetctl user change alice questions_change --portal help-desk --questions pet,school --reason asked
  fleetctl user change alice device_activate --portal help-desk --reason asked
  fleetctl user change alice method_change --portal help-desk --method push --show 47 --reason asked
  fleetctl user change alice bypass --portal help-desk --seconds 120 --ticket HD-7 --reason repair
  fleetctl user change alice device_lost --portal help-desk --reason stolen
  fleetctl user change newcomer enroll --portal help-desk --method voice --audience staff --number +19195550103 --reason hired

You ask as a portal: RabbitMQ proves who you are, and its policy says what it may change (enrollment.requests). An operators' portal \
(enrollment.operators) needs no proof of the old factor, is named in the audit, and may do so while the user is locked out. Numbers, \
PIN and answers travel in a sealed box.

A new phone, PIN or method is tested by a live call, push or code before anything changes. Digits that the person keys or types in a \
test are yours to choose and to show (--show). Where the change waits for another message (the app was activated, the test failed, \
a code was typed), it ends with 75 and says with which `fleetctl user continue` it goes on.

Needs: PORTAL_AMQP_URLS, REDIS_URL or PORTAL_REDIS_URLS, ENROLLMENT_KEY.

Exit codes:
   0  done
  10  refused; nothing has changed
  11  no test passed in time; nothing has changed
  12  called off, or a newer request took its place
  14  the request breaks its contract and was not sent
  65  the outcome's signature does not hold; or standard input has no PIN or answer
  69  a server is unavailable, or refuses
  75  it waits for another message, or no outcome came in time
  78  a setting is missing or wrong";

pub(crate) const USER_CONTINUE: &str = "\
Examples:
  fleetctl user continue 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b test --portal help-desk --show 47
  fleetctl user continue 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b code --portal help-desk
  fleetctl user continue 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b answers --portal help-desk
  fleetctl user continue 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b activation --portal help-desk
  fleetctl user continue 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b cancel --portal help-desk

Goes on with what `fleetctl user change` has begun, and follows it as that does. test begins the test of an app that was activated, \
or repeats one that failed; --show is needed where the test before had digits, and for pushes unless the portal's policy is to approve \
only. code hands on what the app shows, where the test is a one-time code. answers are those to the questions of a recovery. What is not \
due is not sent.

Needs: PORTAL_AMQP_URLS, REDIS_URL or PORTAL_REDIS_URLS; for answers also ENROLLMENT_KEY.

Exit codes:
   0  done
  10  refused; nothing has changed
  11  no test passed in time; nothing has changed
  12  called off, or a newer request took its place
  14  it is not due, or breaks its contract, and was not sent
  65  the outcome's signature does not hold; or standard input has no code or answer
  66  nothing is known of such a request
  69  a server is unavailable, or refuses
  75  it waits for another message still
  78  a setting is missing or wrong";

pub(crate) const USER_IMPORT: &str = "\
Examples:
  fleetctl user import people.csv --dry-run
  fleetctl user import people.csv
  fleetctl user import people.csv --existing update --resume

Fields: id, audience and method (voice, push, totp) are needed. phone and backup_phone are E.164 numbers; extension and \
backup_extension are keyed after the answer; phone_kind and backup_kind are mobile or office (office behind an extension, else \
mobile, if absent); verified and backup_verified are true where a live call was answered before (false if absent, and such a phone \
is not called before it passes one). pin_hash is a PHC string of argon2id, argon2i, pbkdf2-sha256, pbkdf2-sha512 or scrypt, or a \
bcrypt hash, made of the bare digits; or what an export of this fleet has.

Users that are there are left as they are. With --existing update they take audience and method of their line, and each phone and \
PIN that it gives; what it does not give stays, as do devices, blocks and answers. A phone whose number and extension are the same stays \
verified.

A user whose method has no data yet is stored and not called: the data is asked for first. A line that is refused does not stop the \
rest. A number without + is refused, since a spreadsheet may have eaten it: --add-plus puts it back, in files whose numbers are all \
international.

FILE.checkpoint keeps how far it has come, until it is done. If it was killed, --resume goes on there, unless the file has changed.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY; without the first for --dry-run.

Exit codes:
   0  done
  65  done, but lines were refused; or the file cannot be used, and nothing was stored
  69  PostgreSQL is unavailable, or refuses; --resume goes on
  78  a setting is missing or wrong";

pub(crate) const USER_EXPORT_ALL: &str = "\
Example:
  fleetctl user export-all --out people.jsonl

The file has every user with numbers in clear and PINs as hashes, for `fleetctl user import`: keep it as you keep a password. PINs \
that were set here can be imported by a fleet with the same FLEET_KEYS__MASTER only. Devices, security answers, blocks and acts are \
not in it. A spreadsheet that opens the file eats the + of numbers: import its columns as text.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  65  the file cannot be written
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const USER_EXPORT: &str = "\
Examples:
  fleetctl user export alice
  fleetctl user export alice --out alice.json

What is stored about one person, for that person: enrollment with numbers in clear, devices, what was done, and every \
challenge that is still kept with its history. PINs, keys and push tokens are left out. The file must be new.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  65  the file can't be written, or is there already
  66  nothing is stored about such a user
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const USER_ERASE: &str = "\
Examples:
  fleetctl user erase alice --reason request
  fleetctl user erase alice --reason request --yes

Blocks the user, ends what is open, and then removes enrollment, devices and PIN, and takes the person out of challenges and \
audit. What happened stays under a random name, and `fleetctl audit verify` goes on to hold. An act with your reason and the \
login that PostgreSQL has for you is left. A number that asked never to be called again is remembered, as a keyed hash.

Without --yes you are asked to type the user's id. An erasure that was cut off is done to its end by the next one. What Redis \
has of outcomes it forgets within minutes; backups are yours to deal with.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY, AMQP_URL of the fleet's own user, REDIS_URL.

Exit codes:
   0  done
  64  it was not confirmed
  66  nothing is stored about such a user
  69  PostgreSQL is unavailable, or refuses
  75  a call is still to be hung up: run it again in a minute
  78  a setting is missing or wrong";

pub(crate) const PHONE: &str = "\
Example:
  fleetctl phone opt-in +19195550100 --reason mistake

Exit codes:
   0  done
  66  the number is not opted out
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const PHONE_OPT_IN: &str = "\
Example:
  fleetctl phone opt-in +19195550100 --reason mistake

Whoever answers a call can key 9 and the pound key, and confirm, that the number is never to be called again. This takes \
that back; the reason and the login that PostgreSQL has for you are kept.

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  66  the number is not opted out
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";
