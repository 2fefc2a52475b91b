//! The lists of `In` and `NotIn`: items with commas between them.

use std::collections::HashSet;

/// The items of a list: trimmed, in their order, each once.
pub(super) fn split(list: &str) -> Result<Vec<String>, String> {
    let mut items = vec![String::new()];
    let mut quoted = false;
    let mut chars = list.chars().peekable();
    while let Some(char) = chars.next() {
        let item = items.last_mut().expect("there is always an item to add to");
        match char {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => item.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(String::new()),
            other => item.push(other),
        }
    }
    if quoted {
        return Err("expected a list with commas, found a double quote that nothing closes \
                    (a quote within quotes is \"\")"
            .to_owned());
    }
    let mut seen = HashSet::new();
    let trimmed = items.iter().map(|item| item.trim().to_owned());
    Ok(trimmed.filter(|item| seen.insert(item.clone())).collect())
}

/// The list that splits into these items; `None` if there is none, since items are trimmed.
pub(super) fn join<'i>(items: impl IntoIterator<Item = &'i str>) -> Option<String> {
    let quoted = |item: &str| {
        if item.is_empty() || item.contains([',', '"']) {
            format!("\"{}\"", item.replace('"', "\"\""))
        } else {
            item.to_owned()
        }
    };
    let items: Option<Vec<String>> =
        items.into_iter().map(|item| (item == item.trim()).then(|| quoted(item))).collect();
    items.map(|items| items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_quotes_group_and_items_are_trimmed() {
        let cases: [(&str, &[&str]); 9] = [
            ("a", &["a"]),
            (" a , b ", &["a", "b"]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"say \"\"hi\"\"\", x", &["say \"hi\"", "x"]),
            ("a\"b,c\"d", &["ab,cd"]),
            ("a,,b", &["a", "", "b"]),
            ("a,", &["a", ""]),
            ("\"\"", &[""]),
            ("a, a", &["a"]),
        ];
        for (list, items) in cases {
            assert_eq!(split(list).unwrap(), items, "{list}");
        }
        assert!(split("a,\"b").unwrap_err().contains("nothing closes"));
    }

    #[test]
    fn what_is_joined_splits_into_the_same() {
        for items in [vec!["a", "b"], vec![""], vec!["", "a,b"], vec!["\"", "x\"y", "1.0"]] {
            assert_eq!(split(&join(items.clone()).unwrap()).unwrap(), items);
        }
        assert_eq!(join(["a", " b"]), None);
    }
}
