//! Stories of one telnet client. The ids are those of the list of requirements: T telnet, N
//! negotiation, C commands, M notifications, O order.

mod commands;
mod hostile;
mod negotiation;
mod notifications;
mod rig;
