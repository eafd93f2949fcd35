//! Which operation a path belongs to: concrete segments before templated ones.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

/// Templates of paths, and what belongs to each.
#[derive(Debug)]
pub(super) struct Paths<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    literal: HashMap<String, Self>,
    /// Segments with text around their parameters, the most text first.
    mixed: Vec<(Vec<Piece>, Self)>,
    /// Segments that are one parameter.
    whole: Option<Box<Self>>,
    /// What ends here, with the names of the parameters on the way.
    found: Option<(Vec<String>, T)>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literal: HashMap::new(), mixed: Vec::new(), whole: None, found: None }
    }
}

/// A piece of a templated segment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter,
}

/// Why a template is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplateError {
    /// It does not begin with a slash.
    Relative,
    /// Braces do not match, or hold nothing.
    Braces,
    /// Two parameters have nothing between them.
    Adjacent,
    /// A parameter occurs twice.
    Twice(String),
    /// Another template matches the same paths.
    Ambiguous,
}

/// The parameters of a path: their names, and their values as they were written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Captures<'t, 'p> {
    names: &'t [String],
    values: &'t [&'p str],
}

impl<'t, 'p> Captures<'t, 'p> {
    pub(super) fn get(&self, name: &str) -> Option<&'p str> {
        self.iter().find_map(|(own, value)| (own == name).then_some(value))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'t str, &'p str)> + use<'t, 'p> {
        self.names.iter().map(String::as_str).zip(self.values.iter().copied())
    }
}

type Visit<'v, T> = &'v mut dyn FnMut(&T, Captures<'_, '_>) -> bool;

impl<T> Paths<T> {
    pub(super) fn new() -> Self {
        Self { root: Node::default() }
    }

    /// Adds a template with what belongs to it.
    pub(super) fn insert(&mut self, template: &str, value: T) -> Result<(), TemplateError> {
        let path = template.strip_prefix('/').ok_or(TemplateError::Relative)?;
        let mut names = Vec::new();
        let mut node = &mut self.root;
        for segment in path.split('/') {
            node = node.step(pieces(segment, &mut names)?);
        }
        let twice = (1..names.len()).find(|at| names[..*at].contains(&names[*at]));
        match (twice, &node.found) {
            (Some(at), _) => Err(TemplateError::Twice(names.swap_remove(at))),
            (None, Some(_)) => Err(TemplateError::Ambiguous),
            (None, None) => {
                node.found = Some((names, value));
                Ok(())
            }
        }
    }

    /// Everything that `path` matches, the best first, until `visit` says that it is enough.
    ///
    /// There is one way to each node, so the work is bounded by the templates.
    pub(super) fn visit(&self, path: &str, visit: Visit<'_, T>) {
        let Some(path) = path.strip_prefix('/') else { return };
        let segments: Vec<&str> = path.split('/').collect();
        self.root.visit(&segments, &mut Vec::new(), visit);
    }
}

impl<T> Node<T> {
    /// The node that a segment leads to; it is made if it is not there.
    fn step(&mut self, pieces: Vec<Piece>) -> &mut Self {
        match pieces.as_slice() {
            [] => self.literal.entry(String::new()).or_default(),
            [Piece::Text(text)] => self.literal.entry(text.clone()).or_default(),
            [Piece::Parameter] => self.whole.get_or_insert_default(),
            _ => {
                let at = self.mixed.iter().position(|(own, _)| *own == pieces);
                let at = at.unwrap_or_else(|| {
                    let at =
                        self.mixed.partition_point(|(own, _)| text_of(own) >= text_of(&pieces));
                    self.mixed.insert(at, (pieces, Self::default()));
                    at
                });
                &mut self.mixed[at].1
            }
        }
    }

    /// Returns whether it was enough.
    fn visit<'p>(
        &self,
        segments: &[&'p str],
        values: &mut Vec<&'p str>,
        visit: Visit<'_, T>,
    ) -> bool {
        let Some((segment, rest)) = segments.split_first() else {
            let Some((names, found)) = &self.found else { return false };
            return visit(found, Captures { names, values });
        };
        if let Ok(text) = percent_decode_str(segment).decode_utf8()
            && let Some(next) = self.literal.get(text.as_ref())
            && next.visit(rest, values, visit)
        {
            return true;
        }
        let before = values.len();
        for (pieces, next) in &self.mixed {
            if capture(pieces, segment, values) && next.visit(rest, values, visit) {
                return true;
            }
            values.truncate(before);
        }
        let whole = self.whole.as_ref().filter(|_| !segment.is_empty());
        whole.is_some_and(|next| {
            values.push(segment);
            let enough = next.visit(rest, values, visit);
            values.truncate(before);
            enough
        })
    }
}

/// The pieces of a segment of a template; text is decoded, names go to `names`.
fn pieces(segment: &str, names: &mut Vec<String>) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while !rest.is_empty() {
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        if !text.is_empty() {
            let text = percent_decode_str(text).decode_utf8_lossy();
            pieces.push(Piece::Text(text.into_owned()));
        }
        if after.is_empty() {
            break;
        }
        let inner = after.strip_prefix('{').ok_or(TemplateError::Braces)?;
        let (name, after) = inner.split_once('}').ok_or(TemplateError::Braces)?;
        if name.is_empty() || name.contains('{') {
            return Err(TemplateError::Braces);
        }
        if pieces.last() == Some(&Piece::Parameter) {
            return Err(TemplateError::Adjacent);
        }
        pieces.push(Piece::Parameter);
        names.push(name.to_owned());
        rest = after;
    }
    Ok(pieces)
}

fn text_of(pieces: &[Piece]) -> usize {
    let text = |piece: &Piece| if let Piece::Text(text) = piece { text.len() } else { 0 };
    pieces.iter().map(text).sum()
}

/// Matches a segment from the left: a parameter takes one character at least, and ends where the text
/// after it first occurs. The last one ends where the text at the end begins.
fn capture<'p>(pieces: &[Piece], segment: &'p str, values: &mut Vec<&'p str>) -> bool {
    let mut rest = segment;
    let mut pieces = pieces;
    if let [before @ .., Piece::Text(last)] = pieces {
        let Some(stripped) = rest.strip_suffix(last.as_str()) else { return false };
        rest = stripped;
        pieces = before;
    }
    let mut in_parameter = false;
    for piece in pieces {
        let Piece::Text(text) = piece else {
            in_parameter = true;
            continue;
        };
        let from = if in_parameter { rest.chars().next().map_or(0, char::len_utf8) } else { 0 };
        let Some(at) = rest[from..].find(text.as_str()) else { return false };
        if in_parameter {
            values.push(&rest[..from + at]);
        } else if at > 0 {
            return false;
        }
        in_parameter = false;
        rest = &rest[from + at + text.len()..];
    }
    if in_parameter {
        values.push(rest);
    }
    in_parameter != rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(templates: &[&str]) -> Paths<String> {
        let mut paths = Paths::new();
        for template in templates {
            paths.insert(template, (*template).to_owned()).unwrap();
        }
        paths
    }

    /// Everything that `path` matches, with its captures.
    fn matches(paths: &Paths<String>, path: &str) -> Vec<String> {
        let mut all = Vec::new();
        paths.visit(path, &mut |template, captures| {
            let named = captures.iter().map(|(name, value)| format!(" {name}={value}"));
            all.push(format!("{template}{}", named.collect::<String>()));
            assert!(captures.iter().all(|(name, value)| captures.get(name) == Some(value)));
            false
        });
        all
    }

    #[track_caller]
    fn check(templates: &[&str], path: &str, expected: &[&str]) {
        assert_eq!(matches(&paths(templates), path), expected, "{path}");
    }

    #[test]
    fn concrete_before_templated() {
        let all = ["/pets/{id}", "/pets/mine", "/{kind}/mine", "/pets/{id}.json", "/{a}/{b}"];
        check(
            &all,
            "/pets/mine",
            &[
                "/pets/mine",
                "/pets/{id} id=mine",
                "/{kind}/mine kind=pets",
                "/{a}/{b} a=pets b=mine",
            ],
        );
        check(&all, "/pets/7", &["/pets/{id} id=7", "/{a}/{b} a=pets b=7"]);
        check(
            &all,
            "/pets/7.json",
            &["/pets/{id}.json id=7", "/pets/{id} id=7.json", "/{a}/{b} a=pets b=7.json"],
        );
        check(&all, "/cats/mine", &["/{kind}/mine kind=cats", "/{a}/{b} a=cats b=mine"]);
        check(&all, "/pets", &[]);
        check(&all, "/pets/", &[]);
        check(&all, "pets/7", &[]);
    }

    #[test]
    fn slashes_count() {
        check(&["/"], "/", &["/"]);
        check(&["/a/"], "/a/", &["/a/"]);
        check(&["/a/"], "/a", &[]);
        check(&["/a/{b}"], "/a//", &[]);
        check(&["/a/{b}"], "/a/x%2Fy", &["/a/{b} b=x%2Fy"]);
    }

    #[test]
    fn text_is_compared_decoded() {
        check(&["/caf%C3%A9"], "/café", &["/caf%C3%A9"]);
        check(&["/café"], "/caf%C3%A9", &["/café"]);
        check(&["/a b"], "/a%20b", &["/a b"]);
        check(&["/a"], "/%ff", &[]);
    }

    #[test]
    fn several_parameters_in_a_segment() {
        check(&["/{name}.{ext}"], "/a.b.c", &["/{name}.{ext} name=a ext=b.c"]);
        check(&["/{name}.{ext}"], "/.b", &[]);
        check(&["/{a}-{b}"], "/-x-y", &["/{a}-{b} a=-x b=y"]);
        check(&["/v{major}.{minor}-x"], "/v1.2-x", &["/v{major}.{minor}-x major=1 minor=2"]);
        check(&["/v{major}"], "/v", &[]);
        check(&["/{a}.json"], "/x.json.json", &["/{a}.json a=x.json"]);
        check(&["/({a})"], "/(é)", &["/({a}) a=é"]);
        check(&["/{a}é{b}"], "/éé1", &["/{a}é{b} a=é b=1"]);
    }

    #[track_caller]
    fn refused(templates: &[&str], expected: TemplateError) {
        let mut paths = Paths::new();
        let outcome = templates.iter().try_for_each(|template| paths.insert(template, ()));
        assert_eq!(outcome, Err(expected));
    }

    #[test]
    fn templates_that_mean_nothing() {
        refused(&["a"], TemplateError::Relative);
        refused(&["/{}"], TemplateError::Braces);
        refused(&["/{a"], TemplateError::Braces);
        refused(&["/a}"], TemplateError::Braces);
        refused(&["/{a{b}}"], TemplateError::Braces);
        refused(&["/{a}{b}"], TemplateError::Adjacent);
        refused(&["/{a}/{a}"], TemplateError::Twice("a".to_owned()));
        refused(&["/a/{x}", "/a/{y}"], TemplateError::Ambiguous);
    }

    proptest! {
        #[test]
        fn any_path_is_matched_or_not(path in "[a-c/.%0-9{}é-]{0,20}") {
            let paths = paths(&["/", "/a/{x}", "/{y}/b", "/{z}.{w}/{v}-c", "/a/b/{c}/a"]);
            for found in matches(&paths, &path) {
                let captured = found.split(' ').skip(1);
                prop_assert!(captured.map(|one| one.split_once('=').unwrap().1).all(|v| !v.is_empty()));
            }
        }

        #[test]
        fn what_is_filled_in_is_found_again(
            values in prop::collection::vec("[a-z0-9%_~é]{1,8}", 3),
        ) {
            let paths = paths(&["/x/{a}/y.{b}/{c}-z", "/x/{a}/{d}/{e}"]);
            let path = format!("/x/{}/y.{}/{}-z", values[0], values[1], values[2]);
            let expected =
                format!("/x/{{a}}/y.{{b}}/{{c}}-z a={} b={} c={}", values[0], values[1], values[2]);
            let found = matches(&paths, &path);
            prop_assert_eq!(found.first(), Some(&expected));
        }
    }
}
