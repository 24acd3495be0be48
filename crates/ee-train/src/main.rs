//! `ee-train`: fine-tunes Transformers, plain or jointly over every exit.

fn main() -> std::process::ExitCode {
    ee_train::cli::main()
}
