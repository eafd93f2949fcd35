//! Who reads an encrypted document.

use std::time::Duration;

use clap::Args;
use selvedge_crdt::session::{DeviceId, DocumentId};
use selvedge_replica::Known;
use selvedge_seal::{Link, Rights};

use super::{
    desk::{Desk, Waits, Work, run},
    document, duration,
};
use crate::{
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// What stands before a link's text.
const SCHEME: &str = "selvedge-doc:#";

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
    /// The token for this device, of `selvedge sync token`
    #[arg(long, env = "SELVEDGE_DOC_TOKEN", hide_env_values = true)]
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
    let rights = args.right.iter().fold(Rights::NONE, |all, right| all | *right);
    let mut work = desk.work(desk.store(&document)?)?;
    let link = run(async {
        work.reach(&document, Waits::needed(args.wait)).await?;
        let link = work.driver().keys().invite(&document, (rights, !args.many), "a link")?;
        work.push_keys(&document, args.wait).await?;
        Ok::<_, Failure>(link)
    })?;
    Ok(terminal.write(&format!("{SCHEME}{}\n", &*link.text()))?)
}

/// Comes in, and then reads the document from its beginning: what was written before this device had the keys opens only now.
pub(super) fn join(args: &JoinArgs, desk: &Desk) -> Result<(), Failure> {
    let text = args.link.strip_prefix(SCHEME).unwrap_or(&args.link);
    let link = Link::parse(text).map_err(|error| Failure::new(Exit::Usage, error))?;
    let document = link.document.clone();
    let known =
        Known { document: document.clone(), relay: args.relay.clone(), token: args.token.clone() };
    desk.create_by(&known, &link)?;
    let mut work = desk.work(desk.store(&document)?)?;
    let came_in = run(async {
        work.reach(&document, Waits::needed(args.wait)).await?;
        work.push_keys(&document, args.wait).await?;
        let is_in = work.driver().keys().is_member(&document);
        work.close().await?;
        is_in.then_some(()).ok_or_else(|| {
            Failure::new(
                Exit::Failure,
                "the link does not let this device in: it was used, or taken back",
            )
        })
    });
    if let Err(failure) = came_in {
        desk.forget(&document)?;
        return Err(failure);
    }
    let mut work = desk.begin_again(&document)?;
    run(async {
        work.reach(&document, Waits::needed(args.wait)).await?;
        work.close().await
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
        if let Some(device) = &args.remove {
            work.driver().keys().remove(&document, device)?;
            work.push_keys(&document, args.wait).await?;
        }
        Ok::<_, Failure>(())
    })?;
    for line in lines(&mut work, &document)? {
        terminal.write(&line)?;
    }
    Ok(())
}

fn lines(work: &mut Work, document: &DocumentId) -> Result<Vec<String>, Failure> {
    let members = work.driver().keys().members(document)?;
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
