//! Commands to a worker that belong together: written at once and answered together, so that many cost the time of one.
//!
//! A worker applies each command completely or not at all, and it knows no batch. So what a batch has done until one of
//! its commands was refused is undone here.

use corecast_wire::{Command, CommandError, Decision, Object, ObjectStats, ProducerId, Reply, Silence, TransportId};

use super::link::RequestError;
use super::pool::Worker;

impl Worker {
    /// Asks and waits for the answer.
    pub(crate) async fn request(&self, command: Command) -> Result<Reply, RequestError> {
        self.link().request(command).await
    }

    /// Asks for something that is answered with [`Reply::Done`].
    pub(crate) async fn apply(&self, command: Command) -> Result<(), RequestError> {
        self.link().apply(command).await
    }

    /// All of these, or nothing: if one is refused, `undo` takes back what the others did. The answers, in order, or
    /// the first refusal.
    pub(crate) async fn apply_all(&self, commands: Vec<Command>, undo: Command) -> Result<Vec<Reply>, RequestError> {
        let results = self.link().request_all(commands).await?;
        match results.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(replies) => Ok(replies),
            Err(refused) => {
                self.close(vec![undo]).await?;
                Err(refused.into())
            }
        }
    }

    /// As many of these as can be: what became of each, in order.
    pub(crate) async fn try_all(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Result<Reply, CommandError>>, RequestError> {
        self.link().request_all(commands).await
    }

    /// Closes things. To close what has closed by itself is no error.
    pub(crate) async fn close(&self, commands: Vec<Command>) -> Result<(), RequestError> {
        let mut refused = None;
        for result in self.link().request_all(commands).await? {
            match result {
                Ok(_) | Err(CommandError::NotFound { .. }) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Counters of all its objects.
    pub(crate) async fn stats(&self) -> Result<Vec<ObjectStats>, RequestError> {
        let mut objects = Vec::new();
        self.each_stats(|page| objects.extend(page)).await?;
        Ok(objects)
    }

    /// Shows counters of all its objects, page by page: media has its turn between two of them.
    pub(crate) async fn each_stats(&self, mut show: impl FnMut(Vec<ObjectStats>)) -> Result<(), RequestError> {
        let mut from: Option<Object> = None;
        loop {
            let Reply::Stats(page) = self.request(Command::Stats { from }).await? else {
                return Err(RequestError::WrongReply);
            };
            show(page.objects);
            // A cursor that does not move on would keep us here for ever.
            match page.next {
                Some(next) if from.is_none_or(|from| next > from) => from = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// For how long nothing has come of each of these producers.
    pub(crate) async fn silences(&self, producers: Vec<ProducerId>) -> Result<Vec<Silence>, RequestError> {
        match self.request(Command::Silences { producers }).await? {
            Reply::Silences(silences) => Ok(silences),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// What was seen of the path to a transport's receivers, and decided for them, oldest first.
    pub(crate) async fn trace(&self, transport: TransportId) -> Result<Vec<Decision>, RequestError> {
        match self.request(Command::Trace { transport }).await? {
            Reply::Trace(decisions) => Ok(decisions),
            _ => Err(RequestError::WrongReply),
        }
    }

    /// Counters of one object, if it is there.
    pub(crate) async fn stats_of(&self, object: Object) -> Result<Option<ObjectStats>, RequestError> {
        match self.request(Command::ObjectStats { object }).await {
            Ok(Reply::ObjectStats(stats)) => Ok(Some(*stats)),
            Ok(_) => Err(RequestError::WrongReply),
            Err(RequestError::Refused(CommandError::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
