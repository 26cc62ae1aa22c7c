//! Makes cargo build this crate anew when a migration is added: they are compiled in from a folder.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
