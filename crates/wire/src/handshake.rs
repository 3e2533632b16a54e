//! The MACs of CLAIM, GRANT, REFUSE, OBSERVE and OBSERVING.
//!
//! Each side proves that it has the group's key, for this connection (both nonces), this line (in
//! HELLO) and these fields. A recorded CLAIM is worthless on another connection; a false terminal
//! server cannot grant.

use bytes::BytesMut;

use crate::{Claim, Grant, Hello, Key, Mac, Observe, Observing, Refuse, Welcome};

/// Both sides' opening frames, as they were sent, with the key of the claim's group.
#[derive(Debug, Clone)]
pub struct Transcript {
    opening: BytesMut,
}

impl Transcript {
    /// Of one connection.
    pub fn new(hello: &Hello, welcome: &Welcome) -> Self {
        let mut opening = BytesMut::new();
        hello.encode(&mut opening);
        welcome.encode(&mut opening);
        Self { opening }
    }

    /// Fills in the claim's MAC.
    #[must_use]
    pub fn sign_claim(&self, key: &Key, mut claim: Claim) -> Claim {
        claim.mac = key.mac(&[b"linekeeper 1 claim", &self.opening, &fields(|b| claim.encode(b))]);
        claim
    }

    /// Whether the claim's sender has the key and meant this connection.
    #[must_use]
    pub fn verify_claim(&self, key: &Key, claim: &Claim) -> bool {
        let body = fields(|b| claim.encode(b));
        key.verify(&[b"linekeeper 1 claim", &self.opening, &body], &claim.mac)
    }

    /// Fills in the MAC of an OBSERVE.
    #[must_use]
    pub fn sign_observe(&self, key: &Key, mut observe: Observe) -> Observe {
        let body = fields(|b| observe.encode(b));
        observe.mac = key.mac(&[b"linekeeper 2 observe", &self.opening, &body]);
        observe
    }

    /// Whether the sender of the OBSERVE has the key and meant this connection.
    #[must_use]
    pub fn verify_observe(&self, key: &Key, observe: &Observe) -> bool {
        let body = fields(|b| observe.encode(b));
        key.verify(&[b"linekeeper 2 observe", &self.opening, &body], &observe.mac)
    }
}

/// Fills in the grant's MAC. `claim` is the MAC of the answered CLAIM.
#[must_use]
pub fn sign_grant(key: &Key, claim: &Mac, mut grant: Grant) -> Grant {
    grant.mac = key.mac(&[b"linekeeper 1 grant", claim, &fields(|b| grant.encode(b))]);
    grant
}

/// Whether the grant answers our claim and comes from somebody with the key.
#[must_use]
pub fn verify_grant(key: &Key, claim: &Mac, grant: &Grant) -> bool {
    key.verify(&[b"linekeeper 1 grant", claim, &fields(|b| grant.encode(b))], &grant.mac)
}

/// Fills in the refusal's MAC. `claim` is the MAC of the answered CLAIM.
#[must_use]
pub fn sign_refuse(key: &Key, claim: &Mac, mut refuse: Refuse) -> Refuse {
    refuse.mac = key.mac(&[b"linekeeper 1 refuse", claim, &fields(|b| refuse.encode(b))]);
    refuse
}

/// Whether the refusal answers our claim and comes from somebody with the key.
#[must_use]
pub fn verify_refuse(key: &Key, claim: &Mac, refuse: &Refuse) -> bool {
    key.verify(&[b"linekeeper 1 refuse", claim, &fields(|b| refuse.encode(b))], &refuse.mac)
}

/// Fills in the MAC of an OBSERVING. `observe` is the MAC of the answered OBSERVE.
#[must_use]
pub fn sign_observing(key: &Key, observe: &Mac, mut observing: Observing) -> Observing {
    let body = fields(|b| observing.encode(b));
    observing.mac = key.mac(&[b"linekeeper 2 observing", observe, &body]);
    observing
}

/// Whether the OBSERVING answers our OBSERVE and comes from somebody with the key.
#[must_use]
pub fn verify_observing(key: &Key, observe: &Mac, observing: &Observing) -> bool {
    let body = fields(|b| observing.encode(b));
    key.verify(&[b"linekeeper 2 observing", observe, &body], &observing.mac)
}

fn fields(encode: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut body = BytesMut::new();
    encode(&mut body);
    body
}
