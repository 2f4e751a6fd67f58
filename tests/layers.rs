//! The modules of `src/` import without circles, and none of what data flows through imports a step after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// For each module, the modules that it imports, each with a file that does.
type Imports = BTreeMap<String, BTreeMap<String, PathBuf>>;

/// The files of a directory and of those in it, without those of tests, which may import anything.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "tests" || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() { all.extend(files(&path)?) } else { all.push(path) }
    }
    Ok(all)
}

/// The path of the module that a file below `src/` is, such as `["model", "canary"]`.
fn module(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod").collect()
}

/// The names that follow a path in code, also those of a group: `a` and `b` in `crate::{a::x, b::{self, y}}`.
fn names_after<'a>(path: &str, code: &'a str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |text: &'a str| text.trim_start().split(|c| !is_word(c)).next().unwrap_or_default();
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(path) {
        let rest = &code[at + path.len()..];
        if !rest.starts_with('{') {
            names.insert(word(rest));
            continue;
        }
        let mut depth = 0;
        for (at, c) in rest.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            match (depth, c) {
                (0, _) => break,
                (1, '{' | ',') => _ = names.insert(word(&rest[at + 1..])),
                _ => {}
            }
        }
    }
    names
}

fn imports() -> io::Result<Imports> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports = Imports::new();
    for file in files(&src)? {
        let text = fs::read_to_string(&file)?;
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let file = file.strip_prefix(&src).expect("is below it").to_owned();
        let path = module(&file);
        let of = imports.entry(path[0].clone()).or_default();
        for root in ["crate::".to_owned(), "super::".repeat(path.len())] {
            of.extend(names_after(&root, &code).into_iter().map(|name| (name.to_owned(), file.clone())));
        }
    }
    // The crate itself, which imports nothing.
    imports.retain(|module, _| !["lib", "main"].contains(&module.as_str()));
    let modules: BTreeSet<String> = imports.keys().cloned().collect();
    for (module, of) in &mut imports {
        of.retain(|name, _| name != module && modules.contains(name));
    }
    Ok(imports)
}

/// What remains without the modules that import none of the others, and without those that none of the others imports.
fn circles(mut imports: Imports) -> Imports {
    loop {
        let before = imports.len();
        let importing: BTreeSet<_> =
            imports.iter().filter(|(_, of)| !of.is_empty()).map(|(of, _)| of.clone()).collect();
        let imported: BTreeSet<_> = imports.values().flat_map(BTreeMap::keys).cloned().collect();
        let is_within = |module: &String| importing.contains(module) && imported.contains(module);
        imports.retain(|module, _| is_within(module));
        imports.values_mut().for_each(|of| of.retain(|module, _| is_within(module)));
        if imports.len() == before {
            return imports;
        }
    }
}

#[test]
fn no_modules_import_each_other() {
    let imports = imports().expect("the sources");
    assert!(imports["promotion"].contains_key("model"), "imports are found");
    let circles = circles(imports);
    let lines = circles.iter().flat_map(|(module, of)| of.iter().map(move |(name, file)| (module, name, file)));
    let lines: Vec<String> =
        lines.map(|(module, name, file)| format!("{module} imports {name} in src/{}", file.display())).collect();
    assert!(lines.is_empty(), "a circle: move what both need into a module below them\n{}", lines.join("\n"));
}

/// Modules, and what none of them may import: the steps after it, see CONTRIBUTING.md. Without a circle such an import would be
/// possible all the same.
const BELOW: [(&[&str], &[&str]); 3] = [
    (
        &["catalog", "model"],
        &[
            "apply",
            "controller",
            "observe",
            "promotion",
            "pruning",
            "render",
            "replicas",
            "signals",
            "status",
            "training",
            "triggers",
        ],
    ),
    (&["promotion", "pruning", "training", "triggers"], &["apply", "controller", "render", "status"]),
    (&["monitoring", "render"], &["apply", "controller", "observe", "signals", "status"]),
];

#[test]
fn no_step_imports_one_after_it() {
    let imports = imports().expect("the sources");
    for (modules, after) in BELOW {
        for module in modules {
            let of = &imports[*module];
            let wrong: Vec<_> = after.iter().filter_map(|name| Some((name, of.get(*name)?))).collect();
            assert!(wrong.is_empty(), "{module} imports what comes after it: {wrong:?}");
            let unknown: Vec<_> = after.iter().filter(|name| !imports.contains_key(**name)).collect();
            assert!(unknown.is_empty(), "there are no such modules: {unknown:?}");
        }
    }
}

#[test]
fn imports_are_found_wherever_they_are() {
    let code = "use crate::{\n    a::{self, x::{y, z}},\n    b,\n    c as d,\n};\nuse super::super::e;\nlet f = crate::f::new(g, crate::h);";
    assert_eq!(names_after("crate::", code).into_iter().collect::<Vec<_>>(), ["", "a", "b", "c", "f", "h"]);
    assert_eq!(names_after("super::super::", code).into_iter().collect::<Vec<_>>(), ["e"]);
}

#[test]
fn a_circle_is_what_remains() {
    let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), PathBuf::new())).collect();
    let imports = [("a", of(&["b"])), ("b", of(&["c", "d"])), ("c", of(&["b"])), ("d", of(&[]))];
    let circles = circles(imports.map(|(name, of)| (name.to_owned(), of)).into());
    assert_eq!(circles.keys().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(circles["b"].keys().collect::<Vec<_>>(), ["c"]);
}
