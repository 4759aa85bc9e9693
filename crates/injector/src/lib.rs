//! Admission: a pod becomes a patch, and a final pod or one of our objects is judged; pure.
//!
//! ```text
//!  pod (JSON) --mutate--> JSON patch, or an admission error
//!  object of ours (JSON) --judge--> accepted, or every mistake with its field path
//! ```
//!
//! It must never talk to a cluster, read a clock or remember anything: who calls it knows the namespace and the settings.
