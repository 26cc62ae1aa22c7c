//! Who may change what, cell by cell, as a table that is compared with `authority.txt`.
//!
//! To renew it after a change of the rules: `UPDATE_GOLDEN=1 cargo test -p fleet-domain`.

use std::fmt::Write as _;

use fleet_domain::{
    Account, Authority, Change, Enrollment, EnrollmentPolicy, EnrollmentReason, EnrollmentState, PhoneRole,
    Shown, authority, open_enrollment,
};

use super::cases::{accounts, ask_for, cause, portal_with};
use crate::cases::at;
use crate::golden::{compare, manifest};

const SHOWN: [Shown; 4] = [Shown::Nothing, Shown::SignIn, Shown::Test, Shown::Recovery];
const ROLES: [Option<PhoneRole>; 3] = [None, Some(PhoneRole::Primary), Some(PhoneRole::Backup)];

/// What a portal may be told about a change.
fn policies(change: Change) -> Vec<(&'static str, EnrollmentPolicy)> {
    let named = EnrollmentPolicy { requests: vec![change], recovery: true, ..EnrollmentPolicy::default() };
    let unnamed = EnrollmentPolicy {
        requests: Change::ALL.iter().copied().filter(|other| *other != change).collect(),
        ..named.clone()
    };
    let mut policies = vec![
        ("not named", unnamed.clone()),
        (if change.is_operators() { "named but for operators only" } else { "named" }, named.clone()),
        ("operators, not named", EnrollmentPolicy { operators: true, ..unnamed }),
        ("operators, named", EnrollmentPolicy { operators: true, ..named.clone() }),
    ];
    if change == Change::Recovery {
        policies.push(("named, recovery off", EnrollmentPolicy { recovery: false, ..named }));
    }
    policies
}

/// One cell: what becomes of a request in which nothing else is wrong.
fn cell(
    (change, role): (Change, Option<PhoneRole>),
    policy: &EnrollmentPolicy,
    account: &Account,
    shown: Shown,
) -> Enrollment {
    let mut ask = ask_for(change, role);
    ask.wanted.cause = policy.operators.then(cause);
    open_enrollment(&ask, None, (account, shown), &portal_with(policy.clone()), at(0)).unwrap()
}

fn word(enrollment: &Enrollment) -> String {
    match &enrollment.live.end {
        None => format!("{}: {}", enrollment.request.authority, enrollment.live.state),
        Some(end) => format!("no: {}", end.reason),
    }
}

/// Each cell, and where it is.
fn cells() -> impl Iterator<Item = (Change, Option<PhoneRole>, EnrollmentPolicy, &'static str, Account, Shown)>
{
    Change::ALL.iter().flat_map(|change| {
        policies(*change).into_iter().flat_map(move |(_, policy)| {
            accounts().into_iter().flat_map(move |(user, account)| {
                let policy = policy.clone();
                ROLES.into_iter().flat_map(move |role| {
                    let (policy, account) = (policy.clone(), account.clone());
                    SHOWN.map(move |shown| (*change, role, policy.clone(), user, account.clone(), shown))
                })
            })
        })
    })
}

#[test]
fn every_cell_of_the_authorisation_matrix_is_what_the_table_says() {
    let mut table = String::from(
        "# change | policy | user | phone | with nothing | with a sign-in | with a passed test | with a recovery\n",
    );
    for change in Change::ALL {
        for (policy_name, policy) in policies(*change) {
            for (user, account) in accounts() {
                let rows = ROLES.map(|role| {
                    SHOWN.map(|shown| word(&cell((*change, role), &policy, &account, shown))).join(" | ")
                });
                let differs = rows.iter().any(|row| *row != rows[0]);
                for (role, row) in ROLES.iter().zip(&rows).take(if differs { 3 } else { 1 }) {
                    let role = match role {
                        _ if !differs => "any",
                        None => "not said",
                        Some(role) => role.as_str(),
                    };
                    writeln!(table, "{change} | {policy_name} | {user} | {role} | {row}").unwrap();
                }
            }
        }
    }
    compare(&manifest("tests/rules/enrollment/authority.txt"), &table, "");
}

#[test]
fn what_a_policy_does_not_name_is_never_allowed_and_what_is_operators_only_to_operators() {
    for (change, role, policy, user, account, shown) in cells() {
        let found = authority((change, role), &account, shown, &policy);
        if !policy.requests.contains(&change) || change.is_operators() && !policy.operators {
            assert_eq!(found, Err(EnrollmentReason::NotPermitted), "{change}, {user}");
        } else if policy.operators {
            assert_eq!(found, Ok(Authority::Operator), "{change}, {user}");
        } else {
            assert_ne!(found, Ok(Authority::Operator), "{change}, {user}");
        }
    }
}

#[test]
fn without_a_proof_an_enrolled_user_is_only_tested_or_asked_and_a_recovery_opens_the_method_or_another_device()
 {
    for (change, role, policy, user, account, shown) in cells().filter(|(_, _, policy, ..)| !policy.operators)
    {
        let Ok(found) = authority((change, role), &account, shown, &policy) else { continue };
        assert!(user != "blocked" || change == Change::Read, "{change}");
        if account.is_enrolled() {
            assert_ne!(found, Authority::First, "{change}, {user}");
            if shown == Shown::Nothing {
                assert!(
                    matches!(change, Change::Recovery | Change::PhoneTest | Change::Read),
                    "{change}, {user}"
                );
            }
            assert_eq!(
                found == Authority::Recovery,
                shown == Shown::Recovery && matches!(change, Change::Method | Change::DeviceActivate),
                "{change}, {user}"
            );
        }
        if matches!(change, Change::Recovery | Change::PhoneTest | Change::Read) {
            assert_eq!(found, Authority::None, "it proves something itself");
        }
    }
}

/// Only an enrollment tells them apart: a user's id belongs to one audience.
#[test]
fn a_user_of_another_audience_looks_like_one_that_does_not_exist_and_is_never_touched() {
    let [(_, unknown), .., (_, stranger)] = accounts();
    let mut blocked = stranger.clone();
    if let Some(user) = &mut blocked.user {
        user.blocked = true;
    }
    for (change, role, policy, _, _, shown) in cells().filter(|(_, _, _, user, ..)| *user == "unknown") {
        for stranger in [&stranger, &blocked] {
            let found = cell((change, role), &policy, stranger, shown);
            assert!(!found.is_open(), "{change}");
            assert_eq!(found.live.state, EnrollmentState::Refused, "{change}");
            assert_eq!(found.request.patch, fleet_domain::Patch::default(), "{change}");
            assert!(
                found.request.phones_before.is_empty() && found.request.method_before.is_none(),
                "{change}"
            );
            if change != Change::Enroll {
                assert_eq!(found, cell((change, role), &policy, &unknown, shown), "{change}");
            }
        }
    }
}

#[test]
fn a_request_that_is_refused_carries_no_change_and_no_test() {
    for (change, role, policy, user, account, shown) in cells() {
        let found = cell((change, role), &policy, &account, shown);
        if !found.is_open() {
            let request = &found.request;
            assert_eq!(request.patch, fleet_domain::Patch::default(), "{change}, {user}");
            assert!(request.test.is_none() && found.live.tests.is_empty(), "{change}, {user}");
        }
    }
}
