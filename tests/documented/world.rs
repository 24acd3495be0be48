//! A folder in which the README's commands run: small models and data under the names that it uses, and the
//! programs on the path, which shorten what would take too long.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

/// Two steps of a model of two layers, where the run file does not name a checkpoint.
const EE_TRAIN: &str = r#"#!/usr/bin/env bash
short=(--set training.max_steps=2 --set training.batch=4 --set training.micro_batch=4 --set task.validation_limit=8)
small=(--set model.layers=2 --set model.d_model=16 --set model.heads=2 --set model.inner=32 --set model.positions=4096)
pairs=(--set training.max_steps=2 --set training.batch_tokens=64 --set validation.limit=8 --set tokenizer.merges=8
    --set model.encoder_layers=1 --set model.decoder_layers=2 --set model.d_model=16 --set model.heads=2 --set model.inner=32)
case " $* " in
    *" plan "*) exec PROGRAM "$@" ;;
    *" gate "*) exec PROGRAM "$@" --limit 8 --epochs 1 ;;
    *" --model "*) exec PROGRAM "$@" "${short[@]}" ;;
    *multi30k*) exec PROGRAM "$@" "${pairs[@]}" ;;
    *gsm8k-small*) exec PROGRAM "$@" "${short[@]}" "${small[@]}" --set model.kv_heads=1 ;;
    *) exec PROGRAM "$@" "${short[@]}" "${small[@]}" ;;
esac
"#;

/// A few examples and tokens, whatever is asked for.
const EE_EVAL: &str = r#"#!/usr/bin/env bash
words=" $* "
args=("$@")
for at in "${!args[@]}"; do
    case "${args[at]}" in --limit) args[at + 1]=24 ;; --speed-rows) args[at + 1]=4 ;; esac
done
add() { [[ "$words" == *" $1 "* ]] || args+=("$@"); }
[[ "$words" == *" --task "* && "$1" =~ ^(trace|speed|speculate|recommend|decode|compare)$ ]] && add --limit 24
[[ "$words" =~ (LLAMA|MODEL|MARIAN|numbers|gsm8k|multi30k) && "$1" =~ ^(trace|decode|speculate|compare|generate|recommend)$ ]] &&
    add --max-new-tokens 6
[[ "$1" =~ ^(speed|compare|decode)$ ]] && add --rounds 1
exec PROGRAM "${args[@]}"
"#;

/// Python scripts need packages that a test cannot require: they only have to exist, and the result of one is already here.
const PYTHON: &str =
    "#!/usr/bin/env bash\ncase \"$1\" in scripts/make_tokenizer.py) ;; *) [ -f \"$1\" ] ;; esac\n";

/// What is built is what is tested.
const CARGO: &str = "#!/usr/bin/env bash\nexit 0\n";

pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        for name in ["configs", "data", "scripts"] {
            symlink(project.join(name), world.path(name)).unwrap();
        }
        world.programs();
        world.data();
        world.link("TOKENIZER", &project.join("tests/golden/tokenizer-bytes"));
        world.models();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script as the README's reader would.
    pub(crate) fn bash(&self, script: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.path("target/release").display()))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .output()
            .unwrap()
    }

    fn programs(&self) {
        let ee_train = Path::new(env!("CARGO_BIN_EXE_ee-train"));
        let ee_eval = ee_train.with_file_name("ee-eval");
        assert!(
            ee_eval.is_file(),
            "ee-eval is not built: cargo test --workspace builds both programs"
        );
        let folder = self.path("target/release");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("ee-train", EE_TRAIN.replace("PROGRAM", &ee_train.display().to_string())),
            ("ee-eval", EE_EVAL.replace("PROGRAM", &ee_eval.display().to_string())),
            ("python", PYTHON.to_owned()),
            ("cargo", CARGO.to_owned()),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// A BERT, a Llama and an encoder-decoder under every name that the README gives one.
    fn models(&self) {
        let train = "ee-train --config configs/train/numbers.toml --joint --output runs/numbers-joint \
                     --set model.tokenizer=$PWD/TOKENIZER --set task.max_length=512 > /dev/null\n\
                     ee-train --config configs/train/reviews.toml --output runs/reviews > /dev/null\n\
                     ee-train --config configs/train/multi30k-de-en.toml --data-dir MULTI30K --output runs/pairs > /dev/null";
        succeeded(train, &self.bash(train));
        for name in ["LLAMA", "LLAMA-2-7B", "MODEL"] {
            self.link(name, &self.path("runs/numbers-joint/best"));
        }
        self.link("MARIAN", &self.path("runs/pairs/best"));
        // A head whose labels have no names fits every task.
        let named = fs::read_to_string(self.path("runs/reviews/best/config.json")).unwrap();
        let mut config: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&named).unwrap();
        config.retain(|key, _| !["id2label", "label2id"].contains(&key.as_str()));
        for file in fs::read_dir(self.path("runs/reviews/best")).unwrap() {
            let file = file.unwrap();
            self.write(
                &format!("CHECKPOINT/{}", file.file_name().display()),
                fs::read(file.path()).unwrap(),
            );
        }
        self.write("CHECKPOINT/config.json", serde_json::to_string(&config).unwrap());
        self.link("MINILM", &self.path("CHECKPOINT"));
    }

    fn data(&self) {
        let words = ["one", "two", "three", "four", "five", "six", "seven"];
        let sentence = |row: usize| {
            let words = (0..2 + row % 5).map(|at| words[(row * 3 + at * 5) % words.len()]);
            words.collect::<Vec<_>>().join(" ")
        };
        for split in ["train", "validation"] {
            self.parquet(&format!("DATA/cola/{split}-00000-of-00001.parquet"), sentence);
            let rows = (0..40)
                .map(|row| format!("{}\t{}\t{}\n", sentence(row), sentence(row + 1), row % 2));
            let table = format!("sentence1\tsentence2\tlabel\n{}", rows.collect::<String>());
            self.write(&format!("DATA/mrpc/{split}.tsv"), &table);
        }
        fn lines(line: impl Fn(usize) -> String) -> String {
            (0..80).map(|row| line(row) + "\n").collect()
        }
        let alpaca = |row| {
            let (asked, answer) = (sentence(row), sentence(row + 2));
            format!(r#"{{"instruction": "say {asked}", "input": "", "output": "{answer}"}}"#)
        };
        self.write("ALPACA/alpaca_7530.jsonl", lines(alpaca));
        let question = |row| {
            format!(
                r##"{{"question": "{}?", "answer": "{}\n#### {row}"}}"##,
                sentence(row),
                sentence(row + 1)
            )
        };
        for folder in ["GSM8K", "DATA/gsm8k"] {
            for split in ["train", "test"] {
                self.write(&format!("{folder}/{split}.jsonl"), lines(question));
            }
        }
        for file in ["train", "val", "test_2016_flickr"] {
            for side in ["de", "en"] {
                self.write(&format!("MULTI30K/{file}.{side}"), lines(sentence));
            }
        }
        for file in ["src.de", "ref.A.en", "ref.B.en"] {
            self.write(&format!("DATA/wmt22/generaltest2022.de-en.{file}"), lines(sentence));
        }
    }

    /// Sentences with labels, as the hub has them.
    fn parquet(&self, name: &str, sentence: impl Fn(usize) -> String) {
        let rows = 0..40;
        let sentences: StringArray = rows.clone().map(|row| Some(sentence(row))).collect();
        let labels: Int64Array = rows.map(|row| Some(row as i64 % 2)).collect();
        let columns: [(&str, ArrayRef); 2] =
            [("sentence", Arc::new(sentences)), ("label", Arc::new(labels))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        self.write(name, bytes);
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn link(&self, name: &str, to: &Path) {
        symlink(to, self.path(name)).unwrap();
    }
}

/// Checks that a script ended well, and shows what it said where it did not.
pub(crate) fn succeeded(what: &str, output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}\n{stderr}");
}
