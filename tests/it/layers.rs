//! The structure of the code, read as text: layers, sizes, purity, and the commands in the documents.
//!
//! Each rule is a function from texts to complaints, tried here on the real files and on small wrong ones:
//! a rule that cannot complain is no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Lines that a file may have before its tests.
const LONGEST_FILE: usize = 400;

/// Rooms beside the layers, with what they may use.
const SIDE_ROOMS: &[(&str, &[&str])] = &[("launcher", &[])];

/// Layers that may use the side rooms.
const HOSTS: &[&str] = &["app", "cli"];

/// Words that have no place in a pure room.
const IMPURE: &[&str] = &["async", "await", "tokio", "reqwest", "sqlx"];

/// A source file: its path below `src/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// `provider/begateway/dwh.rs` is `provider::begateway::dwh`; `lib.rs` is the root.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let path = path.trim_end_matches("/mod");
        let parts = path.split('/').filter(|part| *part != "lib");
        parts.map(str::to_owned).collect()
    }

    fn room(&self) -> String {
        self.module().first().cloned().unwrap_or_default()
    }

    /// The paths it names that start at `crate`, `self` or `super`, from the crate's root.
    fn paths(&self) -> Vec<Vec<String>> {
        let tokens = tokens(&self.text);
        let mut module = self.module();
        let mut depth = 0_usize;
        let mut inner: Vec<usize> = Vec::new();
        let mut paths = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let next = tokens.get(at + 1).map_or("", String::as_str);
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inner.last() == Some(&depth) {
                        inner.pop();
                        module.pop();
                    }
                }
                "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                    inner.push(depth);
                    module.push(next.to_owned());
                }
                start @ ("crate" | "paysync" | "self" | "super") if next == "::" => {
                    let mut base = match start {
                        "crate" | "paysync" => Vec::new(),
                        _ => module.clone(),
                    };
                    if start == "super" {
                        base.pop();
                    }
                    at = tree(&tokens, at + 2, base, &mut paths);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        paths
    }
}

/// Reads what follows `base::`, a path or a tree of paths; says where it ends.
fn tree(
    tokens: &[String],
    mut at: usize,
    mut base: Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match tokens.get(at).map_or("", String::as_str) {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = if tokens[at] == "," {
                        at + 1
                    } else {
                        tree(tokens, at, base.clone(), paths)
                    };
                }
                return at + 1;
            }
            "super" => {
                base.pop();
            }
            "self" | "*" => {}
            name => base.push(name.to_owned()),
        }
        at += 1;
        if tokens.get(at).is_some_and(|token| token == "as") {
            at += 2;
        }
        if tokens.get(at).is_none_or(|token| token != "::") {
            paths.push(base);
            return at;
        }
        at += 1;
    }
}

/// Words and marks of a text, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match chars[at] {
            '/' if next == '/' => {
                while chars.get(at).is_some_and(|c| *c != '\n') {
                    at += 1;
                }
            }
            '"' => {
                let raw = tokens
                    .last()
                    .is_some_and(|token| token == "r" || token == "br");
                at = end_of_text(&chars, at, 0, raw);
            }
            '#' if next == '"' || next == '#' => {
                let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
                if chars.get(at + hashes) == Some(&'"') {
                    at = end_of_text(&chars, at + hashes, hashes, true);
                } else {
                    at += hashes;
                }
            }
            // A character, unless it is a lifetime.
            '\'' if next == '\\' => {
                at += 3;
                while chars.get(at).is_some_and(|c| *c != '\'') {
                    at += 1;
                }
                at += 1;
            }
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            ':' if next == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            c if is_word(c) => {
                let word: String = chars[at..]
                    .iter()
                    .copied()
                    .take_while(|c| is_word(*c))
                    .collect();
                at += word.chars().count();
                tokens.push(word);
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

/// Where the text ends whose opening quotation mark is at `quote`.
fn end_of_text(chars: &[char], quote: usize, hashes: usize, raw: bool) -> usize {
    let mut at = quote + 1;
    while at < chars.len() {
        if chars[at] == '\\' && !raw {
            at += 2;
            continue;
        }
        let closes = chars.get(at + 1..at + 1 + hashes);
        at += 1;
        if chars[at - 1] == '"' && closes.is_some_and(|closes| closes.iter().all(|c| *c == '#')) {
            return at + hashes;
        }
    }
    at
}

/// The layers as `lib.rs` tells them, lowest first; those of one step stand together.
fn layers(lib: &str) -> Vec<Vec<String>> {
    let doc: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .collect();
    let doc = doc.join(" ");
    let order = doc.split('`').find(|code| code.contains('→')).unwrap_or("");
    order
        .split('→')
        .map(|step| {
            step.split('·')
                .map(|room| room.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Every use of one room by another that does not go downwards.
fn upward_uses(lib: &str, sources: &[Source]) -> Vec<String> {
    let layers = layers(lib);
    let level = |room: &str| {
        layers
            .iter()
            .position(|step| step.iter().any(|r| r == room))
    };
    let side = |room: &str| SIDE_ROOMS.iter().find(|(side, _)| *side == room);
    let mut complaints = Vec::new();
    let mut rooms_used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources
        .iter()
        .filter(|source| source.path != "lib.rs" && source.room() != "provider")
    {
        let room = source.room();
        if level(&room).is_none() && side(&room).is_none() {
            complaints.push(format!("{}: {room} is in no layer of lib.rs", source.path));
        }
        for path in source.paths() {
            let Some(used) = path.first().filter(|used| **used != room) else {
                continue;
            };
            let allowed = match (side(&room), side(used)) {
                (Some((_, may)), _) => may.contains(&used.as_str()),
                (None, Some(_)) => HOSTS.contains(&room.as_str()),
                (None, None) => level(used).is_some_and(|used| Some(used) <= level(&room)),
            };
            if !allowed {
                complaints.push(format!("{} uses {}", source.path, path.join("::")));
            }
            rooms_used
                .entry(room.clone())
                .or_default()
                .insert(used.clone());
        }
    }
    // Those of one step may use each other, but not in a circle.
    for step in &layers {
        for room in step {
            let mut reached = BTreeSet::new();
            let mut open = vec![room];
            while let Some(at) = open.pop() {
                for used in rooms_used.get(at).into_iter().flatten() {
                    if used == room {
                        complaints.push(format!("{room} uses itself through {at}"));
                    } else if step.contains(used) && reached.insert(used) {
                        open.push(used);
                    }
                }
            }
        }
    }
    complaints
}

/// The modules of the providers, as the table in `provider/mod.rs` names them.
fn provider_modules(sources: &[Source]) -> Vec<Vec<String>> {
    let table = sources
        .iter()
        .find(|source| source.path == "provider/lib.rs")
        .map_or(Vec::new(), |source| tokens(&source.text));
    let mut modules = Vec::new();
    for end in (0..table.len()).filter(|end| table[*end] == "ENTRY") {
        let mut module = Vec::new();
        let mut at = end;
        while at >= 2 && table[at - 1] == "::" {
            module.insert(0, table[at - 2].clone());
            at -= 2;
        }
        modules.push(module);
    }
    modules
}

/// Every place where a provider, or what all of them share, knows of another provider.
fn shared_providers(sources: &[Source]) -> Vec<String> {
    let providers = provider_modules(sources);
    let mut complaints = Vec::new();
    for source in sources {
        let module = source.module();
        if source.path == "provider/lib.rs" || module.first().is_none_or(|room| room != "provider")
        {
            continue;
        }
        let own = module.get(1..).unwrap_or_default();
        let words = tokens(&source.text);
        for provider in providers
            .iter()
            .filter(|provider| !own.starts_with(provider))
        {
            // A family's own room may be used by its members; nobody else may.
            let foreign = if provider.first() == own.first() {
                provider.as_slice()
            } else {
                provider.get(..1).unwrap_or_default()
            };
            let parent_of_it = provider.starts_with(own) && own.len() < provider.len();
            let name = foreign.last().map_or("", String::as_str);
            let by_path = source
                .paths()
                .iter()
                .any(|path| path.get(1..).is_some_and(|path| path.starts_with(foreign)));
            let by_name = words
                .windows(2)
                .any(|pair| pair[0] == name && pair[1] == "::");
            if (by_path || by_name) && !parent_of_it {
                complaints.push(format!("{} uses {}", source.path, foreign.join("::")));
            }
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

/// Every impure word in the rooms that are pure functions.
fn impurities(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        // Its dependencies keep the provider crate pure, and redaction knows no time.
        let is_pure = ["provider", "plan"].contains(&source.room().as_str());
        if !is_pure || source.path.starts_with("provider/redact/") {
            continue;
        }
        let words = tokens(&source.text);
        for (place, word) in words.iter().enumerate() {
            let reads_time = word == "now" && words.get(place + 1).is_some_and(|next| next == "(");
            if reads_time || IMPURE.contains(&word.as_str()) {
                complaints.push(format!("{} says {word}", source.path));
            }
        }
    }
    complaints
}

/// Files with more lines than a reader can hold.
fn long_files(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let lines: Vec<&str> = source.text.lines().collect();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
        let length = tests.unwrap_or(lines.len());
        if length > LONGEST_FILE {
            complaints.push(format!("{} has {length} lines", source.path));
        }
    }
    complaints
}

/// A command of a document that the program does not know.
fn unknown_commands(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for shown in commands(text) {
        if let Err(problem) = try_command(&shown) {
            complaints.push(format!("{name}: paysync {shown}: {problem}"));
        }
    }
    complaints
}

/// What stands after `paysync` in the code of a document, up to the end of the command.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let code: Vec<&str> = if in_block {
            vec![line]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        for code in code {
            let code = code.trim().trim_start_matches("$ ");
            // A program's name is the first word, perhaps of a container or of the build.
            let Some((before, command)) = code.split_once("paysync ") else {
                continue;
            };
            let runs = ["", "docker compose exec", "docker run", "target/release/"]
                .iter()
                .any(|start| {
                    before == *start || (!start.is_empty() && before.trim().starts_with(start))
                });
            if runs && !command.starts_with(['=', '{', ':']) {
                let command = command
                    .split([';', '&', '#', '>', '<'])
                    .next()
                    .unwrap_or_default()
                    .trim();
                // Tables need the backslash.
                commands.push(command.replace("\\|", "|"));
            }
        }
    }
    commands
}

/// Tries the words of a command that a document shows: `[--account ID]…` and `pause|resume` are understood.
fn try_command(shown: &str) -> Result<(), String> {
    let program = paysync::cli::command();
    let plain: String = shown
        .chars()
        .filter(|c| !matches!(c, '[' | ']' | '…'))
        .collect();
    let mut words = plain.split_whitespace().peekable();
    let mut commands: Vec<&clap::Command> = Vec::new();
    let mut places = 0;
    while let Some(word) = words.next() {
        if word == "|" {
            return Ok(());
        }
        let Some(flag) = word.strip_prefix("--") else {
            if !commands.is_empty() {
                // Its place among those that have no name.
                let takes = |command: &&clap::Command| command.get_positionals().count() > places;
                if !commands.iter().all(takes) {
                    return Err(format!("{word} is no flag"));
                }
                places += 1;
                continue;
            }
            for name in word.split('|') {
                let found = program.find_subcommand(name);
                commands.push(found.ok_or_else(|| format!("{name} is no command"))?);
            }
            continue;
        };
        let flag = flag.split('=').next().unwrap_or(flag);
        if commands.is_empty() && ["help", "version"].contains(&flag) {
            continue;
        }
        let known = |command: &clap::Command| {
            let mut arguments = command.get_arguments();
            arguments
                .find(|argument| argument.get_long() == Some(flag))
                .cloned()
        };
        let global = known(&program).filter(clap::Arg::is_global_set);
        let found: Vec<Option<clap::Arg>> = commands
            .iter()
            .map(|command| known(command).or_else(|| global.clone()))
            .chain(commands.is_empty().then(|| global.clone()))
            .collect();
        let Some(argument) = found.into_iter().collect::<Option<Vec<_>>>() else {
            return Err(format!("--{flag} is no flag of it"));
        };
        let takes_value = argument
            .iter()
            .any(|argument| argument.get_action().takes_values());
        if takes_value && !word.contains('=') && words.next().is_none() {
            return Err(format!("--{flag} needs a value"));
        }
    }
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folders of code, and the room that each is as a whole.
const FOLDERS: &[(&str, &str)] = &[("src", ""), ("crates/paysync-provider/src", "provider")];

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for (base, room) in FOLDERS {
        let base = root().join(base);
        let mut folders = vec![base.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let below = Path::new(room).join(path.strip_prefix(&base).unwrap());
                    let text = fs::read_to_string(&path).unwrap();
                    let own = if room.is_empty() {
                        text
                    } else {
                        text.replace("crate::", &format!("crate::{room}::"))
                    };
                    sources.push(Source::new(below.to_str().unwrap(), &own));
                }
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 50, "src/ was not found");
    sources
}

fn lib() -> String {
    fs::read_to_string(root().join("src/lib.rs")).unwrap()
}

/// The documents, by their paths.
fn documents() -> Vec<(String, String)> {
    let names = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "deploy/kubernetes/README.md",
    ];
    let mut paths = names.map(|name| root().join(name)).to_vec();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    paths.extend(docs.map(|entry| entry.unwrap().path()));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

const NONE: [&str; 0] = [];

#[test]
fn rooms_use_lower_rooms_only() {
    assert_eq!(upward_uses(&lib(), &sources()), NONE);
}

#[test]
fn every_layer_of_the_order_exists() {
    let sources = sources();
    for room in layers(&lib()).concat() {
        assert!(
            sources.iter().any(|source| source.room() == room),
            "{room} has no file"
        );
    }
}

#[test]
fn a_use_that_goes_upwards_is_found() {
    let complaints = |path: &str, text: &str| upward_uses(&lib(), &[Source::new(path, text)]);
    for (path, text) in [
        ("store/mod.rs", "use crate::engine::Engine;"),
        (
            "store/mod.rs",
            "use crate::{\n    plan,\n    http::serve,\n};",
        ),
        ("store/page.rs", "fn x() { crate::app::store() }"),
        ("store/page.rs", "use super::super::cli;"),
        (
            "store/page.rs",
            "mod tests { use super::super::super::cli; }",
        ),
        ("plan/mod.rs", "use super::store;"),
        ("launcher.rs", "use crate::plan::Window;"),
        ("cellar.rs", ""),
    ] {
        assert!(!complaints(path, text).is_empty(), "{path}: {text}");
    }
    for (path, text) in [
        (
            "store/mod.rs",
            "use crate::{config::{Window, money}, plan};",
        ),
        ("store/page.rs", "use super::range; use self::inner::X;"),
        (
            "store/page.rs",
            "// crate::engine\nconst X: &str = \"crate::engine::\";",
        ),
        (
            "store/page.rs",
            "const X: &str = r#\"a \" crate::engine\"#; const Y: char = '\"';",
        ),
        ("store/page.rs", "mod tests { use super::super::range; }"),
        ("config.rs", "use crate::clock;"),
        ("cli/demo.rs", "use crate::{launcher, http};"),
        ("main.rs", "fn main() { paysync::cli::main() }"),
    ] {
        assert_eq!(complaints(path, text), NONE, "{path}: {text}");
    }
    let circle = [
        Source::new("transport/mod.rs", "use crate::store::Store;"),
        Source::new("store/mod.rs", "use crate::transport::Wire;"),
    ];
    assert_eq!(
        upward_uses(&lib(), &circle),
        [
            "transport uses itself through store",
            "store uses itself through transport"
        ]
    );
}

#[test]
fn providers_do_not_know_each_other() {
    let sources = sources();
    assert!(provider_modules(&sources).len() >= 2);
    assert_eq!(shared_providers(&sources), NONE);
}

#[test]
fn a_provider_that_knows_another_is_found() {
    let table = "const PROVIDERS: &[Entry] = &[begateway::dwh::ENTRY, begateway::report::ENTRY, convergegate::ENTRY];";
    let complaints = |path: &str, text: &str| {
        shared_providers(&[
            Source::new("provider/lib.rs", table),
            Source::new(path, text),
        ])
    };
    for (path, text) in [
        (
            "provider/convergegate.rs",
            "use super::begateway::exponent;",
        ),
        (
            "provider/convergegate/item.rs",
            "use crate::provider::{begateway, wire};",
        ),
        (
            "provider/begateway/dwh.rs",
            "use crate::provider::convergegate::X;",
        ),
        ("provider/begateway/dwh.rs", "use super::report::X;"),
        (
            "provider/begateway/dwh/item.rs",
            "use super::super::report;",
        ),
        (
            "provider/begateway/report.rs",
            "use crate::provider::begateway::dwh;",
        ),
        ("provider/wire.rs", "use super::convergegate::X;"),
        (
            "provider/wire.rs",
            "use crate::provider; fn x() { provider::begateway::x() }",
        ),
    ] {
        assert_eq!(complaints(path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        (
            "provider/begateway/dwh.rs",
            "use super::{exponent, kind}; use crate::provider::wire; mod item; use self::item::X;",
        ),
        (
            "provider/begateway/dwh/item.rs",
            "use super::super::{exponent}; use super::options;",
        ),
        ("provider/begateway/mod.rs", "pub mod dwh; pub mod report;"),
        ("engine/run.rs", "use crate::provider::convergegate;"),
    ] {
        assert_eq!(complaints(path, text), NONE, "{path}: {text}");
    }
}

#[test]
fn providers_and_plans_are_pure() {
    assert_eq!(impurities(&sources()), NONE);
}

#[test]
fn an_impure_word_is_found() {
    for text in [
        "async fn x() {}",
        "use tokio::time;",
        "fn x(client: reqwest::Client) {}",
        "use sqlx::query;",
        "let x = Utc::now();",
    ] {
        for path in ["provider/convergegate.rs", "plan/length.rs"] {
            assert_eq!(impurities(&[Source::new(path, text)]).len(), 1, "{text}");
        }
        assert_eq!(impurities(&[Source::new("engine/run.rs", text)]), NONE);
    }
    let pure = Source::new("plan/mod.rs", "// async\nfn x(now: Time) -> Time { now }");
    assert_eq!(impurities(&[pure]), NONE);
}

#[test]
fn files_are_short() {
    assert_eq!(long_files(&sources()), NONE);
}

#[test]
fn a_long_file_is_found() {
    let code = "fn x() {}\n".repeat(LONGEST_FILE);
    let tests = "#[cfg(test)]\nmod tests {\n}\n".to_owned() + &code;
    let long = |path: &str, text: &str| long_files(&[Source::new(path, text)]).len();
    assert_eq!(long("a.rs", &code), 0);
    assert_eq!(long("a.rs", &(code.clone() + &tests)), 0);
    assert_eq!(long("a.rs", &(code.clone() + "\n" + &tests)), 1);
    assert_eq!(
        long("a.rs", &format!("#[cfg(test)]\nfn y() {{}}\n{code}")),
        1
    );
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
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let shown = commands(&readme);
    for command in paysync::cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(
            shown
                .iter()
                .any(|shown| shown.split([' ', '|']).any(|word| word == name)),
            "README.md does not show paysync {name}"
        );
    }
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
                 ```\npaysync --config x.toml run   # for ever\npaysync status --json | jq .healthy\n```";
    assert_eq!(unknown_commands("a.md", right), NONE);
    assert_eq!(commands(right).len(), 6);
}

/// Places where tests let the program die are in no program that is built for use.
#[test]
fn a_released_program_has_no_failpoints() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (dependencies, _) = manifest.split_once("[dev-dependencies]").unwrap();
    let armed = |line: &&str| line.starts_with("fail ") && line.contains("features");
    assert_eq!(dependencies.lines().find(armed), None);
    assert!(dependencies.contains("\nfail = "));
    assert!(
        !manifest.contains("\ndefault = "),
        "failpoints are no default"
    );
}

/// Whose answers are read is fuzzed.
#[test]
fn every_provider_is_fuzzed() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for entry in paysync_provider::PROVIDERS {
        for part in ["page", "normalize"] {
            let name = format!("{}_{part}", entry.code);
            let target = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs")));
            let call = format!("paysync_fuzz::{part}(\"{}\", data)", entry.code);
            assert!(target.is_ok_and(|target| target.contains(&call)), "{name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
