//! A process that stays with a document does what others want of it, over a socket beside the document.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use selvedge_crdt::session::DocumentId;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{
    desk::{Waits, Work},
    request::Request,
    standing::{self, Standing},
};
use crate::{
    exit::{Exit, Failure},
    terminal::complain,
};

/// Bytes of a request, at most.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

/// How long somebody may take to say what he wants, or to hear it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked whether it and the relay are in step.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The socket's name in a document's folder.
const SOCKET: &str = "leader.sock";

/// Listens beside a document that this process has.
pub(super) fn listen(folder: &Path) -> io::Result<UnixListener> {
    at(folder, |path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    })
}

/// Whether a process that has the document does what others want.
pub(super) fn listens(folder: &Path) -> bool {
    at(folder, |path| BlockingStream::connect(path)).is_ok()
}

/// Says why what is read is not all that others wrote.
pub(super) fn warn(unread: Option<&str>) {
    unread.iter().for_each(|why| complain(&format!("warning: {why}\n")));
}

/// Uses the socket in `folder`. Addresses of sockets have 107 bytes, and folders of documents may lie deeper: it is named by way of the
/// folder that is open.
fn at<T>(folder: &Path, using: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let opened = fs::File::open(folder)?;
    using(&PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd())))
}

/// Does what somebody wants, and tells him what came of it. Who says nothing, or does not listen, is not waited for long.
pub(super) async fn serve(stream: UnixStream, work: &mut Work, document: &DocumentId) {
    let served = async {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        let mut reader = tokio::io::BufReader::new(read.take(REQUEST_BYTES_MAX));
        reader.read_line(&mut line).await?;
        let answer = answer(&line, work, document);
        write.write_all(format!("{answer}\n").as_bytes()).await
    };
    // Whom it concerns has gone.
    let _ = timeout(PATIENCE, served).await;
}

fn answer(line: &str, work: &mut Work, document: &DocumentId) -> Json {
    let request: Result<Request, _> = serde_json::from_str(line);
    let answer = match request {
        Ok(request) => request.perform(work, document),
        Err(error) => Err(Failure::new(Exit::Usage, error)),
    };
    match answer {
        Ok(answer) => json!({ "answer": answer, "unread": work.unread(document) }),
        Err(failure) => json!({ "exit": failure.exit as u8, "error": failure.text }),
    }
}

/// Has the process do something that has the document in `folder`, and waits for the relay as who has it himself.
pub(super) fn have(folder: &Path, request: &Request, waits: Waits) -> Result<Json, Failure> {
    let mut answer = ask(folder, request)?;
    if !request.moves() {
        warn(answer["unread"].as_str());
    }
    let mut answer = answer["answer"].take();
    let Some(limit) = waits.limit.filter(|_| request.moves()) else { return Ok(answer) };
    let (end, mut dropped) = (Instant::now() + limit, None);
    loop {
        let mut standing: Standing =
            serde_json::from_value(answer).map_err(|error| Failure::new(Exit::Bug, error))?;
        dropped = standing.dropped.take().or(dropped);
        let is_over = standing.is_in_step || Instant::now() >= end;
        if is_over || standing.is_away && !waits.needed {
            return match dropped {
                Some(why) => Err(standing::undone(&why)),
                None if waits.needed && !standing.is_in_step => Err(standing.failure()),
                None => Ok(json!(standing)),
            };
        }
        thread::sleep(ASK_AGAIN);
        answer = ask(folder, &Request::Sync)?["answer"].take();
    }
}

/// What it answers, and what it says beside that.
fn ask(folder: &Path, request: &Request) -> Result<Json, Failure> {
    let asked = || -> io::Result<String> {
        let mut stream = at(folder, |path| BlockingStream::connect(path))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{}", json!(request))?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().map_err(|error| {
        let text = format!("another process has the document in {}: {error}", folder.display());
        Failure::new(Exit::Unavailable, text)
    })?;
    let answer: Json =
        serde_json::from_str(&answer).map_err(|error| Failure::new(Exit::Bug, error))?;
    match answer.get("error").and_then(Json::as_str) {
        Some(error) => {
            let exit = answer["exit"].as_i64().and_then(|exit| i32::try_from(exit).ok());
            Err(Failure {
                exit: exit.map_or(Exit::Failure, Exit::of_child),
                text: error.to_owned(),
            })
        }
        None => Ok(answer),
    }
}
