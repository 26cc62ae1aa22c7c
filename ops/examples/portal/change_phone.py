#!/usr/bin/env python3
"""Changes the phone of a user, as a portal's page would: README.md tells each step.

The user is signed in by a call to the phone that is known. Then the new phone is called, and takes the old one's place
when the person there has confirmed it. Until then the old one stays, whatever happens.
"""

import argparse
import secrets
import sys

import mfa_portal

NOT_SIGNED_IN, NOT_CHANGED = 1, 3

# How a test can end that did not reach anybody: worth another call. Wrong digits or a report of fraud are not.
UNREACHED = ("no_answer", "busy", "unreachable", "rejected_call", "voicemail")

NEXT_STEPS = {
    "answer_test": "answer the call, and do what the voice says",
    "retry_test": "the test was not passed; it can be made once more",
    "set_questions": "choose security questions",
    "set_pin": "set a PIN",
    "test_backup": "have the backup phone tested",
}


def sign_in(portal, user, number):
    """The approved challenge, or None. Its id is the proof that a change asks for."""
    challenge = portal.call(user, number)
    for outcome in portal.outcomes("outcome", challenge):
        called = [attempt["to"] for attempt in outcome["attempts"] if attempt.get("to")]
        print(f"  {outcome['progress']:<14} {called[-1] if called else ''}".rstrip())
    # The purpose is looked at too: whoever passes the test of a phone is not signed in by that.
    if outcome["result"] == "approved" and outcome["purpose"] == "sign_in":
        print(f"  approved by {outcome['assurance']}")
        return challenge
    print(f"  {outcome['result']}: {outcome['reason']}")
    for other in outcome["alternatives"]:
        print(f"  can be tried instead: {other['channel']} {other['target']}")
    print_help(outcome)
    return None


def change_phone(portal, user, phone, proof, number):
    """The final outcome of the change."""
    request = portal.change_phone(user, phone, proof, number)
    for outcome in portal.outcomes("enrollment", request):
        show(outcome)
        if outcome["result"] == "pending" and outcome.get("next_step") == "retry_test":
            reasons = [test["reason"] for test in outcome["tests"]]
            if len(reasons) == 1 and reasons[0] in UNREACHED:
                print(f"  nobody was reached ({reasons[0]}): calling once more")
                portal.go_on(user, request, "test", number)
            else:
                print(f"  the test was not passed ({reasons[-1]}): calling it off")
                portal.go_on(user, request, "cancel")
    return outcome


def show(outcome):
    """Where a change stands, what is to be done now, and how long there is."""
    step = outcome.get("next_step")
    told = NEXT_STEPS.get(step, step)
    left = f"{outcome['seconds_left']} s left" if outcome["result"] == "pending" else outcome["result"]
    print(f"  {outcome['state']:<14} {left}{f'; next: {told}' if told else ''}")


def print_help(outcome):
    if outcome.get("help"):
        print(f"  {outcome['help']}")


def conclude(outcome):
    phone = outcome["phones"][0]["number"] if outcome["phones"] else "the new phone"
    if outcome["result"] == "done":
        print(f"Changed: calls go to {phone} from now on.")
        return 0
    print(f"Nothing is changed ({outcome['result']}, {outcome['reason']}).")
    if outcome.get("field"):
        print(f"  {outcome['field']} {outcome['rule']}")
    print_help(outcome)
    return NOT_CHANGED


def arguments():
    parser = argparse.ArgumentParser(description="Changes the phone of a user.", epilog="Settings: see README.md.")
    parser.add_argument("user", help="whose phone")
    parser.add_argument("number", help="the new number in E.164 form, such as +19195550100")
    parser.add_argument("--extension", help="what is keyed after the answer, such as ,,4123#")
    parser.add_argument("--kind", choices=("mobile", "office"), default="mobile", help="where the phone stands")
    parser.add_argument("--show-number", action="store_true", help="have the person key two digits from this screen")
    return parser.parse_args()


def main():
    given = arguments()
    phone = {"number": given.number, "kind": given.kind}
    if given.extension:
        phone["extension"] = given.extension
    number = f"{secrets.randbelow(90) + 10}" if given.show_number else None
    # Each line is seen when it is said, also in a pipe.
    sys.stdout.reconfigure(line_buffering=True)
    try:
        with mfa_portal.Portal.from_environment() as portal:
            if number:
                print(f"Key {number} and the pound key when the voice asks for the number on your screen.")
            print(f"Signing {given.user} in by a call to the phone that is known:")
            proof = sign_in(portal, given.user, number)
            if proof is None:
                return NOT_SIGNED_IN
            print("Calling the new phone:")
            return conclude(change_phone(portal, given.user, phone, proof, number))
    except mfa_portal.PortalError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
