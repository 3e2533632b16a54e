//! What the rest of the daemon asks of a line.

use super::*;

impl Actor {
    pub(super) fn answer(&mut self, question: LineQuestion) {
        // Who asked may have gone again.
        match question {
            LineQuestion::Report(answer) => drop(answer.send(self.report())),
            LineQuestion::Clients(answer) => drop(answer.send(self.clients())),
            LineQuestion::Kick { who, answer } => {
                let kicked = self.clients().into_iter().filter(|client| match who {
                    Kick::Holder => client.role == "holder",
                    Kick::Client(id) => client.id == id,
                    Kick::Observers => client.role == "observer",
                });
                let kicked: Vec<_> = kicked.collect();
                for client in &kicked {
                    tracing::info!(line = %self.name, client = client.id, peer = client.address, "kicked");
                    self.line.kick(client.id, now());
                }
                drop(answer.send(kicked));
            }
            LineQuestion::Attach(attach) => self.attach(attach),
            LineQuestion::SetGroups { groups, answer } => {
                self.line.set_groups(groups);
                let _ = answer.send(());
            }
        }
    }

    pub(super) fn attach(&mut self, attach: Attach) {
        let incarnation = self.line.snapshot().incarnation;
        let from = match attach.from {
            AttachFrom::Live => ObserveFrom::Live,
            AttachFrom::Oldest => ObserveFrom::Oldest,
            AttachFrom::At { offset, incarnation: named } => {
                ObserveFrom::At { incarnation: named.unwrap_or(incarnation), offset }
            }
        };
        self.arrive(Arrival {
            stream: Stream::Unix(attach.stream),
            address: Address::Local(attach.user),
            kind: ClientKind::Console { hold: attach.hold, from },
            inbox: attach.inbox[..].into(),
            permit: None,
        });
    }

    pub(super) fn clients(&self) -> Vec<ClientReport> {
        let (_, _, end) = self.line.offsets();
        let now = now();
        let known = self.peers.iter().filter_map(|(id, peer)| {
            let (_, role, cursor) = self.line.clients().find(|(known, ..)| *known == id)?;
            let (since, bytes_in, bytes_out) = peer.traffic();
            Some(ClientReport {
                id,
                address: peer.address().to_string(),
                kind: match peer.kind() {
                    ClientKind::Line { .. } => "line",
                    ClientKind::Raw => "raw",
                    ClientKind::Telnet => "telnet",
                    ClientKind::Console { .. } => "console",
                }
                .to_owned(),
                role: role.to_owned(),
                name: self.line.name_of(id).map(ToString::to_string),
                connected_ms: now.since(since).as_millis() as u64,
                bytes_in,
                bytes_out,
                lag: end.saturating_sub(cursor),
            })
        });
        known.collect()
    }

    pub(super) fn report(&self) -> LineReport {
        let mut report = LineReport::new(&self.line, &self.device, self.peers.len(), now());
        report.counters.full += self.turned_away;
        report
    }
}
