//! Files of a catalogue in a directory, which is often a volume of a ConfigMap: its files are links into a hidden directory, which
//! is replaced as a whole.

use std::{fs, io, path::Path};

use super::Problem;
use crate::text;

/// Directories below that of the catalogue: `dependencies/KIND/` is the deepest. Also ends a loop of links.
const DEPTH: usize = 2;
/// Most bytes of a file, as of a whole ConfigMap.
const LARGEST: u64 = 1 << 20;

/// Path below the directory, and text.
pub type File = (String, String);

/// The YAML files below a directory, in the order of their paths, and those that cannot be read. Hidden ones and files of other
/// kinds are passed over.
pub fn read(directory: &Path) -> (Vec<File>, Vec<Problem>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    collect(directory, "", &mut files, &mut problems);
    files.sort();
    (files, problems)
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>, problems: &mut Vec<Problem>) {
    let at = if prefix.is_empty() { directory.display().to_string() } else { prefix.to_owned() };
    let problem_at = |file: &str, line: u64, reason: String| Problem { file: file.to_owned(), line, reason };
    let problem = |file: &str, reason: String| problem_at(file, 0, reason);
    let entries = match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return problems.push(problem(&at, format!("the directory cannot be read: {error}"))),
    };
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let below = format!("{prefix}{name}");
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if prefix.matches('/').count() < DEPTH {
                collect(&path, &format!("{below}/"), files, problems);
            } else {
                problems.push(problem(&below, "too deep: use profiles/, alerts/ or dependencies/KIND/".into()));
            }
        } else if name.ends_with(".yaml") {
            match bytes(&path).map(text::utf8) {
                Ok(Ok(text)) => files.push((below, text)),
                Ok(Err((line, reason))) => problems.push(problem_at(&below, line, reason.into())),
                Err(error) => problems.push(problem(&below, format!("it cannot be read: {error}"))),
            }
        } else if let Some(end) = [".yaml", ".yml"].iter().find(|end| name.to_ascii_lowercase().ends_with(*end)) {
            let end = &name[name.len() - end.len()..];
            problems.push(problem(&below, format!("its name ends with {end}: end it with .yaml")));
        }
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        // Reading a pipe would wait for its writer for ever.
        return Err(io::Error::other("it is no regular file: write one"));
    }
    let length = metadata.len();
    if length > LARGEST {
        return Err(io::Error::other(format!(
            "it has {length} bytes, and at most {LARGEST} are read: leave out what is not needed, or write alerts in several files"
        )));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use std::{env, os::unix::fs::symlink, path::PathBuf, process};

    use super::*;

    /// A directory that is removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("recommender-catalog-{name}-{}", process::id()));
            fs::create_dir_all(&path).expect("the directory can be created");
            Self(path)
        }

        fn write(&self, path: &str, text: &str) {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().expect("a directory")).expect("it can be created");
            fs::write(file, text).expect("it can be written");
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn paths(files: &[File]) -> Vec<&str> {
        files.iter().map(|(path, _)| path.as_str()).collect()
    }

    #[test]
    fn each_file_of_a_config_map_is_read_once() {
        let volume = Directory::new("volume");
        volume.write("..2026_11_29/profiles/A.yaml", "a");
        volume.write("..2026_11_29/dependencies/kafka/B.yaml", "b");
        symlink("..2026_11_29", volume.0.join("..data")).expect("a link");
        for name in ["profiles", "dependencies"] {
            symlink(format!("..data/{name}"), volume.0.join(name)).expect("a link");
        }
        let (files, problems) = read(&volume.0);
        assert_eq!(problems, []);
        assert_eq!(
            files,
            [("dependencies/kafka/B.yaml", "b"), ("profiles/A.yaml", "a")]
                .map(|(path, text)| (path.into(), text.into()))
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_the_rest_is_read() {
        let directory = Directory::new("problems");
        directory.write("profiles/A.yaml", "a");
        directory.write("profiles/B.yml", "b");
        directory.write("README.md", "c");
        directory.write("profiles/F.YAML", "f");
        fs::write(directory.0.join("profiles/C.yaml"), b"a\nb\xff").expect("it can be written");
        symlink("nowhere", directory.0.join("profiles/D.yaml")).expect("a link");
        symlink("/dev/zero", directory.0.join("profiles/E.yaml")).expect("a link");
        symlink(".", directory.0.join("loop")).expect("a link");
        let (files, mut problems) = read(&directory.0);
        problems.sort_by(|a, b| a.file.cmp(&b.file));
        assert_eq!(paths(&files), ["loop/profiles/A.yaml", "profiles/A.yaml"]);
        let of =
            |file: &str| problems.iter().find(|of| of.file == file).map(|of| of.reason.as_str()).unwrap_or_default();
        assert_eq!(of("profiles/B.yml"), "its name ends with .yml: end it with .yaml");
        assert_eq!(of("profiles/F.YAML"), "its name ends with .YAML: end it with .yaml");
        let wrong = problems.iter().find(|of| of.file == "profiles/C.yaml").map(ToString::to_string);
        assert_eq!(
            wrong.as_deref(),
            Some("profiles/C.yaml:2: a character is not in UTF-8: save the file in that encoding")
        );
        assert!(of("profiles/D.yaml").starts_with("it cannot be read: "), "{problems:?}");
        assert_eq!(of("profiles/E.yaml"), "it cannot be read: it is no regular file: write one");
        let (files, problems) = read(&directory.0.join("nowhere"));
        assert!(files.is_empty() && problems[0].reason.starts_with("the directory cannot be read: "), "{problems:?}");
    }
}
