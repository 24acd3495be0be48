//! TensorBoard's event file, through tensorboard-rs.
//!
//! One file per run: its length belongs to a checkpoint's state, and a resumed run cuts it there and
//! goes on, so that no curve has a point twice. That is why records are written with tensorboard-rs'
//! record writer and not with its `SummaryWriter`, which names its files after the clock, writes from
//! another thread and panics there when the disk is full.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protobuf::Message;
use tensorboard_proto::event::Event;
use tensorboard_rs::record_writer::RecordWriter;
use tensorboard_rs::summary;

use crate::error::{Error, Result};

pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
    length: u64,
}

/// TensorBoard reads files with `tfevents` in their names.
pub(crate) const NAME: &str = "events.out.tfevents.ee-train";

impl EventFile {
    /// Opens the event file of a folder, cut to `length` bytes; 0 starts it afresh.
    pub(crate) fn open(folder: &Path, length: u64) -> Result<Self> {
        let path = folder.join(NAME);
        let file = open_cut(&path, length)?;
        let mut events = Self { path, file, length };
        if length == 0 {
            let mut event = Event::new();
            event.set_file_version("brain.Event:2".to_owned());
            events.write(vec![event])?;
        }
        Ok(events)
    }

    pub(crate) fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<()> {
        let event = |(tag, value): &(String, f64)| {
            let mut event = Event::new();
            event.set_step(step as i64);
            event.set_summary(summary::scalar(tag, *value as f32));
            event
        };
        self.write(values.iter().map(event).collect())
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("cannot write", &self.path))
    }

    fn write(&mut self, events: Vec<Event>) -> Result<()> {
        self.length = append(&self.file, events).map_err(Error::io("cannot write", &self.path))?;
        Ok(())
    }
}

/// Appends events with the present time; the length of the file.
fn append(mut file: &File, events: Vec<Event>) -> std::io::Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut records = RecordWriter::new(BufWriter::new(file));
    for mut event in events {
        event.set_wall_time(now.as_secs_f64());
        records.write(&event.write_to_bytes().map_err(std::io::Error::other)?)?;
    }
    records.flush()?;
    file.stream_position()
}

/// Opens a file for appending after its first `length` bytes; what follows them is cut off.
pub(crate) fn open_cut(path: &Path, length: u64) -> Result<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::io("cannot write", path))?;
    let found = file.metadata().map_err(Error::io("cannot read", path))?.len();
    if found < length {
        let complaint = format!("{found} bytes, the checkpoint was written after {length}");
        return Err(Error::broken(path, complaint));
    }
    file.set_len(length)
        .and_then(|()| file.seek(SeekFrom::End(0)))
        .map_err(Error::io("cannot write", path))?;
    Ok(file)
}
