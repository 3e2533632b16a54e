//! What the status socket's clients ask of the loop.

use daemon::Request;
use serde::{Deserialize, Serialize};
use wire::Name;

use super::node_loop::{NodeLoop, now};
use super::report::NodeReport;

/// The answer to `handover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverAnswer {
    /// For whom the line is kept.
    pub node: String,
}

impl NodeLoop {
    pub(crate) fn answer(&mut self, request: Request) {
        match request.command.as_str() {
            "status" => {
                let report = NodeReport::new(&self.options, &self.node, &self.heartbeats, now());
                request.reply(report);
            }
            "handover" => self.handover(request),
            _ => request.refuse("there are the commands `status` and `handover`"),
        }
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
