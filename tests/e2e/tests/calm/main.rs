//! Tests that leave each other alone: each in a namespace of its own.

mod audit;
mod decisions;
mod lifecycle;
mod live;
mod outside;
mod protocols;
mod reach;
mod status;
