//! What the store promises, as stories.

mod fences;
mod groups;
mod limits;
mod rate;
mod rows;
mod support;
