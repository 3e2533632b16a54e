//! What the status socket's clients ask of the loop.

use std::time::Duration;

use daemon::Request;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wire::{Name, Role, Time};

use super::node_loop::{NodeLoop, now};
use super::report::NodeReport;
use crate::core::{Maintenance, Node, Obstacle};

/// The answer to `handover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverAnswer {
    /// For whom the line is kept.
    pub node: String,
}

/// The answer to `maintenance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceAnswer {
    /// Whether it is on.
    pub on: bool,
    /// When it ends by itself.
    pub left_ms: Option<u64>,
    /// Who takes the line over.
    pub to: Option<String>,
}

/// The answer to `why-not`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyNotAnswer {
    /// It has the line.
    pub leads: bool,
    /// Nothing stands in the way.
    pub would: bool,
    /// What stands in the way, in order.
    pub reasons: Vec<Reason>,
}

/// What stands in the way of leading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A lasting word for programs.
    pub reason: String,
    /// A sentence for people.
    pub text: String,
}

impl MaintenanceAnswer {
    pub(crate) fn new(node: &Node, now: Time) -> Self {
        let left = node.maintenance_left(now);
        let millis = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        Self { on: left.is_some(), left_ms: left.flatten().map(millis), to: None }
    }
}

impl Reason {
    /// All of them, the weightiest first.
    pub(crate) fn all(node: &Node, now: Time) -> Vec<Self> {
        let reason = |obstacle: &Obstacle| Self {
            reason: obstacle.code().to_owned(),
            text: obstacle.to_string(),
        };
        node.why_not(now).iter().map(reason).collect()
    }
}

/// What is to be done. `None`: only to be shown.
fn maintenance_order(body: &Map<String, Value>) -> Result<Option<Maintenance>, &'static str> {
    let force = body.get("force").and_then(Value::as_bool).unwrap_or(false);
    match body.get("on").map(Value::as_bool) {
        None => Ok(None),
        Some(Some(false)) => Ok(Some(Maintenance::Off)),
        Some(Some(true)) => match body.get("for_ms") {
            None | Some(Value::Null) => Ok(Some(Maintenance::On { length: None, force })),
            Some(length) => {
                let millis = length.as_u64().filter(|millis| *millis <= MOST_MILLIS);
                let length = Duration::from_millis(millis.ok_or("`for_ms` is no such number")?);
                Ok(Some(Maintenance::On { length: Some(length), force }))
            }
        },
        Some(None) => Err("`on` is neither true nor false"),
    }
}

/// Far more than anybody means, and no overflow of the clock.
const MOST_MILLIS: u64 = 1000 * 86_400 * 1000;

impl NodeLoop {
    pub(crate) fn answer(&mut self, request: Request) {
        match request.command.as_str() {
            "status" => {
                let report = NodeReport::new(
                    &self.options,
                    &self.node,
                    &self.heartbeats,
                    &self.events,
                    now(),
                );
                request.reply(report);
            }
            "handover" => self.handover(request),
            "maintenance" => self.maintenance(request),
            "why-not" => request.reply(self.why_not()),
            _ => request.refuse("there are `status`, `handover`, `maintenance` and `why-not`"),
        }
    }

    fn maintenance(&mut self, request: Request) {
        let now = now();
        let order = match maintenance_order(&request.body) {
            Ok(order) => order,
            Err(error) => return request.refuse(error),
        };
        match order.map(|order| self.node.handle_maintenance(order, now)) {
            Some(Err(error)) => request.refuse(&error.to_string()),
            done => {
                let to = done.and_then(Result::ok).flatten();
                let answer = MaintenanceAnswer::new(&self.node, now);
                request.reply(MaintenanceAnswer { to: to.map(|to| to.to_string()), ..answer });
            }
        }
    }

    fn why_not(&self) -> WhyNotAnswer {
        let leads = self.node.role() == Role::Coordinator;
        let reasons = Reason::all(&self.node, now());
        WhyNotAnswer { leads, would: reasons.is_empty(), reasons }
    }

    fn handover(&mut self, request: Request) {
        let to = match request.body.get("to").map(|to| to.as_str().map(str::parse::<Name>)) {
            None => None,
            Some(Some(Ok(name))) => Some(name),
            Some(Some(Err(error))) => return request.refuse(&format!("`to`: {error}")),
            Some(None) => return request.refuse("`to` is no text"),
        };
        match self.node.handle_handover(to, now()) {
            Ok(node) => request.reply(HandoverAnswer { node: node.to_string() }),
            Err(error) => request.refuse(&error.to_string()),
        }
    }
}
