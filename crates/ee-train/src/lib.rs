//! Fine-tuning, plain or jointly over every exit: nothing is public yet.
