//! What is said to the servers: the only part that waits for them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, HeaderMap,
    header::NATS_EXPECTED_LAST_SEQUENCE,
    jetstream::{
        self, Context, ErrorCode,
        consumer::{
            DeliverPolicy,
            push::{Ordered, OrderedConfig},
        },
        context::{GetStreamError, GetStreamErrorKind},
        publish::PublishAck,
        stream::{
            Config, DiscardPolicy, Info, RawMessageErrorKind, RetentionPolicy, StorageType, Stream,
        },
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use crate::{
    copy::{Identity, Position},
    error::OpenError,
    operation::{self, Body, HEADER, Operation, Place, Stamp, pack, seal},
    settings::{Login, Settings},
    standing::Standing,
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server may be silent while it sends what we asked for.
const SILENCE: Duration = Duration::from_secs(30);
/// Between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// So often a server must say that it has less than it acknowledged before it is believed.
const LOST_MIN: usize = 6;
/// Messages that are sent before the first of them is acknowledged.
const WINDOW: usize = 16;
/// The largest message, where the server takes as much.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The protocol's own words around a message.
const ENVELOPE: usize = 1024;
/// Bytes that are read in one go.
const READ_BYTES: usize = 4 << 20;

/// A connection to the servers, and where the log's stream is.
pub(crate) struct Session {
    client: Client,
    stream: Stream,
    context: Context,
    identity: Identity,
    subject: String,
    standing: Arc<Standing>,
    /// The last message that is known to be there.
    last: u64,
    next: Stamp,
    reader: Option<Reader>,
}

/// Messages on their way here.
struct Reader {
    next: u64,
    messages: Ordered,
}

/// A message that is on its way there.
struct Sealed {
    subject: String,
    stamp: Stamp,
    bytes: Bytes,
}

/// Why nothing more can be sent.
#[derive(Debug)]
pub(crate) enum Over {
    /// Somebody else wrote the message that comes next.
    Another,
    Final(String),
}

impl Session {
    /// Connects and finds the stream, or makes it, unless it is `known`: there is a copy of so much of it.
    pub(crate) async fn open(
        settings: &Settings,
        known: Option<u64>,
        standing: Arc<Standing>,
    ) -> Result<Self, OpenError> {
        let client = connect(settings, &standing).await?;
        let context = jetstream::ContextBuilder::new().timeout(PATIENCE).ack_timeout(PATIENCE);
        let context = context.build(client.clone());
        let subject = settings.subject();
        let stream = match known {
            Some(acknowledged) => match context.get_stream(&settings.stream).await {
                Err(error) if is_missing(&error) => {
                    return Err(OpenError::Lost { acknowledged, found: 0 });
                }
                found => found.map_err(refused("finding the stream"))?,
            },
            None => {
                let made = context.get_or_create_stream(config(settings, &subject)).await;
                made.map_err(refused("finding or making the stream"))?
            }
        };
        let info = stream.cached_info();
        check(info, settings, &subject)?;
        let identity = Identity { stream: settings.stream.clone(), created: created(info) };
        let next = Stamp { writer: fastrand::u64(1..), ordinal: 0 };
        let last = info.state.last_sequence;
        Ok(Self { client, stream, context, identity, subject, standing, last, next, reader: None })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// The largest body of a message.
    pub(crate) fn room(&self) -> usize {
        self.client.max_payload().clamp(4 * ENVELOPE, MESSAGE_BYTES_MAX) - ENVELOPE - HEADER
    }

    /// The version of the server that answers.
    pub(crate) fn version(&self) -> String {
        self.client.server_info().version
    }

    /// The sequence of the last message.
    pub(crate) async fn end(&self) -> Result<u64, OpenError> {
        let info = self.stream.get_info().await.map_err(refused("asking where the stream ends"))?;
        Ok(info.state.last_sequence)
    }

    /// Whose a message is; `None` when it is there no more.
    pub(crate) async fn stamp(&self, sequence: u64) -> Result<Option<Stamp>, OpenError> {
        match self.stream.get_raw_message(sequence).await {
            Ok(message) => match operation::open(message.payload) {
                Ok((stamp, _)) => Ok(Some(stamp)),
                Err(operation::Damaged(what)) => Err(OpenError::Damaged { sequence, what }),
            },
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
            Err(error) => Err(refused("reading a message of the stream")(error)),
        }
    }

    /// Reads messages from `from` on, some of those up to `to`.
    pub(crate) async fn read(
        &mut self,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, Bytes)>, OpenError> {
        const STEP: &str = "reading the stream";
        let mut reader = match self.reader.take().filter(|reader| reader.next == from) {
            Some(reader) => reader,
            None => Reader { next: from, messages: self.consume(from).await? },
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        while reader.next <= to && bytes < READ_BYTES {
            let message = timeout(SILENCE, reader.messages.next()).await.map_err(refused(STEP))?;
            let message =
                message.ok_or(OpenError::Refused { step: STEP, reason: "it ended".into() })?;
            let message = message.map_err(refused(STEP))?;
            let sequence = sequence_of(&message)?;
            bytes += message.payload.len();
            reader.next = sequence + 1;
            found.push((sequence, message.payload.clone()));
        }
        if reader.next <= to {
            self.reader = Some(reader);
        }
        Ok(found)
    }

    async fn consume(&self, from: u64) -> Result<Ordered, OpenError> {
        let config = OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ..OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        let consumer = consumer.map_err(refused("reading the stream"))?;
        consumer.messages().await.map_err(refused("reading the stream"))
    }

    /// Says that we write from now on, behind message `end`. Whoever wrote before is refused from then on.
    pub(crate) async fn hold(&mut self, end: u64) -> Result<Position, Over> {
        self.last = end;
        let bodies = pack(&[Operation::Hold { holder: whoami() }], self.room());
        self.publish(bodies).await
    }

    /// Makes messages durable. Every message says which one it follows, so that none is there twice or
    /// out of its order, and none behind somebody else's, whatever happens to connections and answers.
    pub(crate) async fn publish(&mut self, bodies: Vec<Body>) -> Result<Position, Over> {
        let mut left: VecDeque<Sealed> = bodies.into_iter().map(|body| self.seal(body)).collect();
        let mut stamp = left.back().map_or(Position::START.stamp, |last| last.stamp);
        let (mut pause, mut lost) = (PAUSE_MIN, 0);
        while !left.is_empty() {
            let Err(reason) = self.send(&mut left).await else { break };
            self.standing.waits(&reason);
            if self.standing.is_leaving() {
                return Err(Over::Final(format!(
                    "the core stops, and the server is away: {reason}"
                )));
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
            self.find_out(&mut left, &mut lost).await?;
        }
        self.standing.is_well();
        if stamp.writer == 0 {
            stamp = self.next;
        }
        Ok(Position { sequence: self.last, stamp })
    }

    fn seal(&mut self, body: Body) -> Sealed {
        let stamp = self.next;
        self.next.ordinal += 1;
        let subject = self.subject_of(&body.place);
        Sealed { subject, stamp, bytes: seal(stamp, &body.bytes) }
    }

    /// Sends what is left; what is acknowledged is not left any more.
    async fn send(&mut self, left: &mut VecDeque<Sealed>) -> Result<(), String> {
        let mut breaks = self.standing.breaks();
        while !left.is_empty() {
            let mut under_way = Vec::new();
            for (sealed, before) in left.iter().take(WINDOW).zip(self.last..) {
                let mut headers = HeaderMap::new();
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, before.to_string().as_str());
                let (subject, bytes) = (sealed.subject.clone(), sealed.bytes.clone());
                let sent = self.context.publish_with_headers(subject, headers, bytes).await;
                under_way.push(sent.map_err(|error| told(&error))?);
            }
            for acknowledgement in under_way {
                let acknowledged = tokio::select! {
                    acknowledged = acknowledgement.into_future() => acknowledged,
                    _ = breaks.changed() => return Err("the connection ended".to_owned()),
                };
                let acknowledged = acknowledged.map_err(|error| told(&error))?;
                self.acknowledged(&acknowledged, left)?;
            }
        }
        Ok(())
    }

    fn acknowledged(
        &mut self,
        ack: &PublishAck,
        left: &mut VecDeque<Sealed>,
    ) -> Result<(), String> {
        if ack.sequence != self.last + 1 || ack.stream != self.identity.stream {
            return Err(format!("message {} of {} is acknowledged", ack.sequence, ack.stream));
        }
        self.last += 1;
        left.pop_front();
        Ok(())
    }

    /// Finds out which messages are there of whose fate nothing was heard. A server that does not answer is
    /// asked again later.
    async fn find_out(
        &mut self,
        left: &mut VecDeque<Sealed>,
        lost: &mut usize,
    ) -> Result<(), Over> {
        let found = self.context.get_stream(&self.identity.stream).await;
        let end = match &found {
            Ok(stream) => {
                let info = stream.cached_info();
                let is_same = created(info) == self.identity.created;
                if is_same { info.state.last_sequence } else { 0 }
            }
            Err(error) if is_missing(error) => 0,
            Err(_) => return Ok(()),
        };
        if end < self.last {
            *lost += 1;
            let acknowledged = self.last;
            let told = format!(
                "the server lost what it acknowledged: {acknowledged} messages, of which it has {end}"
            );
            return if *lost < LOST_MIN { Ok(()) } else { Err(Over::Final(told)) };
        }
        while self.last < end
            && let Some(first) = left.front()
        {
            match self.stamp(self.last + 1).await {
                Ok(Some(stamp)) if stamp == first.stamp => {
                    self.last += 1;
                    left.pop_front();
                }
                Ok(_) => return Err(Over::Another),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Who says that they write, in their own words.
    pub(crate) async fn holder(&self) -> Option<String> {
        let subject = self.subject_of(&Place::Holders);
        let message = self.stream.get_last_raw_message_by_subject(&subject).await.ok()?;
        holder_in(message.payload).map(|(_, holder)| holder)
    }

    /// Watches for somebody else who says that they write.
    pub(crate) async fn watch_holders(&self) -> Result<(), OpenError> {
        let subscribed = self.client.subscribe(self.subject_of(&Place::Holders)).await;
        let mut holders = subscribed.map_err(refused("watching who writes"))?;
        let (standing, us) = (Arc::clone(&self.standing), self.next.writer);
        tokio::spawn(async move {
            while let Some(message) = holders.next().await {
                if let Some((stamp, holder)) = holder_in(message.payload)
                    && stamp.writer != us
                {
                    standing.is_over(&taken(Some(&holder)));
                }
            }
        });
        Ok(())
    }

    /// Files of which there are messages.
    pub(crate) async fn files(&self) -> Result<Vec<String>, OpenError> {
        const STEP: &str = "listing the stream's files";
        let prefix = self.subject_of(&Place::File(String::new()));
        let info = self.stream.info_with_subjects(format!("{prefix}>")).await;
        let mut subjects = info.map_err(refused(STEP))?;
        let mut files = Vec::new();
        while let Some(subject) = subjects.next().await {
            let (subject, _) = subject.map_err(refused(STEP))?;
            files.extend(subject.strip_prefix(&prefix).map(str::to_owned));
        }
        Ok(files)
    }

    /// Gives up what was said of a file before a message. What fails is tried again at the next start.
    pub(crate) fn forget(&self, name: &str, before: u64) {
        let subject = self.subject_of(&Place::File(name.to_owned()));
        let purge = self.stream.purge().filter(subject).sequence(before).into_future();
        tokio::spawn(async move {
            let _ = purge.await;
        });
    }

    fn subject_of(&self, place: &Place) -> String {
        let subject = &self.subject;
        match place {
            Place::File(name) => format!("{subject}.file.{name}"),
            Place::Removals => format!("{subject}.removals"),
            Place::Holders => format!("{subject}.holders"),
        }
    }
}

/// A message that the server delivers says where it is in the stream.
fn sequence_of(message: &jetstream::Message) -> Result<u64, OpenError> {
    let reason = |error: async_nats::Error| error.to_string();
    let info = message.info().map_err(reason);
    let info = info.map_err(|reason| OpenError::Refused { step: "reading the stream", reason })?;
    Ok(info.stream_sequence)
}

/// Says that somebody else writes to the log.
pub(crate) fn taken(holder: Option<&str>) -> String {
    let holder = holder.unwrap_or("unknown");
    format!("another core has taken the log over ({holder}); start this one again to take it back")
}

fn holder_in(message: Bytes) -> Option<(Stamp, String)> {
    let (stamp, operations) = operation::open(message).ok()?;
    operations.into_iter().find_map(|operation| match operation {
        Operation::Hold { holder } => Some((stamp, holder)),
        _ => None,
    })
}

async fn connect(settings: &Settings, standing: &Arc<Standing>) -> Result<Client, OpenError> {
    let standing = Arc::clone(standing);
    let mut options = ConnectOptions::new()
        .name("selvedge core")
        .connection_timeout(PATIENCE)
        .reconnect_delay_callback(|attempts| {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            PAUSE_MIN.saturating_mul(attempts.saturating_sub(1)).min(PAUSE_MAX)
        })
        .event_callback(move |event| {
            standing.hears(&event);
            async {}
        });
    options = match &settings.login {
        Login::Anonymous => options,
        Login::Password { user, password } => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
        Login::Token(token) => options.token(token.expose().to_owned()),
    };
    if let Some(ca) = &settings.tls.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &settings.tls.identity {
        options =
            options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    let connected = options.connect(settings.servers.clone()).await;
    connected.map_err(|error| OpenError::Unreachable(told(&error)))
}

/// The stream as we make it: it refuses what does not fit, and forgets nothing by itself.
fn config(settings: &Settings, subject: &str) -> Config {
    Config {
        name: settings.stream.clone(),
        description: Some(
            "The event log of Selvedge: its files, as what was done to them".to_owned(),
        ),
        subjects: vec![format!("{subject}.>")],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        num_replicas: settings.replicas,
        ..Config::default()
    }
}

/// Refuses a stream that would lose what it acknowledged, or that is another's.
fn check(info: &Info, settings: &Settings, subject: &str) -> Result<(), OpenError> {
    let config = &info.config;
    let subjects = format!("{subject}.>");
    let faults = [
        (config.subjects != [subjects.clone()], format!("its subjects are not `{subjects}`")),
        (config.storage != StorageType::File, "it is kept in memory".to_owned()),
        (config.retention != RetentionPolicy::Limits, "its retention is not `limits`".to_owned()),
        (!config.max_age.is_zero(), "it forgets messages by age".to_owned()),
        (config.max_messages > 0, "it forgets messages by number".to_owned()),
        (config.max_messages_per_subject > 0, "it forgets messages by subject".to_owned()),
        (
            config.max_bytes > 0 && config.discard != DiscardPolicy::New,
            "it forgets messages by size; let it refuse new ones".to_owned(),
        ),
        (config.deny_purge, "it lets nobody purge, and so never shrinks".to_owned()),
        (config.mirror.is_some(), "it mirrors another".to_owned()),
        (
            config.num_replicas < settings.replicas,
            format!(
                "it has {} replicas, and the config wants {}",
                config.num_replicas, settings.replicas
            ),
        ),
    ];
    match faults.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, fault)) => Err(OpenError::Unfit(format!("{}: {fault}", config.name))),
        None => Ok(()),
    }
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// When a stream was made: another of its name was made at another time.
fn created(info: &Info) -> String {
    info.created.unix_timestamp_nanos().to_string()
}

fn refused<E: std::error::Error>(step: &'static str) -> impl Fn(E) -> OpenError {
    move |error| OpenError::Refused { step, reason: told(&error) }
}

/// An error with what caused it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Who we are, for whoever wonders who took the log over.
fn whoami() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} pid {}", host.trim(), std::process::id())
}
