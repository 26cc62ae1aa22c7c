//! Help for `fleetctl dead`.

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
