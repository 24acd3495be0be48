//! Traces, gates and reports: nothing is public yet.
