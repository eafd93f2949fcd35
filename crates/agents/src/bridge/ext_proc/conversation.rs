//! One stream of messages to a service and back.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::bridge::{
    envoy::{ProcessingRequest, ProcessingResponse},
    failure::Failure,
    grpc::Service,
};

const PATH: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

/// How long a service may take to end a conversation that we have ended.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// How many conversations may be about to end; others are broken off.
const FAREWELLS_MAX: usize = 1024;

/// A conversation about one exchange. There is one question at a time.
pub(super) struct Conversation {
    questions: mpsc::Sender<ProcessingRequest>,
    /// Taken only when the conversation ends.
    answers: Option<Streaming<ProcessingResponse>>,
    lingering: Lingering,
}

/// Counts conversations that we have ended and the service has not.
#[derive(Clone)]
pub(super) struct Lingering(Arc<Semaphore>);

impl Default for Lingering {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FAREWELLS_MAX)))
    }
}

impl Conversation {
    /// Begins with this question; its answer is the next.
    pub(super) async fn begin(
        service: &Service,
        first: ProcessingRequest,
        lingering: &Lingering,
    ) -> Result<Self, Failure> {
        let (questions, asked) = mpsc::channel(1);
        questions.try_send(first).expect("a fresh channel has room for one");
        let answers = service.converse(PATH, ReceiverStream::new(asked)).await?;
        Ok(Self { questions, answers: Some(answers), lingering: lingering.clone() })
    }

    /// Asks; `None` if the service has ended the conversation.
    pub(super) async fn ask(
        &mut self,
        question: ProcessingRequest,
    ) -> Result<Option<ProcessingResponse>, Failure> {
        // If nobody takes it, the answers say why.
        let _ = self.questions.send(question).await;
        self.answer().await
    }

    /// The next answer; `None` if the service has ended the conversation.
    pub(super) async fn answer(&mut self) -> Result<Option<ProcessingResponse>, Failure> {
        let Some(answers) = &mut self.answers else { return Ok(None) };
        loop {
            let answer = answers.message().await?;
            // A wish for more time, which is the operator's to give: Envoy reads no more of it.
            if answer.as_ref().is_none_or(|answer| answer.override_message_timeout.is_none()) {
                return Ok(answer);
            }
        }
    }
}

impl Drop for Conversation {
    /// Ends the conversation in order: services log a stream that is reset as an error, and those
    /// that guard themselves against floods of resets hang up.
    fn drop(&mut self) {
        let turn = Arc::clone(&self.lingering.0).try_acquire_owned();
        let (Some(mut answers), Ok(turn), Ok(runtime)) =
            (self.answers.take(), turn, Handle::try_current())
        else {
            return;
        };
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.questions, closed));
        runtime.spawn(async move {
            let end = async { while let Ok(Some(_)) = answers.message().await {} };
            let _ = timeout(FAREWELL_MAX, end).await;
            drop(turn);
        });
    }
}
