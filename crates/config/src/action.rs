//! What a route does: `upstream`, `core`, `static`, `redirect`, `respond`.

use std::path::{Component, Path};

use crate::{
    Action, CORE, Code, Id, Redirect, Respond, StaticSite,
    address::id,
    cursor::Cursor,
    http::{header_value, path, redirect_target},
    reading::Problem,
    source::{Span, Spanned, sound},
    value::Checked,
};

/// An action as written; `None` inside when something is wrong with it.
pub(crate) struct ActionPart {
    pub(crate) span: Span,
    action: Option<Action>,
    upstream: Option<Spanned<Id>>,
}

impl ActionPart {
    pub(crate) fn upstream(&self) -> Option<&Spanned<Id>> {
        self.upstream.as_ref()
    }

    /// Whether it leads to the core.
    pub(crate) fn is_core(&self) -> bool {
        matches!(&self.action, Some(Action::Upstream(id)) if **id == *CORE)
    }

    pub(crate) fn settle(self) -> Option<Action> {
        let Self { span: _, action, upstream } = self;
        action.or(upstream.map(|id| Action::Upstream(id.value)))
    }
}

/// All actions of a route, although one is right: the others get an error.
pub(crate) fn read_actions(cursor: &mut Cursor<'_>) -> Vec<ActionPart> {
    cursor.children(&["upstream", "core", "static", "redirect", "respond"], |cursor| {
        let span = cursor.span();
        let (mut action, mut upstream) = (None, None);
        match cursor.name() {
            "upstream" => {
                let name = cursor.argument("the id of an upstream");
                upstream = name.and_then(|value| value.literal(id));
            }
            "core" => action = Some(Action::Upstream(CORE.into())),
            "static" => action = read_static(cursor).map(Action::Static),
            "redirect" => action = read_redirect(cursor).map(Action::Redirect),
            _ => action = read_respond(cursor).map(Action::Respond),
        }
        ActionPart { span, action, upstream }
    })
}

fn read_static(cursor: &mut Cursor<'_>) -> Option<StaticSite> {
    let root = cursor.argument("a folder").and_then(|value| value.folder());
    let index = cursor.child("index", read_index);
    let clean_urls = cursor.setting("clean-urls", |value| value.boolean());
    let fallback = cursor.setting("fallback", |value| value.parse(path_within));
    let cache_control = cursor.setting("cache-control", |value| value.parse(header_value));
    let precompressed = cursor.setting("precompressed", |value| value.boolean());
    let strip_prefix = cursor.setting("strip-prefix", |value| value.parse(path));
    Some(StaticSite {
        root: root?.value,
        index: index.unwrap_or_else(|| vec!["index.html".to_owned()]),
        clean_urls: clean_urls.is_none_or(|clean| clean.value),
        fallback: fallback.map(|fallback| fallback.value),
        cache_control: cache_control.map(|value| value.value),
        precompressed: precompressed.is_none_or(|precompressed| precompressed.value),
        strip_prefix: strip_prefix.map(|prefix| prefix.value),
    })
}

fn read_index(cursor: &mut Cursor<'_>) -> Vec<String> {
    let arguments = cursor.arguments("names of files such as \"index.html\"");
    let names = arguments.into_iter().filter_map(|value| value.parse(file_name));
    names.map(|name| name.value).collect()
}

fn file_name(text: &str) -> Checked<String> {
    let name = path_within(text)?;
    match name.contains('/') {
        true => Err(Problem::new(Code::Path, format!("{text:?} is not the name of a file"))
            .help("write the name alone; it is looked for in each folder")),
        false => Ok(name),
    }
}

/// A path that cannot leave the folder it is looked up in.
fn path_within(text: &str) -> Checked<String> {
    let stays = |component: Component<'_>| matches!(component, Component::Normal(_));
    let is_within = !text.is_empty()
        && !text.contains(['\0', '\\'])
        && Path::new(text).components().all(stays)
        && !text.ends_with('/');
    if is_within {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Path, format!("{text:?} is not a file within the folder"))
        .help("write it relative to the folder, without `..`, such as \"index.html\""))
}

fn read_redirect(cursor: &mut Cursor<'_>) -> Option<Redirect> {
    let to = cursor.argument("a path or URL").and_then(|value| value.parse(redirect_target));
    let status = cursor.property("status").map(|value| value.integer(300..=399_u16));
    let status = match status {
        None => 308,
        Some(status) => check_redirect_status(cursor, status?)?,
    };
    Some(Redirect { to: to?.value, status })
}

fn check_redirect_status(cursor: &Cursor<'_>, status: Spanned<u16>) -> Option<u16> {
    if matches!(status.value, 301 | 302 | 303 | 307 | 308) {
        return Some(status.value);
    }
    let message = format!("{} is not the status of a redirect", status.value);
    let help = "301, 302, 303, 307 or 308 (308 and 307 keep the method)";
    cursor.reading().error(status.span, Problem::new(Code::OutOfRange, message).help(help));
    None
}

fn read_respond(cursor: &mut Cursor<'_>) -> Option<Respond> {
    let status = cursor.argument("a status").and_then(|value| value.integer(200..=599_u16));
    let body = cursor.optional_argument();
    let has_body = body.is_some();
    let body = body.map(|value| value.parse(|text| Ok(text.to_owned())));
    let content_type = cursor.property("content-type");
    let content_type = content_type.map(|value| value.parse(content_type_value));
    let status = status?;
    if has_body && matches!(status.value, 204 | 205 | 304) {
        let message = format!("a response with status {} has no body", status.value);
        let problem = Problem::new(Code::Conflict, message);
        cursor.reading().error(status.span, problem.help("remove the body or write 200"));
    }
    Some(Respond {
        status: status.value,
        body: sound(body)?.map(|body| body.value).unwrap_or_default(),
        content_type: sound(content_type)?
            .map_or_else(|| "text/plain; charset=utf-8".to_owned(), |value| value.value),
    })
}

fn content_type_value(text: &str) -> Checked<String> {
    let value = header_value(text)?;
    let is_media_type = value.split_once('/').is_some_and(|(kind, subtype)| {
        !kind.is_empty() && !subtype.is_empty() && !kind.contains(char::is_whitespace)
    });
    if is_media_type && value.is_ascii() {
        return Ok(value);
    }
    Err(Problem::new(Code::Header, format!("{text:?} is not a content type"))
        .help("such as \"text/html; charset=utf-8\" or \"application/json\""))
}
