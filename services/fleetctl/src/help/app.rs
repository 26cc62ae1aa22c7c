//! Help for `fleetctl app`.

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
  69  the gateway is unavailable, or refuses
  78  there is no home directory, and no --state";

pub(crate) const APP_ACTIVATE: &str = "\
Examples:
  fleetctl app activate 'mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg'
  fleetctl app activate 7KQ2-9XWM-4RTA --url https://mfa.example.org --name laptop
  fleetctl app activate -

A code counts once and for ten minutes. The file has the device's key before the code is sent: where no answer came, the same command \
goes on with that key, and is the same device to the fleet. A code that is refused for good leaves no file, and a file that is a \
device already is never written over.

The device answers nothing but its own test until that has passed: the portal starts it, then `fleetctl app list` shows it.

Exit codes:
   0  activated
  14  the code is mistyped or damaged, or --url is missing; nothing was sent
  65  the file is a device already, or cannot be written
  66  there is no such code, or it was used or is too old
  69  the gateway is unavailable, or refuses
  78  there is no home directory, and no --state";

pub(crate) const APP_LIST: &str = "\
Examples:
  fleetctl app list
  fleetctl app list --state tablet.json

Of each it shows who asks, what for, from where, and what the portal tells besides. The portal learns that somebody looks at it.

Exit codes:
   0  done
  65  the device's file is wrong
  69  the gateway is unavailable, or refuses
  78  there is no home directory, and no --state";

pub(crate) const APP_APPROVE: &str = "\
Examples:
  fleetctl app approve 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b
  fleetctl app approve 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b --number 47 --uv pin

It shows what it approves. There is no second try: wrong digits end the challenge, as denied. --uv tells the portal how you made sure of who holds this device: say \
it only if you did.

Exit codes:
   0  approved
  10  denied
  14  a number or a verification is missing, and nothing was sent
  65  the device's file is wrong
  66  it does not wait for an answer any more
  69  the gateway is unavailable, or refuses
  78  there is no home directory, and no --state";

pub(crate) const APP_DENY: &str = "\
Examples:
  fleetctl app deny 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b
  fleetctl app deny 0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b --reason not_me

It shows what it denies. not_me says that somebody else signs in: it reports fraud, and blocks the account where the portal's policy \
says so.

Exit codes:
   0  denied, as you asked
  65  the device's file is wrong
  66  it does not wait for an answer any more
  69  the gateway is unavailable, or refuses
  78  there is no home directory, and no --state";

pub(crate) const APP_CODE: &str = "\
Example:
  fleetctl app code

It needs no network, but the right time. Each code counts once.

Exit codes:
   0  done
  65  the device's file is wrong
  66  the device has no one-time codes
  78  there is no home directory, and no --state";

pub(crate) const APP_REVOKE: &str = "\
Example:
  fleetctl app revoke

The device can do nothing any more, and what waits for its answer alone ends.

Exit codes:
   0  done
  65  the device's file is wrong; or the device is given up, and the file can't be removed
  69  the gateway is unavailable, or refuses; the file is still there
  78  there is no home directory, and no --state";

pub(crate) const APP_QR: &str = "\
Examples:
  fleetctl app qr https://mfa.example.org
  fleetctl app qr - --svg code.svg

Exit codes:
   0  done
  14  the text is longer than a QR code can say
  65  the file is there already, or cannot be made";
