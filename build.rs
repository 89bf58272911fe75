//! Names to cargo the files that the crate embeds besides its sources.

fn main() {
    // `sqlx::migrate!` does not notice a new file by itself.
    println!("cargo:rerun-if-changed=migrations");
}
