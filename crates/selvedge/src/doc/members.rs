//! Who comes into a document, and who reads an encrypted one.

use std::time::Duration;

use clap::Args;
use selvedge_crdt::session::{DeviceId, DocumentId, Sealing};
use selvedge_replica::Known;
use selvedge_seal::{Device, Link, Rights, SECRET_BYTES, token::Capability};
use serde_json::json;

use super::{
    desk::{Desk, Found, Waits, Work, random, run},
    document, duration,
    exchange::{Exchange, NotGiven},
};
use crate::{
    exit::{Exit, Failure},
    sync::lifetime,
    terminal::{Terminal, complain},
};

/// What stands before a link's text.
const SCHEME: &str = "selvedge-doc:#";

/// Why a link gives a member of an encrypted document nothing more.
const IS_MEMBER: &str = "this device is a member already, and no link changes what a member may do\n\
                         help: have it taken out (`selvedge doc members NAME --remove DEVICE`), forget the document here \
                         (`selvedge doc forget NAME`), and join by a link that is made after that";

/// Options of `selvedge doc invite`.
#[derive(Args, Debug)]
pub(super) struct InviteArgs {
    /// NAME, or TENANT:NAME
    document: String,
    /// What whoever comes in may do; may be repeated
    #[arg(long, value_name = "RIGHT", value_parser = right, default_values = ["read", "write"])]
    right: Vec<Rights>,
    /// For as many devices as open it, not for one
    #[arg(long)]
    many: bool,
    /// How long it counts, such as 12h or 30d; 90 days at most
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = lifetime)]
    expires: Duration,
    /// How long to wait for the relay
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    wait: Duration,
}

/// Options of `selvedge doc join`.
#[derive(Args, Debug)]
pub(super) struct JoinArgs {
    /// What `selvedge doc invite` printed
    link: String,
    /// Where its relay is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    relay: String,
    /// The token for this device, of `selvedge sync token`; otherwise the relay gives one for the link's
    #[arg(long, env = "SELVEDGE_DOC_TOKEN", hide_env_values = true, default_value = "")]
    token: String,
    /// How long to wait for the relay
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    wait: Duration,
}

/// Options of `selvedge doc members`.
#[derive(Args, Debug)]
pub(super) struct MembersArgs {
    /// NAME, or TENANT:NAME
    document: String,
    /// Take this device out: what is written from then on is closed to it
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    remove: Option<DeviceId>,
    /// How long to wait for the relay
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    wait: Duration,
}

/// Prints a link once the relay has it: nobody comes in by one that is not there.
pub(super) fn invite(
    args: &InviteArgs,
    desk: &Desk,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let document = document(&args.document)?;
    let store = desk.store(&document)?;
    let relay = store.known().relay.clone();
    let mut work = desk.work(store)?;
    let link = run(async {
        work.reach(&document, Waits::needed(args.wait)).await?;
        // What it was when this began may have been exchanged meanwhile.
        let token = work.driver().store(&document).map(|store| store.known().token.clone());
        let by = Inviter { desk, relay: &relay, token: token.unwrap_or_default(), args };
        work.tell_dropped();
        match work.driver().keys().sealing(&document) {
            Sealing::Plain => by.plain(&document).await,
            Sealing::Epoch(_) => by.sealed(&document, &mut work).await,
        }
    })?;
    Ok(terminal.write(&format!("{SCHEME}{}\n", &*link.text()))?)
}

/// A device that makes a link.
struct Inviter<'a> {
    desk: &'a Desk,
    relay: &'a str,
    token: String,
    args: &'a InviteArgs,
}

impl Inviter<'_> {
    fn rights(&self) -> Rights {
        self.args.right.iter().fold(Rights::NONE, |all, right| all | *right)
    }

    async fn plain(&self, document: &DocumentId) -> Result<Link, Failure> {
        let secret: [u8; SECRET_BYTES] = random()?;
        let device = Device::of_link(document, &secret).id();
        let token = self.token_for(&device, document).await?;
        Ok(Link::plain(document, secret, token))
    }

    /// Who may not have tokens made still makes a link: whoever opens it brings a token.
    async fn sealed(&self, document: &DocumentId, work: &mut Work) -> Result<Link, Failure> {
        let wanted = (self.rights(), !self.args.many);
        let mut link = work.driver().keys().invite(document, wanted, "a link")?;
        match self.token_for(&link.device().id(), document).await {
            Ok(token) => link.token = Some(token),
            Err(why @ NotGiven::Refused(..)) => complain(&format!(
                "{why}\nhelp: whoever opens the link needs a token of `selvedge sync token` as well\n"
            )),
            Err(away) => return Err(away.into()),
        }
        work.push_keys(document, self.args.wait).await?;
        Ok(link)
    }

    async fn token_for(&self, link: &DeviceId, document: &DocumentId) -> Result<String, NotGiven> {
        let rights: Vec<&str> = self.rights().names().collect();
        let wanted = json!({
            "token": self.token,
            "device": link.to_string(),
            "document": document.name(),
            "rights": rights,
            "link": if self.args.many { "many" } else { "once" },
            "ttl": self.args.expires.as_secs(),
        });
        let mut exchange = Exchange::with(self.relay, self.desk.device())
            .map_err(|failure| NotGiven::Refused("relay".to_owned(), failure.text))?;
        exchange.token("share", &wanted).await
    }
}

/// Comes in by a link; what was interrupted goes on, and who is in stays in, and takes what the link allows beyond that.
pub(super) fn join(args: &JoinArgs, desk: &Desk) -> Result<(), Failure> {
    let text = args.link.strip_prefix(SCHEME).unwrap_or(&args.link);
    let link = Link::parse(text).map_err(|error| Failure::new(Exit::Usage, error))?;
    let document = &link.document;
    let found = desk.found_by(&link)?;
    match found {
        Found::Nothing => begin(args, &link, desk)?,
        Found::Begun => {}
        Found::Whole => allow_more(args, &link, desk)?,
    }
    let came_in = come_in(&link, desk, args.wait);
    match (&came_in, found) {
        (Err(_), Found::Nothing) => desk.forget(document)?,
        // What was written here meanwhile is not thrown away.
        (Err(_), Found::Begun) => complain(&format!(
            "what was begun is kept: the same command goes on with it, `selvedge doc forget {}:{}` gives it up\n",
            document.tenant(),
            document.name()
        )),
        _ => {}
    }
    came_in
}

/// Begins to keep the document of a link.
fn begin(args: &JoinArgs, link: &Link, desk: &Desk) -> Result<(), Failure> {
    let token = token_by(args, link, &args.relay, desk)?;
    let (document, relay) = (link.document.clone(), args.relay.clone());
    match link.is_plain() {
        true => desk.create(&document, (&relay, &token), false),
        false => desk.create_by(&Known { document, relay, token }, link),
    }
}

/// Takes the token of a link where it allows more than the one that is here. A link for once stays unused where it does not.
fn allow_more(args: &JoinArgs, link: &Link, desk: &Desk) -> Result<(), Failure> {
    let known = desk.known(&link.document)?;
    let rights = |token: &str| Some(Capability::unverified(token)?.rights_on(&link.document));
    let offered = match args.token.as_str() {
        "" => link.token.as_deref(),
        given => Some(given),
    };
    let (Some(own), Some(other)) = (rights(&known.token), offered.and_then(rights)) else {
        return Ok(());
    };
    let is_more = !own.has(other.without(Rights::JOIN)) && other.has(own.without(Rights::JOIN));
    if is_more && !link.is_plain() {
        return Err(Failure::new(Exit::Failure, IS_MEMBER));
    }
    if is_more {
        desk.reach(&link.document, None, &token_by(args, link, &known.relay, desk)?)?;
    }
    Ok(())
}

/// The token that was given, or one for this device by the link's.
fn token_by(args: &JoinArgs, link: &Link, relay: &str, desk: &Desk) -> Result<String, Failure> {
    match args.token.as_str() {
        "" => run(token_of(link, relay, desk)),
        given => Ok(given.to_owned()),
    }
}

/// For the link's token, one for this device.
async fn token_of(link: &Link, relay: &str, desk: &Desk) -> Result<String, Failure> {
    let token = link.token.as_deref().ok_or_else(|| {
        let text = "the link has no token in it\nhelp: `selvedge sync token` makes one for `selvedge doc device`; \
                    pass it with --token";
        Failure::new(Exit::Usage, text)
    })?;
    let wanted = json!({ "token": token, "device": desk.device().id().to_string() });
    let device = link.device();
    Ok(Exchange::with(relay, &device)?.token("join", &wanted).await?)
}

/// Reads the document, and becomes a member where it is encrypted. The relay says the keys first, so that what was written before opens
/// at once.
fn come_in(link: &Link, desk: &Desk, wait: Duration) -> Result<(), Failure> {
    let document = &link.document;
    let mut work = desk.work(desk.store(document)?)?;
    run(async {
        work.reach(document, Waits::needed(wait)).await?;
        work.push_keys(document, wait).await?;
        let is_in = link.is_plain() || work.driver().vault().is_member(document);
        work.close().await?;
        is_in.then_some(()).ok_or_else(|| {
            Failure::new(
                Exit::Failure,
                "the link does not let this device in: it was used, or taken back",
            )
        })
    })
}

/// Prints the members, or takes one out.
pub(super) fn members(
    args: &MembersArgs,
    desk: &Desk,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let document = document(&args.document)?;
    let mut work = desk.work(desk.store(&document)?)?;
    run(async {
        let waits = Waits { needed: args.remove.is_some(), ..Waits::up_to(args.wait) };
        work.reach(&document, waits).await?;
        work.tell_dropped();
        if let Some(device) = &args.remove {
            work.driver().keys().remove(&document, device)?;
            work.push_keys(&document, args.wait).await?;
        }
        Ok::<_, Failure>(())
    })?;
    for line in lines(&mut work, &document)? {
        terminal.write(&line)?;
    }
    let standing = work.standing(&document);
    if let Some(why) = standing.trouble.filter(|_| standing.list_waits) {
        complain(&format!("another list of members waits for the relay: {why}\n"));
    }
    Ok(())
}

fn lines(work: &mut Work, document: &DocumentId) -> Result<Vec<String>, Failure> {
    if work.driver().keys().sealing(document) == Sealing::Plain {
        let text = "the document is not encrypted, and has no list of members\n\
                    help: who may do what stands in the tokens of its devices";
        return Err(Failure::new(Exit::Failure, text));
    }
    let members = work.driver().vault().members(document)?;
    let line = |(device, rights, name): (DeviceId, Rights, String)| {
        let rights: Vec<&str> = rights.names().collect();
        format!("{device}  {}  {name}\n", rights.join(","))
    };
    Ok(members.into_iter().map(line).collect())
}

fn right(text: &str) -> Result<Rights, String> {
    Rights::from_name(text).ok_or_else(|| "one of read, write, snapshot, admin, join".to_owned())
}

fn device(text: &str) -> Result<DeviceId, String> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
    let id = bytes.and_then(|bytes| bytes.try_into().ok()).map(DeviceId);
    id.ok_or_else(|| "64 hexadecimal digits, as `selvedge doc members` prints them".to_owned())
}
