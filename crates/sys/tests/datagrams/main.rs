//! Datagrams on loopback and, where the right is there, on links that come and go.

mod links;
mod loopback;
mod scene;
