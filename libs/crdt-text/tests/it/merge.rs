//! The same updates are the same text, in whatever order they came.

use proptest::prelude::*;
use selvedge_crdt::Batch;
use selvedge_crdt_text::Position;

use crate::site::{Site, pair};

#[test]
fn those_who_insert_at_the_same_place_are_both_there() {
    let (mut a, mut b) = pair("milk");
    let (from_a, from_b) = (a.set("oat milk"), b.set("soy milk"));
    a.receive(&from_b);
    b.receive(&from_a);
    let text = a.text().to_string();
    assert!(text.contains("oat ") && text.contains("soy ") && text.ends_with("milk"), "{text}");
    b.check(&text);
}

#[test]
fn setting_the_whole_leaves_what_others_changed() {
    let (mut a, mut b) = pair("The cat sat here.\nThe dog ran.\n");
    let (from_a, from_b) = (
        a.set("The cat slept here.\nThe dog ran.\n"),
        b.set("The cat sat here.\nThe dog barked.\n"),
    );
    a.receive(&from_b);
    b.receive(&from_a);
    a.check("The cat slept here.\nThe dog barked.\n");
    b.check("The cat slept here.\nThe dog barked.\n");
}

/// What one of three sites does: who, where, how much is taken out, and what is put there.
type Step = (usize, usize, usize, String);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = prop::sample::select(vec!["", "a", "bc", "é", "🙂", "longer text"]);
    let step = (0..3usize, 0..20usize, 0..4usize, text.prop_map(str::to_owned));
    prop::collection::vec(step, 1..24)
}

fn perform(site: &mut Site, (_, at, gone, with): &Step) -> Vec<Batch> {
    site.change(|text| {
        let len = text.as_str().chars().count();
        let from = at % (len + 1);
        let to = (from + gone).min(len);
        text.replace(Position::Chars(from), Position::Chars(to), with)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_order(steps in steps(), order in prop::collection::vec(any::<u32>(), 24), every in 1..6usize) {
        let mut sites = [Site::new(1), Site::new(2), Site::new(3)];
        let mut sent: Vec<Batch> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let batches = perform(&mut sites[step.0], step);
            sent.extend(batches);
            if at % every == 0 {
                sites[(step.0 + 1) % 3].receive(&sent);
            }
        }
        let mut shuffled: Vec<(u32, &Batch)> = order.iter().copied().cycle().zip(&sent).collect();
        shuffled.sort_by_key(|(chance, _)| *chance);
        let mut late = Site::new(9);
        for (_, batch) in shuffled {
            late.receive(std::slice::from_ref(batch));
        }
        for site in &mut sites {
            site.receive(&sent);
        }
        let text = late.text();
        prop_assert!(text.is_whole() && text.unread().is_empty());
        for site in &sites {
            prop_assert_eq!(site.text().to_string(), text.as_str());
        }
    }
}
