//! Who may import whom, and which crate owns which library: ARCHITECTURE.md, "The import ladder".

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// The rung of each crate; a crate imports from lower rungs only.
const RUNGS: &[(u8, &[&str])] = &[
    (0, &["fleet-domain"]),
    (1, &["fleet-contracts", "fleet-settings", "fleet-lifecycle", "fleet-prompts"]),
    // These two are imported by everything above, and read settings and the stop themselves.
    (2, &["fleet-keys", "fleet-telemetry"]),
    (3, &["fleet-broker", "fleet-outcomes", "fleet-records", "fleet-twilio", "fleet-numbers"]),
    (4, &["fleet-engine", "fleet-portal-client", "fleet-app-client"]),
    (
        5,
        &[
            "fleet-voice-worker",
            "fleet-push-worker",
            "fleet-enrollment-worker",
            "fleet-gateway",
            "fleet-simulator",
            "fleet-ctl",
        ],
    ),
    (6, &["fleet", "fleet-hostile"]),
    (7, &["fleet-tests", "fleet-load", "fleet-faults"]),
];

/// Libraries that only the named crates may use.
const OWNERS: &[(&str, &[&str])] = &[
    ("lapin", &["fleet-broker"]),
    ("tokio-postgres", &["fleet-records"]),
    ("deadpool-postgres", &["fleet-records"]),
    ("tokio-postgres-rustls", &["fleet-records"]),
    ("refinery", &["fleet-records"]),
    ("redis", &["fleet-outcomes"]),
    ("prometheus", &["fleet-telemetry"]),
    ("tracing-subscriber", &["fleet-telemetry"]),
    // The simulator is the outside view and signs as Twilio, Google and the phones do.
    ("ring", &["fleet-keys", "fleet-simulator"]),
    ("argon2", &["fleet-keys"]),
    ("blowfish", &["fleet-keys"]),
    ("crypto_box", &["fleet-keys"]),
    ("scrypt", &["fleet-keys"]),
    // The load generator's bare loop sends as push-worker does.
    ("gcp_auth", &["fleet-push-worker", "fleet-load"]),
    ("crypto_box", &["fleet-keys"]),
    ("rlibphonenumber", &["fleet-numbers"]),
    ("askama", &["fleet-gateway"]),
    ("fast_qr", &["fleet-ctl"]),
];

/// What the simulator may know of the fleet: nothing of what it is held against.
const SIMULATOR_MAY_IMPORT: &[&str] = &["fleet-settings", "fleet-telemetry", "fleet-lifecycle"];

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata runs in the workspace")
}

fn rung(name: &str) -> Option<u8> {
    RUNGS.iter().find(|(_, names)| names.contains(&name)).map(|(rung, _)| *rung)
}

/// Normal and build dependencies; tests may use anything.
fn imports(package: &Package) -> impl Iterator<Item = &str> {
    package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development).map(|d| d.name.as_str())
}

#[test]
fn every_crate_imports_from_lower_rungs_only() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if name == "fleet-testkit" {
            continue;
        }
        let Some(own) = rung(name) else {
            wrong.push(format!("{name} has no rung: add it to RUNGS"));
            continue;
        };
        for import in imports(package).filter(|import| import.starts_with("fleet")) {
            match rung(import) {
                Some(rung) if rung < own => {}
                _ => wrong.push(format!("{name} must not import {import}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_testkit_is_a_dev_dependency_only() {
    for package in &metadata().packages {
        assert!(imports(package).all(|import| import != "fleet-testkit"), "{}", package.name);
    }
}

#[test]
fn only_the_fault_harness_can_let_a_process_die() {
    for package in &metadata().packages {
        let armed = package.dependencies.iter().any(|d| d.features.iter().any(|f| f == "crash-points"));
        assert_eq!(armed, package.name.as_str() == "fleet-faults", "{}", package.name);
    }
}

#[test]
fn each_outside_library_has_its_owner() {
    let mut wrong = BTreeMap::new();
    for package in &metadata().packages {
        for import in imports(package) {
            let owners = OWNERS.iter().find(|(library, _)| *library == import).map(|(_, owners)| *owners);
            if owners.is_some_and(|owners| !owners.contains(&package.name.as_str())) {
                wrong.insert(package.name.to_string(), import.to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_simulator_shares_nothing_with_what_it_tests() {
    let metadata = metadata();
    let simulator = metadata.packages.iter().find(|p| p.name.as_str() == "fleet-simulator").unwrap();
    let ours: BTreeSet<&str> = imports(simulator).filter(|import| import.starts_with("fleet")).collect();
    let allowed: BTreeSet<&str> = SIMULATOR_MAY_IMPORT.iter().copied().collect();
    assert!(ours.is_subset(&allowed), "{ours:?}");
}

#[test]
fn versions_and_lints_are_set_in_one_place() {
    for package in &metadata().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let parsed: BTreeSet<&str> = manifest.lines().map(str::trim).collect();
        assert!(parsed.contains("version.workspace = true"), "{}", package.manifest_path);
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package.manifest_path);
        let versions = manifest.lines().filter(|line| line.contains("version = \""));
        assert_eq!(versions.count(), 0, "{} sets a version of its own", package.manifest_path);
    }
}

#[test]
fn every_crate_has_a_readme_that_is_its_crate_doc() {
    for package in metadata().packages.iter().filter(|p| p.name.as_str() != "fleet-tests") {
        let folder = package.manifest_path.parent().unwrap();
        let library = folder.join("src/lib.rs");
        assert!(folder.join("README.md").exists() || package.name.as_str() == "fleet-load", "{folder}");
        if library.exists() {
            let text = std::fs::read_to_string(&library).unwrap();
            assert!(text.contains("include_str!(\"../README.md\")"), "{library}");
        }
    }
}
