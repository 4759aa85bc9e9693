//! Pods that try to escape injection or inbound capture.
