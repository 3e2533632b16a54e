//! Real processes: a guard with its payload (I7), and whole nodes before a line of the tests' own.

mod guard;
mod line;
mod node;
mod standby;
mod support;
