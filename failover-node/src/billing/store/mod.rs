//! What came from the line (inbox) and what is to be posted (outbox), durable and fenced.
//!
//! - [`interface`]: what the payload asks of a store, so that a shared server database can follow
//! - [`error`]: what can go wrong, split by what is to be done about it
//! - [`state`]: how far a row is
//! - `place`: where a store's file may be
//! - `schema`: its tables, version by version
//! - [`sqlite`]: the store in one SQLite file
//! - `writes`: what a commit does, write by write
//! - `posting`: what is posted next, and what becomes of rows that a predecessor left
//! - `inbox`: records for the handlers, and their replies
//! - [`desk`]: charges that people add, and what becomes of them
//! - [`listing`]: the rows as they are, to be looked at
//! - `upkeep`: forgetting, and keeping the files small

pub mod desk;
pub mod error;
mod inbox;
pub mod interface;
pub mod listing;
mod place;
mod posting;
mod schema;
pub mod sqlite;
pub mod state;
mod upkeep;
mod writes;

pub use error::StoreError;
pub use interface::{Done, Handling, LastSent, Standing, Store, Tenure, Tidied, Waiting};
pub use sqlite::SqliteStore;
pub use state::{InState, OutState};

#[cfg(test)]
mod tests;
