//! `paysync man`: writes the help of every command as man pages.

use std::path::Path;

use anyhow::Context as _;

pub(crate) fn write(program: clap::Command, directory: &Path) -> anyhow::Result<bool> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(program, directory))
        .with_context(|| format!("the man pages cannot be written to {}", directory.display()))?;
    Ok(true)
}
