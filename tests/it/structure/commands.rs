//! The commands that documents show exist, and the README shows all of them.

use clap::Command;

use super::{NONE, files, read};

/// The documents, by their paths.
fn documents() -> Vec<(String, String)> {
    let mut documents = files(&["docs", "deploy", "benches"], ".md");
    let others = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ];
    documents.extend(others.map(|name| (name.to_owned(), read(name))));
    documents
}

/// Commands of a document, from the word after `paysync` to the command's end.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        let inline = line.split('`').skip(1).step_by(2);
        let codes = if in_block {
            vec![line]
        } else {
            inline.collect()
        };
        for code in codes {
            let code = code.trim().trim_start_matches("$ ");
            // The program is the first word, or a container or the build runs it.
            let (before, command) = code.split_once("paysync ").unwrap_or(("none", ""));
            let mut hosts = ["docker compose exec", "docker run", "target/release/"].iter();
            let is_run = before.is_empty() || hosts.any(|host| before.starts_with(host));
            if is_run && !command.starts_with(['=', '{', ':']) {
                let mut parts = command.split([';', '&', '#', '>', '<']);
                let command = parts.next().unwrap_or_default().trim();
                // Tables need the backslash.
                commands.push(command.replace("\\|", "|"));
            }
        }
    }
    commands
}

/// Tries the words of a command. `[--account ID]…` and `pause|resume` are understood.
fn try_command(shown: &str) -> Result<(), String> {
    let mut program = paysync::cli::command();
    program.build();
    let command = shown.split(" | ").next().unwrap_or_default();
    let command = command.replace(['[', ']', '…'], "").replace('=', " ");
    let mut words = command.split_whitespace();
    let mut commands: Vec<&Command> = vec![&program];
    let mut positionals = None;
    while let Some(word) = words.next() {
        if let Some(flag) = word.strip_prefix("--") {
            let mut takes_value = false;
            for command in &commands {
                let mut arguments = command.get_arguments();
                let argument = arguments.find(|argument| argument.get_long() == Some(flag));
                let argument = argument.ok_or_else(|| format!("{word} is no flag of it"))?;
                takes_value |= argument.get_action().takes_values();
            }
            if takes_value && words.next().is_none() {
                return Err(format!("{word} needs a value"));
            }
        } else if let Some(taken) = &mut positionals {
            *taken += 1;
            let mut most = commands.iter().map(|c| c.get_positionals().count());
            if most.any(|most| most < *taken) {
                return Err(format!("{word} is no argument of it"));
            }
        } else {
            let found = word.split('|').map(|name| program.find_subcommand(name));
            let found: Option<_> = found.collect();
            commands = found.ok_or_else(|| format!("{word} is no command"))?;
            positionals = Some(0);
        }
    }
    Ok(())
}

/// Commands of a document that the program does not know.
fn unknown_commands(name: &str, text: &str) -> Vec<String> {
    let complain = |shown: String| {
        let problem = try_command(&shown).err()?;
        Some(format!("{name}: paysync {shown}: {problem}"))
    };
    commands(text).into_iter().filter_map(complain).collect()
}

#[test]
fn commands_of_the_documents_exist() {
    let mut shown = 0;
    for (name, text) in documents() {
        assert_eq!(unknown_commands(&name, &text), NONE);
        shown += commands(&text).len();
    }
    assert!(shown >= 10, "only {shown} commands were found");
}

#[test]
fn every_command_is_in_the_readme() {
    let shown = commands(&read("README.md"));
    let words = shown.iter().flat_map(|shown| shown.split([' ', '|']));
    let words: Vec<&str> = words.collect();
    let program = paysync::cli::command();
    let names = program.get_subcommands().map(Command::get_name);
    let missing: Vec<&str> = names.filter(|name| !words.contains(name)).collect();
    assert_eq!(missing, NONE);
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    for text in [
        "`paysync fly`",
        "Say `paysync sync --accounts ID`.",
        "```\npaysync --colour status\n```",
        "```\n$ paysync status | paysync run\npaysync resync --account\n```",
        "`paysync sync ID`",
        "`paysync why ACCOUNT TRANSACTION MORE`",
        "`docker compose exec paysync paysync fly`",
        "`paysync pause|presume --account ID`",
    ] {
        assert_eq!(unknown_commands("a.md", text).len(), 1, "{text}");
    }
    let right = "`paysync` and `paysync sync [--account ID]… [--give-up-after 2m] [--json]`\n\
                 `paysync pause|resume --account ID`, `paysync --version`, `paysync why ACCOUNT ID --json`; paysync flies; `paysync.toml`\n\
                 ```\npaysync --config x.toml run   # until it is stopped\npaysync status --json | jq .healthy\n```";
    assert_eq!(unknown_commands("a.md", right), NONE);
    assert_eq!(commands(right).len(), 6);
}
