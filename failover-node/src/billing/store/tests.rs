//! What the store promises, as stories.

mod fences;
mod rows;
mod support;
