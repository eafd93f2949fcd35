//! Which rules look at which values.

use std::collections::{BTreeMap, HashMap};

use super::{
    KEY_BYTES_MAX,
    bits::Bits,
    compile::{Compiled, CompiledSelector},
    template::Key,
    trie::{Node, Trie},
};
use crate::{
    rule::Variable,
    transform::{ByteSet, Transformation},
};

/// The rules that may look at a value, by the chain they look through.
pub(super) struct Interest {
    /// All of them.
    pub all: Bits,
    /// Chains that leave a value alone if it is made of these bytes …
    pub plain: ByteSet,
    /// … the rules of all of those …
    pub together: Bits,
    /// … and one by one.
    pub easy: Box<[(Node, Bits)]>,
    /// Chains that change anything.
    pub hard: Box<[(Node, Bits)]>,
}

/// The interests in all values.
pub(super) struct Interests {
    list: Vec<Interest>,
    /// By class.
    by_class: Vec<Option<usize>>,
    /// By class and name, where a rule names one.
    by_key: HashMap<(Variable, Key), usize>,
    /// Whether rules name entries of a class.
    keyed: Vec<bool>,
}

impl Interests {
    /// Whether the entries of a variable are values that are collected when they are received.
    pub fn is_value(variable: Variable) -> bool {
        !classes(variable).is_empty()
    }

    pub fn new(rules: &[Compiled], nodes: &[Vec<Node>], trie: &Trie) -> Self {
        let wide = rules_by(rules, |selector| (!is_keyed(selector)).then_some(Key::NONE));
        let named = rules_by(rules, |selector| match selector {
            CompiledSelector::Key(key, _) if is_keyed(selector) => Some(*key),
            _ => None,
        });
        let mut interests = Self {
            list: Vec::new(),
            by_class: vec![None; Variable::ALL.len()],
            by_key: HashMap::new(),
            keyed: vec![false; Variable::ALL.len()],
        };
        for (&(class, _), probes) in &wide {
            interests.by_class[class as usize] = Some(interests.list.len());
            interests.list.push(Interest::new(probes, nodes, trie));
        }
        for (&(class, key), probes) in &named {
            let also = wide.get(&(class, Key::NONE)).cloned().unwrap_or_default();
            let probes: Vec<u16> = probes.iter().copied().chain(also).collect();
            interests.keyed[class as usize] = true;
            interests.by_key.insert((class, key), interests.list.len());
            interests.list.push(Interest::new(&probes, nodes, trie));
        }
        interests
    }

    /// Whether a rule that is looked for beforehand names an entry of this class.
    pub fn is_keyed(&self, class: Variable) -> bool {
        self.keyed[class as usize]
    }

    /// The rules that look at a class, whatever entries of it they choose.
    pub fn all_of(&self, class: Variable) -> impl Iterator<Item = &Bits> {
        let named = self.by_key.iter().filter(move |((of, _), _)| *of == class).map(|(_, at)| *at);
        named.chain(self.by_class[class as usize]).map(|at| &self.list[at].all)
    }

    pub fn of(&self, class: Variable, key: Key) -> Option<&Interest> {
        let named = if key == Key::NONE { None } else { self.by_key.get(&(class, key)).copied() };
        named.or(self.by_class[class as usize]).map(|at| &self.list[at])
    }
}

/// Whether values are found by the name that a selector says: a value with a longer one has no key.
fn is_keyed(selector: &CompiledSelector) -> bool {
    matches!(selector, CompiledSelector::Key(_, name) if name.len() <= KEY_BYTES_MAX)
}

/// Probes by class and whatever `key` makes of their targets' selectors.
fn rules_by(
    rules: &[Compiled],
    key: impl Fn(&CompiledSelector) -> Option<Key>,
) -> BTreeMap<(Variable, Key), Vec<u16>> {
    let mut found: BTreeMap<(Variable, Key), Vec<u16>> = BTreeMap::new();
    for rule in rules {
        let Some(probe) = rule.probe else { continue };
        for target in &rule.links[0].targets {
            let Some(key) = key(&target.selector) else { continue };
            for &class in classes(target.variable) {
                found.entry((class, key)).or_default().push(probe);
            }
        }
    }
    found
}

/// The classes of the values that a variable is made of; none: it is no value but state.
pub(super) fn classes(variable: Variable) -> &'static [Variable] {
    use Variable as V;
    macro_rules! own {
        ($($name:ident),* $(,)?) => {
            match variable {
                V::Args => &[V::ArgsGet, V::ArgsPost],
                V::ArgsNames => &[V::ArgsGetNames, V::ArgsPostNames],
                $(V::$name => &[V::$name],)*
                _ => &[],
            }
        };
    }
    own!(
        ArgsGet,
        ArgsGetNames,
        ArgsPost,
        ArgsPostNames,
        Files,
        FilesNames,
        FilesTmpContent,
        MultipartFilename,
        MultipartName,
        MultipartPartHeaders,
        PathInfo,
        QueryString,
        RequestBasename,
        RequestBody,
        RequestCookies,
        RequestCookiesNames,
        RequestFilename,
        RequestHeaders,
        RequestHeadersNames,
        RequestLine,
        RequestMethod,
        RequestProtocol,
        RequestUri,
        RequestUriRaw,
        ResponseBody,
        ResponseHeaders,
        ResponseHeadersNames,
        UnreadBody,
        WebSocketFrame,
        Xml,
    )
}

impl Interest {
    fn new(probes: &[u16], nodes: &[Vec<Node>], trie: &Trie) -> Self {
        let mut by_node: BTreeMap<Node, Bits> = BTreeMap::new();
        for &probe in probes {
            for &node in &nodes[usize::from(probe)] {
                by_node
                    .entry(node)
                    .or_insert_with(|| Bits::new(nodes.len()))
                    .insert(usize::from(probe));
            }
        }
        let mut all = Bits::new(nodes.len());
        probes.iter().for_each(|&probe| all.insert(usize::from(probe)));
        let never = |node: &Node| {
            trie.chain(*node).iter().any(|step| !step.is_identity_on(&ByteSet::from_bytes(b"a")))
        };
        let (hard, easy): (Vec<_>, Vec<_>) = by_node.into_iter().partition(|(node, _)| never(node));
        let mut together = Bits::new(nodes.len());
        easy.iter().for_each(|(_, bits)| together.union(bits));
        let chains: Vec<_> = easy.iter().map(|(node, _)| trie.chain(*node)).collect();
        Self { all, plain: plain_bytes(&chains), together, easy: easy.into(), hard: hard.into() }
    }
}

/// As many bytes as possible of which texts are made that no chain changes.
fn plain_bytes(chains: &[Vec<Transformation>]) -> ByteSet {
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let others = (0u8..=255).filter(|byte| !letters.contains(byte));
    let mut plain = ByteSet::default();
    for byte in letters.iter().copied().chain(others) {
        let more = plain.union(ByteSet::from_bytes(&[byte]));
        if chains.iter().flatten().all(|step| step.is_identity_on(&more)) {
            plain = more;
        }
    }
    plain
}
