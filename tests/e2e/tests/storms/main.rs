//! Tests that stop what others need: one at a time.

mod control_plane;
mod rollouts;
mod speed;
