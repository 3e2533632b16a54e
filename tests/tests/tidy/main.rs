//! Rules that hold for the whole tree, so that no reviewer needs to remember them.
//!
//! Each rule is a function from files to findings. It runs over the tree, and over a bad sample
//! that it must not like: a rule that cannot fail is worth nothing.
//!
//! - [`tree`]: the files
//! - [`code`]: Rust text without comments and literals, and the functions in it
//! - [`manifests`]: who may depend on whom, and where versions stand
//! - [`cores`]: what no core may know
//! - [`shape`]: lengths, indexes, `unsafe`, unfinished places, white space
//! - [`documents`]: links, and what a newcomer looks for
//! - [`conformance`]: what we promise of telnet and RFC 2217 has a test

mod code;
mod conformance;
mod cores;
mod documents;
mod manifests;
mod shape;
mod tree;
