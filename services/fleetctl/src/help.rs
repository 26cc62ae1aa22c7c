//! What stands below the arguments in each command's help: examples, exit codes, and the settings it needs.
//!
//! Paragraphs are one line each, since they are wrapped to the terminal. Tests run every example through the parser.

pub(crate) const FLEETCTL: &str = "\
Examples:
  fleetctl challenge --user alice --method voice --watch
  fleetctl queues
  fleetctl help challenge

Settings come from the file that FLEET_CONFIG names and from the environment. Each command needs only those of the \
servers that it talks to: AMQP_URL, REDIS_URL, DATABASE_URL and the two keys (FLEET_KEYS__…) for the fleet's own, \
PORTAL_AMQP_URLS and PORTAL_REDIS_URLS for a portal's.

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

The lines are secrets: keep them where only the fleet can read. All processes of one fleet need the same two. Without \
the master key nobody can read the stored phone numbers any more.

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

pub(crate) const APP: &str = "\
Examples:
  fleetctl app activate 'mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg'
  fleetctl app list
  fleetctl app approve 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b --number 47
  fleetctl app code

A device like a phone, for tests and for people without one. It asks the gateway and gets no pushes. Its key lies in a file: whoever \
has that file is the device.

Exit codes:
   0  done, or approved
  10  denied
  14  refused before it was sent
  65  the device's file is wrong
  66  not found
  69  the gateway is unavailable, or refuses";

pub(crate) const APP_ACTIVATE: &str = "\
Examples:
  fleetctl app activate 'mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg'
  fleetctl app activate 7KQ2-9XWM-4RTA --url https://mfa.example.org --name laptop
  fleetctl app activate -

A code counts once and for ten minutes. The device answers nothing but its own test until that has passed: the portal starts it, then \
`fleetctl app list` shows it. A file that is a device already is never written over.

Exit codes:
   0  activated
  14  the code is mistyped or damaged, and was not sent
  65  the file is a device already, or cannot be written
  66  there is no such code, or it was used or is too old
  69  the gateway is unavailable, or refuses";

pub(crate) const APP_LIST: &str = "\
Examples:
  fleetctl app list
  fleetctl app list --state tablet.json

The portal learns that somebody looks at each of them.

Exit codes:
   0  done
  65  the device's file is wrong
  69  the gateway is unavailable, or refuses";

pub(crate) const APP_APPROVE: &str = "\
Examples:
  fleetctl app approve 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b
  fleetctl app approve 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b --number 47 --uv pin

There is no second try: wrong digits end the challenge, as denied. --uv tells the portal how you made sure of who holds this device: say \
it only if you did.

Exit codes:
   0  approved
  10  denied
  14  a number or a verification is missing, and nothing was sent
  65  the device's file is wrong
  66  it does not wait for an answer any more
  69  the gateway is unavailable, or refuses";

pub(crate) const APP_DENY: &str = "\
Examples:
  fleetctl app deny 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b
  fleetctl app deny 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b --reason not_me

not_me says that somebody else signs in: it reports fraud, and blocks the account.

Exit codes:
   0  denied, as you asked
  65  the device's file is wrong
  66  it does not wait for an answer any more
  69  the gateway is unavailable, or refuses";

pub(crate) const APP_CODE: &str = "\
Example:
  fleetctl app code

It needs no network, but the right time. Each code counts once.

Exit codes:
   0  done
  65  the device's file is wrong
  66  the device has no one-time codes";

pub(crate) const APP_REVOKE: &str = "\
Example:
  fleetctl app revoke

The device can do nothing any more, and what waits for its answer alone ends.

Exit codes:
   0  done
  65  the device's file is wrong
  69  the gateway is unavailable, or refuses; the file is still there";

pub(crate) const APP_QR: &str = "\
Examples:
  fleetctl app qr https://mfa.example.org
  fleetctl app qr - --svg code.svg

Exit codes:
   0  done
  14  the text is longer than a QR code can say
  65  the file is there already, or cannot be made";

pub(crate) const CHALLENGE: &str = "\
Examples:
  fleetctl challenge --user alice
  fleetctl challenge --user alice --method voice --target backup --watch
  fleetctl challenge --portal provider --user carol --number 42 --within 45s --watch
  fleetctl challenge --user frank --method push --json > outcome.json
  fleetctl challenge --user tess --method totp; fleetctl code --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b

Without --watch or --json it prints the challenge's id and ends; the fleet carries on. Whether a push needs a number \
is for the portal's policy to say. Where the fleet's keys are set, an outcome counts only under the fleet's signature.

Needs: PORTAL_AMQP_URLS or --amqp-url; REDIS_URL or PORTAL_REDIS_URLS.

Exit codes:
   0  approved; without --watch or --json: asked for
  10  denied
  11  expired
  12  canceled
  13  failed
  14  refused before it was sent
  65  the outcome's signature does not hold
  69  a server is unavailable, or refuses
  75  no outcome in time
  78  a setting is missing or wrong";

pub(crate) const CANCEL: &str = "\
Example:
  fleetctl cancel --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b

A call that rings is hung up. A challenge that has ended stays as it is; `fleetctl outcome` shows what it came to.

Needs: PORTAL_AMQP_URLS or --amqp-url; REDIS_URL or PORTAL_REDIS_URLS.

Exit codes:
   0  the cancel is on its way
  69  a server is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const CODE: &str = "\
Examples:
  fleetctl code --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b 492039
  fleetctl code --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b -

What the person has typed into the portal, for a challenge that waits for a code (`fleetctl challenge --method totp`). Read from \
standard input it stands neither in the shell's history nor in the list of processes. Each code is a try, of which a challenge \
has three; `fleetctl outcome` shows what came of it.

Needs: PORTAL_AMQP_URLS or --amqp-url; REDIS_URL or PORTAL_REDIS_URLS.

Exit codes:
   0  the code is on its way
  65  what standard input has is no code
  69  a server is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const RESEND: &str = "\
Example:
  fleetctl resend --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b

A challenge has one re-send, whether the fleet or the person asks for it. Where it is not due (the challenge has ended, is not
pushed yet, was sent twice, or has too little time left) nothing happens. `fleetctl history` shows whether it was asked for.

Needs: PORTAL_AMQP_URLS or --amqp-url; REDIS_URL or PORTAL_REDIS_URLS.

Exit codes:
   0  the request is on its way
  69  a server is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const OUTCOME: &str = "\
Examples:
  fleetctl outcome --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b
  fleetctl outcome --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b --verify --json

Needs: REDIS_URL or PORTAL_REDIS_URLS; with --verify also FLEET_KEYS__MASTER and FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  approved
  10  denied
  11  expired
  12  canceled
  13  failed
  65  the signature does not hold
  66  nothing is known of it
  69  Redis is unavailable, or refuses
  75  still pending
  78  a setting is missing or wrong";

pub(crate) const HISTORY: &str = "\
Example:
  fleetctl history --portal operations 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b

Needs: DATABASE_URL, FLEET_KEYS__MASTER, FLEET_KEYS__OUTCOME_SIGNING_KEY.

Exit codes:
   0  done
  66  there is no such challenge
  69  PostgreSQL is unavailable, or refuses
  78  a setting is missing or wrong";

pub(crate) const USER: &str = "\
Examples:
  fleetctl user show alice
  fleetctl user block alice --reason stolen
  fleetctl user unblock alice --reason mistake
  fleetctl user export alice
  fleetctl user erase alice --reason request
  fleetctl user change alice bypass --portal help-desk --seconds 120 --ticket HD-7 --reason repair
  fleetctl user import people.csv
  fleetctl user export-all --out people.jsonl

Every act is kept with its reason and with the login that PostgreSQL has for whoever did it.

Exit codes:
   0  done
  66  there is no such user
  69  PostgreSQL is unavailable, or refuses
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
  fleetctl user change alice phone_change --portal help-desk --number +19195550102 --reason lost
  fleetctl user change alice method_change --portal help-desk --method push --reason asked
  fleetctl user change alice bypass --portal help-desk --seconds 120 --ticket HD-7 --reason repair
  fleetctl user change alice device_lost --portal help-desk --reason stolen
  fleetctl user change alice device_activate --portal help-desk --reason asked
  fleetctl user change newcomer enroll --portal help-desk --method voice --audience staff --reason hired

You ask as a portal: RabbitMQ proves who you are, and its policy says what it may change (enrollment.requests). An operators' portal \
(enrollment.operators) needs no proof of the old factor, is named in the audit, and may do so while the user is locked out. A new \
phone or method is tested by a live call or push before anything changes. Numbers and PIN travel in a sealed box.

Needs: PORTAL_AMQP_URLS, REDIS_URL or PORTAL_REDIS_URLS, ENROLLMENT_KEY.

Exit codes:
   0  done
  10  refused; nothing has changed
  11  no test passed in time; nothing has changed
  12  called off, or a newer request took its place
  14  the request breaks its contract and was not sent
  69  a server is unavailable, or refuses
  75  no outcome came in time
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
  66  nothing is stored about such a user
  69  PostgreSQL is unavailable, or refuses
  74  the file can't be written, or is there already
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

pub(crate) const DEAD: &str = "\
Examples:
  fleetctl dead list
  fleetctl dead show 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b
  fleetctl dead replay 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b
  fleetctl dead drop --all --reason invalid_request --older-than 30d --yes

`dead` has what was delivered too often; the workers end those challenges by themselves. `parked` has what nobody can \
handle; it waits for you. Looking changes nothing. A message without an id is named by the start of its SHA-256.

Exit codes:
   0  done
  66  there is no such message
  69  RabbitMQ is unavailable, or refuses
  78  a setting is wrong";

pub(crate) const DEAD_LIST: &str = "\
Example:
  fleetctl dead list --limit 20

Needs: AMQP_URL of the fleet's own user.

Exit codes:
   0  done
  69  RabbitMQ is unavailable, or refuses
  78  a setting is wrong";

pub(crate) const DEAD_SHOW: &str = "\
Example:
  fleetctl dead show 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b

Of a body that nobody has checked, or that broke its schema, only size and SHA-256 are shown: it may hold anything.

Needs: AMQP_URL of the fleet's own user.

Exit codes:
   0  done
  66  there is no such message
  69  RabbitMQ is unavailable, or refuses
  78  a setting is wrong";

pub(crate) const DEAD_REPLAY: &str = "\
Example:
  fleetctl dead replay 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b

The message goes back to its queue, or an event to `mfa.events`, under its own id and for the same portal; it is removed \
once RabbitMQ has confirmed that. Should this die in between, it is there twice, which does no harm: work that is owed is \
done once, and events are known by their ids. All messages of this id are sent.

Refused are requests for a challenge and codes, since nobody waits for their answer any more: the portal publishes a new one. And \
messages of which only a hash was kept: their senders have to send them again.

Needs: AMQP_URL of a user that may write to `mfa.return` and `mfa.events`; RabbitMQ notes that user on what is sent.

Exit codes:
   0  done
  14  it may not be sent again
  66  there is no such message
  69  RabbitMQ is unavailable, or refuses
  78  a setting is wrong";

pub(crate) const DEAD_DROP: &str = "\
Examples:
  fleetctl dead drop 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b --yes
  fleetctl dead drop --all --reason invalid_request --older-than 30d

Shows what it drops. Without --yes nothing is dropped. Of each queue the first 10000 messages are looked at; a message \
that does not say when it was published has no age.

Needs: AMQP_URL of the fleet's own user.

Exit codes:
   0  done, or nothing fits
  64  it was not confirmed with --yes
  66  there is no such message
  69  RabbitMQ is unavailable, or refuses
  78  a setting is wrong";

pub(crate) const QUEUES: &str = "\
Example:
  fleetctl queues

Counts messages that wait; those that are being worked on are not among them. Queues that do not exist yet are made.

Needs: AMQP_URL of the fleet's own user.

Exit codes:
   0  done
  69  RabbitMQ is unavailable, or refuses
  78  a setting is wrong";

pub(crate) const PLAY: &str = "\
Examples:
  fleetctl play ops/demo-data/scenarios.toml
  fleetctl play ops/demo-data/scenarios.toml --speed 10 --parallel 4

A file has scenarios, each with what it must come to:

  parallel = 4                  # all at once if absent
  [[scenario]]
  title = \"Alice presses #\"
  portal = \"operations\"
  user = \"alice\"
  method = \"voice\"              # or push, totp, default
  target = \"primary\"            # or backup, or a device's id
  number = \"42\"                 # digits that the portal shows
  within = \"45s\"                # or as the portal's policy says
  locale = \"es-MX\"              # or as the portal's policy says
  code = \"right\"                # or wrong, digits, used: that of the scenario in after
  totp = \"GEZDGNBV…\"            # the secret that the codes are made of, in Base32
  after = \"Bob does not answer\"  # a scenario above that must have ended
  cancel_when = \"ringing\"       # or cancel_after = \"5s\"
  block_when = \"ringing\"        # the help desk then blocks the user
  expect = { result = \"canceled\", reason = \"caller_canceled\" }

What may be expected besides: assurance = \"key\", alternatives = [\"backup\"], help = \"words of it\", caller_id = \"local\".

A scenario may also be a change of the user's enrollment, proved by a scenario above it:

  [[scenario]]
  title = \"Alice has a new phone\"
  portal = \"provider\"
  user = \"alice\"
  change = \"phone_change\"       # or what else a portal may ask for
  with = { number = \"+19195550100\", proof = \"Alice presses #\" }
  expect = { result = \"done\", reason = \"ok\" }

What `with` may have: method, number, extension, kind, pin, answers = { pet = \"Rex\" }, proof; for a recovery unreached, the \
challenge that did not reach the person; at the help desk actor, reason, ticket, seconds. What may be expected besides: \
authority, next_step, rule = \"words of it\", help. A test that is not passed is called off.

Needs: PORTAL_AMQP_URLS or --amqp-url; REDIS_URL or PORTAL_REDIS_URLS. With a change also FLEET_ENROLLMENT_KEYS__CURRENT; with \
block_when what `fleetctl user block` needs.

Exit codes:
   0  all ended as expected
   1  one did not
  65  the file is wrong
  69  a server is unavailable, or refuses
  78  a setting is missing or wrong";
