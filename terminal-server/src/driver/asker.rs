//! Answers how the daemon stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::Request;
use tokio::sync::{mpsc, oneshot};
use wire::Name;

use super::gate::Gate;
use super::listener::Listener;
use super::question::LineQuestion;
use super::report::ServerReport;
use super::requests;
use super::state::StateDir;
use crate::core::GroupKeys;

/// Asks a line how it stands.
pub(crate) type Question = mpsc::Sender<LineQuestion>;

/// Answers how the daemon stands. May be cloned; outlives the daemon harmlessly.
#[derive(Debug, Clone)]
pub struct Asker {
    server: Name,
    state: Arc<Mutex<StateDir>>,
    gate: Arc<Gate>,
    roll: Arc<Mutex<Roll>>,
}

/// Who is there to be asked.
#[derive(Debug, Default)]
struct Roll {
    lines: BTreeMap<Name, Question>,
    listeners: Vec<Arc<Listener>>,
}

impl Asker {
    pub(crate) fn new(server: Name, state: Arc<Mutex<StateDir>>, gate: Arc<Gate>) -> Self {
        Self { server, state, gate, roll: Arc::default() }
    }

    pub(crate) fn join(&self, line: Name, question: Question) {
        self.roll().lines.insert(line, question);
    }

    pub(crate) fn leave(&self, line: &Name) {
        self.roll().lines.remove(line);
    }

    /// Changes the keys of a line. Whether its loop has said that it is so.
    pub(crate) async fn set_groups(&self, line: &Name, groups: Vec<GroupKeys>) -> bool {
        let Some(question) = self.roll().lines.get(line).cloned() else { return false };
        let (answer, answered) = oneshot::channel();
        let told = async {
            let asked = question.send(LineQuestion::SetGroups { groups, answer }).await;
            asked.is_ok() && answered.await.is_ok()
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or(false)
    }

    pub(crate) fn set_listeners(&self, listeners: Vec<Arc<Listener>>) {
        self.roll().listeners = listeners;
    }

    /// How it stands. Lines that have ended, or hang, are not in it: the lines answer themselves.
    pub async fn ask(&self) -> ServerReport {
        self.ask_about(None).await
    }

    /// As [`Asker::ask`], about one line only if one is named.
    pub async fn ask_about(&self, only: Option<&str>) -> ServerReport {
        let (questions, listeners) = {
            let roll = self.roll();
            let lines = roll.lines.iter();
            let lines = lines.filter(|(line, _)| only.is_none_or(|only| only == line.as_str()));
            let questions: Vec<_> = lines.map(|(_, question)| question.clone()).collect();
            (questions, roll.listeners.clone())
        };
        // All are asked before the first answer is waited for: a thousand lines take one turn.
        let mut asked = Vec::with_capacity(questions.len());
        for question in questions {
            let (answer, answered) = oneshot::channel();
            if question.send(LineQuestion::Report(answer)).await.is_ok() {
                asked.push(answered);
            }
        }
        let mut lines = Vec::with_capacity(asked.len());
        for answered in asked {
            if let Ok(report) = answered.await {
                lines.push(report);
            }
        }
        ServerReport {
            server: self.server.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start: self.state.lock().unwrap_or_else(PoisonError::into_inner).number(),
            refused: self.gate.report(),
            listeners: listeners.iter().map(|listener| listener.report()).collect(),
            lines,
        }
    }

    /// Answers the status socket's clients until there are none any more.
    pub(crate) async fn answer(self, mut questions: mpsc::Receiver<Request>) {
        while let Some(question) = questions.recv().await {
            // A line that hangs keeps only those waiting who ask about it.
            tokio::spawn(self.clone().answer_one(question));
        }
    }

    async fn answer_one(self, question: Request) {
        if question.command != "status" {
            let lines: Vec<_> = self.roll().lines.clone().into_iter().collect();
            return requests::answer(question, &lines).await;
        }
        let line = question.body.get("line").and_then(|line| line.as_str());
        let report = self.ask_about(line).await;
        match line {
            Some(line) if report.lines.is_empty() => {
                let reason = format!("there is no line {line}");
                question.refuse(&reason);
            }
            _ => question.reply(report),
        }
    }

    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line's loop that takes longer hangs, which must not become the whole daemon's hanging.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions about a line that wait for its loop.
pub(crate) const QUESTIONS: usize = 4;
