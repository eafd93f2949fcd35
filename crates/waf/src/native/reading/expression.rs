//! Whether an expression can be asked, and can find what it is meant to.

use regex_syntax::{
    ast::{self, ClassSetBinaryOp, ClassSetItem},
    hir::{Hir, HirKind, translate::TranslatorBuilder},
};

use super::Reading;
use crate::native::syntax::At;

impl Reading {
    /// Complains about an expression that does not compile, that finds something in every value, or, where `lower` says that
    /// values are in lower case, looks for capitals. Expressions that come with Selvedge are looked at by a test, not at each start.
    pub(super) fn check_expression(&self, pattern: At<&str>, lower: bool) -> Option<()> {
        if self.are_known {
            return Some(());
        }
        let parsed = parse(pattern.value);
        if let Err(Mistake { message, help }) = parsed {
            self.fault(pattern.at, message, help);
            return None;
        }
        let hir = parsed.ok()?;
        if hir.properties().minimum_len() == Some(0) && hir.properties().look_set().is_empty() {
            let help = "let something in it be required, or write `any`";
            self.fault(pattern.at, "this expression matches every value", help);
        }
        if lower && let Some(letter) = upper_case(&hir) {
            self.complain_about_case(letter, pattern.at);
        }
        Some(())
    }

    pub(super) fn complain_about_case(&self, letter: char, at: usize) {
        let message = format!("`{letter}` will not be found in a value in lower case");
        self.fault(at, message, "write it in lower case, or look at `text \"raw\"`");
    }
}

struct Mistake {
    message: String,
    help: &'static str,
}

/// Parses an expression as the engine will: for bytes.
fn parse(pattern: &str) -> Result<Hir, Mistake> {
    let mistake = |kind: &dyn ToString, offset: usize| Mistake {
        message: format!(
            "this is no regular expression: {}, at its byte {offset}",
            kind.to_string()
        ),
        help: "see https://docs.rs/regex-syntax for what can be written",
    };
    let ast = ast::parse::Parser::new().parse(pattern);
    let ast = ast.map_err(|error| mistake(error.kind(), error.span().start.offset))?;
    // The engine reads expressions as SecLang has them.
    ast::visit(&ast, NestedClass).map_err(|()| Mistake {
        message: "a class of this expression has classes in it".to_owned(),
        help: "write out which bytes are meant; `[`, `&&`, `--` and `~~` are written with a `\\`",
    })?;
    let mut translator =
        TranslatorBuilder::new().utf8(false).unicode(false).dot_matches_new_line(true).build();
    let hir = translator.translate(pattern, &ast);
    hir.map_err(|error| mistake(error.kind(), error.span().start.offset))
}

/// Ends a visit with an error where a class is made of classes.
struct NestedClass;

impl ast::Visitor for NestedClass {
    type Output = ();
    type Err = ();

    fn finish(self) -> Result<(), ()> {
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), ()> {
        Err(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), ()> {
        match item {
            ClassSetItem::Bracketed(_) => Err(()),
            _ => Ok(()),
        }
    }
}

/// A capital letter that a match has to contain.
fn upper_case(hir: &Hir) -> Option<char> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            literal.0.iter().find(|byte| byte.is_ascii_uppercase()).map(|byte| char::from(*byte))
        }
        HirKind::Repetition(repetition) => upper_case(&repetition.sub),
        HirKind::Capture(capture) => upper_case(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().find_map(upper_case),
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}
