//! Tests that leave each other alone: each in a namespace of its own.

mod audit;
mod command_line;
mod decisions;
mod lifecycle;
mod live;
mod outside;
mod permissions;
mod protocols;
mod reach;
mod status;
