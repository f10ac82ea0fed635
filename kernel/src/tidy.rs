//! Host tests that read the sources: the order of the modules, and the house rules that neither the
//! compiler nor clippy knows (clippy holds the rest: SAFETY comments, `unwrap`, docs).
//!
//! Text is cut by a scanner that knows comments, strings and braces, and nothing else of Rust. A
//! parser was not chosen: `syn` forgets comments and lines, which half of the rules are about.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `kernel/src`, lowest first. A module imports only from its own level and those
/// above it in this list.
///
/// `goroutine` needs nothing but the scheduler, and `sync` uses its `go`. `runtime` is
/// what programs ask about the whole, so it may show what `observe` sees. `start` puts everything
/// together, and nothing imports it; `lib`, the crate's root, only names what is there.
const LEVELS: &[&[&str]] = &[
    &["primitive"],
    &["arch"],
    &["base"],
    &["mem"],
    &["sched"],
    &["goroutine"],
    &["sync", "chan", "time", "context", "coro", "thread"],
    &["observe"],
    &["runtime"],
    &["shell"],
    &["testing"],
    &["start"],
    &["lib", "tidy"],
];

/// Names at the crate's root that are not modules, and the module that they come from. The macros
/// of `gosched_macros` come from another crate, below all, and `model`, `Parking` and `Leaked` are
/// of the crate that the models are compiled in.
const ROOT_NAMES: &[(&str, &str)] = &[
    ("__print", "base"),
    ("print", "base"),
    ("println", "base"),
    ("eprint", "base"),
    ("eprintln", "base"),
    ("main", "primitive"),
    ("test", "primitive"),
    ("bench", "primitive"),
    ("model", "primitive"),
    ("Local", "goroutine"),
    ("go", "goroutine"),
    ("goroutine_local", "goroutine"),
    ("Parking", "primitive"),
    ("Leaked", "primitive"),
    ("Bencher", "testing"),
    ("test_main", "testing"),
    ("bench_main", "testing"),
];

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 100;

/// Words that no file may hold, in pieces, so that this one does not.
const FORBIDDEN: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// One of these words stands in the reason why several CPUs may touch something: who owns it, or
/// under what it is touched.
const OWNERS: &[&str] = &[
    "owner", "owning", "own", "alone", "only", "lock", "atomic", "atomics", "holder", "boot",
];
/// Or it says that nothing is shared that was not before.
const HANDED_ON: &[&str] = &["`&", "T: Send", "T: Sync", "as above", "as for"];

struct Source {
    /// Below the repository.
    path: String,
    text: String,
    /// The text with comments, strings and characters blanked out, line for line.
    code: String,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files of the workspace.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["boot", "kernel"] {
        walk(&repository().join(folder), &mut found);
    }
    assert!(
        found.len() > 50,
        "the sources are where they are looked for"
    );
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path
                .strip_prefix(repository())
                .unwrap()
                .display()
                .to_string();
            found.push(Source {
                code: code_of(&text),
                path,
                text,
            });
        }
    }
}

/// Blanks out comments, strings and character literals; newlines stay.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word_before = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => string_end(rest),
            'r' if !word_before => raw_string_end(rest).unwrap_or(0),
            '\'' => character_end(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let blank = |c| if c == '\n' { '\n' } else { ' ' };
            code.extend(rest[..skipped].chars().map(blank));
            rest = &rest[skipped..];
        }
    }
    code
}

/// Where the string that begins here ends.
fn string_end(text: &str) -> usize {
    let mut escaped = true; // so that the first quote does not end it
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => (),
        }
    }
    text.len()
}

fn raw_string_end(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(2 + hashes + body.find(&end)? + end.len())
}

/// Where the character literal ends that begins here; 0 for a lifetime.
fn character_end(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, _))) => {
            let after = at + 1;
            text[after..].find('\'').map_or(0, |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Name, first line and number of lines of each function with a body in Rust.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        let name: String = code[at + 3..].chars().take_while(|c| is_word(*c)).collect();
        if before.is_some_and(is_word) || name.is_empty() {
            continue;
        }
        // Assembly is a list of instructions, with nowhere to cut it.
        let assembly = |end| code[at..at + end].contains("naked_asm!");
        if let Some(end) = body_end(&code[at..]).filter(|end| !assembly(*end)) {
            let first = line_of(code, at);
            found.push((name, first, line_of(code, at + end) - first + 1));
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the function's body ends; nothing if it has none.
fn body_end(code: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0usize, 0usize);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.checked_sub(1)?,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 && brackets == 0 {
                    return Some(at);
                }
            }
            _ => (),
        }
    }
    None
}

/// The first segments of the paths that begin with `crate::`, with their lines.
fn imports(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let line = line_of(code, at);
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                found.extend(group_names(group).into_iter().map(|name| (name, line)));
            }
            None => found.push((rest.chars().take_while(|c| is_word(*c)).collect(), line)),
        }
    }
    found
}

/// The first segments of the paths in a group, whose opening brace was passed.
fn group_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut name) = (1, Vec::new(), Some(String::new()));
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => (),
        }
        match &mut name {
            Some(text) if is_word(c) => text.push(c),
            Some(text) if !text.is_empty() => names.extend(name.take()),
            _ => (),
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && c == ',' {
            name = Some(String::new());
        }
    }
    names
}

fn level(module: &str) -> Option<usize> {
    let from_root = ROOT_NAMES.iter().find(|(name, _)| *name == module);
    let module = from_root.map_or(module, |(_, module)| *module);
    LEVELS.iter().position(|level| level.contains(&module))
}

/// What breaks the order in one file of `kernel/src`, given below it.
fn inversions(path: &str, code: &str) -> Vec<String> {
    let module = path.split(['/', '.']).next().expect("split gives one part");
    let Some(own) = LEVELS.iter().position(|level| level.contains(&module)) else {
        return [format!(
            "{path}: module `{module}` has no place in the order"
        )]
        .into();
    };
    let mut wrong = Vec::new();
    for (name, line) in imports(code) {
        match level(&name) {
            Some(level) if level <= own => (),
            Some(_) => wrong.push(format!("{path}:{line}: `{module}` imports `{name}`")),
            None => wrong.push(format!("{path}:{line}: `{name}` has no place in the order")),
        }
    }
    wrong
}

fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn modules_import_only_from_those_above() {
    let mut wrong = Vec::new();
    for source in sources() {
        if let Some(path) = source.path.strip_prefix("kernel/src/") {
            wrong.extend(inversions(path, &source.code));
        }
    }
    assert_none(wrong);
}

#[test]
fn an_inversion_is_found() {
    let code = "use crate::arch;\nuse crate::{base::lock, sched::{g, m}};\n$crate::print!()";
    let names: Vec<_> = imports(code).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["arch", "base", "sched", "print"]);
    let wrong = ["mem/heap.rs:2: `mem` imports `sched`"];
    assert_eq!(inversions("mem/heap.rs", code), wrong);
    assert_eq!(inversions("sched/g.rs", code), [""; 0]);
    let unknown = ["new.rs: module `new` has no place in the order"];
    assert_eq!(inversions("new.rs", code), unknown);
}

#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    for Source { path, text, code } in sources() {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            wrong.push(format!("{path}: {lines} lines"));
        }
        for (i, (line, code)) in text.lines().zip(code.lines()).enumerate() {
            // A text that is printed may run over.
            let comment = line.trim_start().starts_with("//");
            let counted = if comment {
                line
            } else {
                code.trim_end_matches([' ', ','])
            };
            let columns = counted.chars().count();
            if columns > MAX_COLUMNS {
                wrong.push(format!("{path}:{}: {columns} columns", i + 1));
            }
        }
        for (name, first, lines) in functions(&code) {
            if lines > MAX_FUNCTION_LINES {
                wrong.push(format!("{path}:{first}: {name} has {lines} lines"));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn files_say_what_they_are() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "));
    assert_none(
        silent
            .map(|source| source.path + " does not begin with //!")
            .collect(),
    );
}

/// Those that `args=` chooses from serve a check, and are no programs within an image.
#[test]
fn the_default_image_includes_the_examples() {
    let sources = sources();
    let table = sources
        .iter()
        .find(|source| source.path == "kernel/image/examples.rs");
    let table = &table.expect("the table of examples").text;
    let mut wrong = Vec::new();
    for Source { path, code, .. } in &sources {
        if let Some(file) = path.strip_prefix("kernel/examples/")
            && !code.contains("options().args")
            && !table.contains(&format!("\"../examples/{file}\""))
        {
            wrong.push(format!("{path} is not in kernel/image/examples.rs"));
        }
    }
    assert_none(wrong);
}

#[test]
fn nothing_is_left_for_later() {
    let mut wrong = Vec::new();
    for Source { path, text, code } in sources() {
        for word in FORBIDDEN {
            let at = text.match_indices(word);
            wrong.extend(at.map(|(at, _)| format!("{path}:{}: {word}", line_of(&text, at))));
        }
        // Not `&'static mut`.
        let at = code
            .match_indices("static mut ")
            .filter(|(at, _)| !code[..*at].ends_with('\''));
        wrong.extend(at.map(|(at, _)| format!("{path}:{}: static mut", line_of(&code, at))));
    }
    assert_none(wrong);
}

/// The comment right above a line, as one text.
fn comment_above(lines: &[&str], line: usize) -> String {
    let above = lines[..line].iter().rev().map(|text| text.trim_start());
    let comment: Vec<_> = above
        .take_while(|text| text.starts_with("//") || text.starts_with("#["))
        .map(|text| text.trim_start_matches(['/', ' ']))
        .collect();
    comment.into_iter().rev().collect::<Vec<_>>().join(" ")
}

/// The compiler refuses a static that several CPUs could change unless its type is an atomic, a
/// lock, or one that this workspace vouches for by `unsafe impl Sync`. So who owns what is between
/// CPUs stands at these impls, and at the statics of such types in the same file.
fn unowned(path: &str, text: &str, code: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let mut wrong = Vec::new();
    let mut vouched_for: Vec<&str> = Vec::new();
    let names_owner = |line| {
        let comment = comment_above(&lines, line);
        comment
            .split(|c| !is_word(c))
            .any(|word| OWNERS.contains(&word))
            || HANDED_ON.iter().any(|phrase| comment.contains(phrase))
    };
    for (i, line) in code.lines().enumerate() {
        let line = line.trim_start();
        let Some((traits, of)) = line
            .strip_prefix("unsafe impl")
            .and_then(|rest| rest.split_once(" for "))
            .filter(|(traits, _)| traits.ends_with("Sync") || traits.ends_with("Send"))
        else {
            continue;
        };
        if traits.ends_with("Sync") {
            vouched_for.extend(of.split(|c| !is_word(c)).next());
        }
        if !names_owner(i) {
            wrong.push(format!("{path}:{}: names no owner, lock or atomic", i + 1));
        }
    }
    for (i, line) in code.lines().enumerate() {
        let declared = line.trim_start();
        let declared = declared.split_once("static ").and_then(|(before, rest)| {
            let visible = before.is_empty() || before.starts_with("pub");
            rest.split_once(": ").filter(|_| visible)
        });
        let Some((name, of)) = declared else { continue };
        let of = of.trim_start_matches('[').split(|c| !is_word(c)).next();
        if of.is_some_and(|of| vouched_for.contains(&of)) && !names_owner(i) {
            wrong.push(format!("{path}:{}: {name} names no owner", i + 1));
        }
    }
    wrong
}

#[test]
fn what_cpus_share_names_its_owner() {
    let wrong = sources()
        .into_iter()
        .flat_map(|Source { path, text, code }| unowned(&path, &text, &code));
    assert_none(wrong.collect());
}

#[test]
fn what_has_no_owner_is_found() {
    let text = "// SAFETY: it is fine.\nunsafe impl<T> Sync for Cell<T> {}\n\n/// One.\n\
                pub(crate) static A: [Cell<u8>; 2] = x;\n/// Of the boot CPU.\n#[used]\n\
                static B: Cell<u8> = x;\n// SAFETY: under `lock`.\nunsafe impl Send for Other {}\n";
    let wrong = [
        "f.rs:2: names no owner, lock or atomic",
        "f.rs:5: A names no owner",
    ];
    assert_eq!(unowned("f.rs", text, &code_of(text)), wrong);
}

#[test]
fn the_scanner_knows_strings_and_comments() {
    let text = r##"let a = '{'; // {
f::<'a>("\"{", r#"{"{"#, '\'', b'{')"##;
    let code = code_of(text);
    assert_eq!(code.matches('\n').count(), 1);
    assert!(!code.contains('{') && code.contains("f::<'a>("), "{code}");
    let code = "fn a(x: [u8; 2]) {\n}\nfn b();\nimpl T { fn c() -> [u8; 1]\n{ if x {\n} } }";
    let found = [("a".to_string(), 1, 2), ("c".to_string(), 4, 3)];
    assert_eq!(functions(code), found);
}
