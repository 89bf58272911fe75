//! Help, version, man pages and completions.

use crate::cli::one_line;

use super::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_are_there() {
    let fixture = Fixture::new().await;
    let version = fixture.run_plain(&["--version"], &[]).await;
    assert_eq!(version.code, 0);
    assert_eq!(
        version.out.trim(),
        concat!("paysync ", env!("CARGO_PKG_VERSION"))
    );
    let help = fixture.run_plain(&["--help"], &[]).await;
    assert_eq!(help.code, 0);
    for command in paysync::cli::command().get_subcommands() {
        assert!(help.out.contains(command.get_name()));
        let help = fixture
            .run_plain(&[command.get_name(), "--help"], &[])
            .await;
        assert_eq!(help.code, 0, "{help:?}");
        assert!(help.out.contains("Usage: paysync "), "{help:?}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_man_page() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ran = fixture
        .run_plain(&["man", pages.to_str().unwrap()], &[])
        .await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for command in paysync::cli::command().get_subcommands() {
        let name = format!("paysync-{}.1", command.get_name());
        let page = std::fs::read_to_string(pages.join(&name)).unwrap();
        assert!(
            page.contains(".SH SYNOPSIS") && page.contains("Examples"),
            "{name}: {page}"
        );
    }
    // A file is no folder.
    let file = pages.join("paysync.1");
    let ran = fixture
        .run_plain(&["man", file.to_str().unwrap()], &[])
        .await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(one_line(&ran).contains("the man pages cannot be written to"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_know_the_commands() {
    let fixture = Fixture::new().await;
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let ran = fixture.run_plain(&["completions", shell], &[]).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        for word in ["paysync", "resync", "give-up-after", "print-config"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
    let ran = fixture.run_plain(&["completions", "tcsh"], &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(one_line(&ran).contains("powershell"), "{ran:?}");
    fixture.end().await;
}
