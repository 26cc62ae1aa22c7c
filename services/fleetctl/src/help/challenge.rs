//! Help for challenges.

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
standard input, where a terminal does not show it, it stands neither in the shell's history nor in the list of processes. Each code is a try, of which a challenge \
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

A challenge has one re-send, whether the fleet or the person asks for it. Where it is not due (the challenge has ended, is not \
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

pub(crate) const PLAY: &str = "\
Examples:
  fleetctl play scenarios.toml
  fleetctl play ops/demo-data/scenarios.toml --apps http://127.0.0.1:8081 --speed 10 --parallel 4

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

What `with` may have: method, number, extension, kind, pin, answers = { pet = \"Rex\" }, proof; shows = \"47\", the digits that the \
portal shows in the test; app = { name = \"Alice's phone\", approves = true }, the app of a person who gets one, which the simulator \
activates and which does in the test what it is told; for a recovery unreached, the challenge that did not reach the person; at the \
help desk actor, reason, ticket, seconds. What may be expected besides: authority, next_step, rule = \"words of it\", help. A test that \
is not passed is called off.

Needs: PORTAL_AMQP_URLS or --amqp-url; REDIS_URL or PORTAL_REDIS_URLS. With a change also FLEET_ENROLLMENT_KEYS__CURRENT; with \
block_when what `fleetctl user block` needs; with an app also a simulator, and --apps, its base URL.

Exit codes:
   0  all ended as expected
   1  one did not
  64  a scenario has an app, and --apps is missing
  65  the file is wrong
  69  a server is unavailable, or refuses
  78  a setting is missing or wrong";
