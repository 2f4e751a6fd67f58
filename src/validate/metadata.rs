//! Kubernetes' rules for names, labels and annotations.

use regex::Regex;
use serde_json::Value;

use super::Problem;

/// Pattern of a DNS subdomain, as Kubernetes prints it in errors.
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
/// Pattern of a DNS label, as Kubernetes prints it in errors.
const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
/// Pattern of the name part of a label or annotation key, as Kubernetes prints it in errors.
const LABEL_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
/// Pattern of a label value, as Kubernetes prints it in errors.
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
/// Largest total size of all keys and values of the annotations, in bytes: Kubernetes' limit.
const ANNOTATIONS_SIZE: i64 = 262_144;

/// Checks the metadata of `object`.
pub(super) fn check(object: &Value, problems: &mut Vec<Problem>) {
    let metadata = &object["metadata"];
    match metadata["name"].as_str() {
        None | Some("") => problems.push(Problem::name_required("metadata.name")),
        Some(name) => report("metadata.name", name, subdomain(name, "characters"), problems),
    }
    // Without one it is that of kubectl.
    if let Some(namespace) = metadata["namespace"].as_str().filter(|namespace| !namespace.is_empty()) {
        report("metadata.namespace", namespace, label(namespace), problems);
    }
    for (key, value) in texts(&metadata["labels"]) {
        report("metadata.labels", key, label_key(key), problems);
        report("metadata.labels", value, label_value(value), problems);
    }
    for (key, _) in texts(&metadata["annotations"]) {
        report("metadata.annotations", key, label_key(&key.to_lowercase()), problems);
    }
    let size: usize = texts(&metadata["annotations"]).map(|(key, value)| key.len() + value.len()).sum();
    if size as i64 > ANNOTATIONS_SIZE {
        problems.push(Problem::too_long("metadata.annotations", ANNOTATIONS_SIZE));
    }
}

fn texts(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    map.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

fn report(field: &str, value: &str, details: Vec<String>, problems: &mut Vec<Problem>) {
    problems.extend(details.into_iter().map(|detail| Problem::invalid(field, &value.into(), detail)));
}

/// Errors of a domain name. Kubernetes has this check twice, with a different `unit` in the message.
fn subdomain(name: &str, unit: &str) -> Vec<String> {
    let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                start and end with an alphanumeric character";
    [too_long(name, 253, unit), mismatch(name, SUBDOMAIN, rule, &["example.com"])].into_iter().flatten().collect()
}

/// Errors of a part of a domain name, which a namespace is.
fn label(name: &str) -> Vec<String> {
    let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an \
                alphanumeric character";
    let wrong = [too_long(name, 63, "characters"), mismatch(name, LABEL, rule, &["my-name", "123-abc"])];
    wrong.into_iter().flatten().collect()
}

/// Errors of a key of a label or annotation.
fn label_key(key: &str) -> Vec<String> {
    let rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                character";
    let examples = ["MyName", "my.name", "123-abc"];
    let parts: Vec<&str> = key.split('/').collect();
    let (prefix, name) = match parts[..] {
        [name] => (None, name),
        [prefix, name] => (Some(prefix), name),
        _ => {
            let form = described(LABEL_NAME, rule, &examples);
            let prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {form} {prefix}")];
        }
    };
    let of_prefix = match prefix {
        Some("") => vec!["must be non-empty".to_owned()],
        Some(prefix) => subdomain(prefix, "bytes"),
        None => Vec::new(),
    };
    let length = if name.is_empty() { Some("must be non-empty".to_owned()) } else { too_long(name, 63, "bytes") };
    let of_name = [length, mismatch(name, LABEL_NAME, rule, &examples)].into_iter().flatten();
    let of_prefix = of_prefix.into_iter().map(|detail| format!("prefix part {detail}"));
    of_prefix.chain(of_name.map(|detail| format!("name part {detail}"))).collect()
}

/// Errors of the value of a label.
fn label_value(value: &str) -> Vec<String> {
    let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                start and end with an alphanumeric character";
    let examples = ["MyValue", "my_value", "12345"];
    [too_long(value, 63, "bytes"), mismatch(value, LABEL_VALUE, rule, &examples)].into_iter().flatten().collect()
}

fn too_long(text: &str, maximum: usize, unit: &str) -> Option<String> {
    (text.len() > maximum).then(|| format!("must be no more than {maximum} {unit}"))
}

fn mismatch(text: &str, pattern: &str, rule: &str, examples: &[&str]) -> Option<String> {
    let regex = Regex::new(&format!("^({pattern})$")).expect("the patterns above are valid");
    (!regex.is_match(text)).then(|| described(pattern, rule, examples))
}

fn described(pattern: &str, rule: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts_of(metadata: Value) -> Vec<String> {
        let mut problems = Vec::new();
        check(&json!({ "metadata": metadata }), &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn names_are_domain_names_of_up_to_253_characters() {
        for name in ["a".to_owned(), "a".repeat(63), "1.2-3.x".to_owned(), "a.".repeat(126) + "b"] {
            assert_eq!(texts_of(json!({ "name": name })), Vec::<String>::new());
        }
        assert_eq!(texts_of(json!({ "name": "A" })).len(), 1);
        assert_eq!(
            texts_of(json!({ "name": "a".repeat(254) }))[0],
            format!("metadata.name: Invalid value: \"{}\": must be no more than 253 characters", "a".repeat(254))
        );
        assert_eq!(texts_of(json!({})), ["metadata.name: Required value: name or generateName is required"]);
    }

    #[test]
    fn namespaces_are_parts_of_domain_names_of_up_to_63_characters() {
        let of = |namespace: &str| texts_of(json!({ "name": "a", "namespace": namespace }));
        for namespace in ["", "shop", "1-a", &"a".repeat(63)] {
            assert_eq!(of(namespace), Vec::<String>::new());
        }
        let expected = "metadata.namespace: Invalid value: \"Shop_1\": a lowercase RFC 1123 label must consist of lower case \
                        alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
                        '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        assert_eq!(of("Shop_1"), [expected]);
        for namespace in ["a.b", "-a", "a-", "a b", "a/b", &"a".repeat(64)] {
            assert_eq!(of(namespace).len(), 1, "{namespace}");
        }
    }

    #[test]
    fn labels_and_annotations_have_keys_with_an_optional_domain() {
        let good = json!({ "name": "x", "labels": { "a.b/c": "d_e", "f": "" }, "annotations": { "A/b": "any thing" } });
        assert_eq!(texts_of(good), Vec::<String>::new());
        for (key, problems) in [("b b", 1), ("/a", 1), ("a/", 2), ("a/b/c", 1), ("A/b", 1)] {
            assert_eq!(texts_of(json!({ "name": "x", "labels": { key: "" } })).len(), problems, "{key}");
        }
        assert_eq!(texts_of(json!({ "name": "x", "labels": { "a": "-" } })).len(), 1);
    }

    #[test]
    fn the_total_size_of_annotations_is_bounded() {
        let annotations = json!({ "a": "x".repeat(200_000), "b": "x".repeat(100_000) });
        assert_eq!(
            texts_of(json!({ "name": "x", "annotations": annotations })),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"]
        );
    }
}
