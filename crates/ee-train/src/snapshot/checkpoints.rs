//! The checkpoints of one run folder: which is the newest whole one, and which may be removed.
//!
//! A checkpoint is this run's if its folder is named after the step that its state file says and the state
//! file names the run (files of earlier versions name none). Only such checkpoints are removed, and of them
//! only the files that were written into them; what else lies in the folder of checkpoints stays. A copy of
//! a run folder may have lost its links or turned them into folders or small files: the links are made anew
//! from the states.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::found::{Found, remove_if_empty};
use super::state::TrainingState;
use super::{OPTIMIZER, STATE, Snapshot, moments, remove_file, sync, write};
use crate::error::{Error, Result};
use crate::optimizer::AdamW;
use crate::run::{self, Identity};
use crate::subject::{Loaded, Trainable};

const FOLDER: &str = "checkpoints";
const LAST: &str = "last";
const BEST: &str = "best";

/// The checkpoints of one run folder.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    run: PathBuf,
    identity: Identity,
}

/// What a run goes on with.
pub(crate) struct Resumed<M: Trainable> {
    /// The model, and in its notices what is to be said of the folder.
    pub(crate) loaded: Loaded<M>,
    pub(crate) state: TrainingState,
}

/// What the folder holds of a run.
#[derive(Default)]
struct Inventory {
    whole: Vec<Found>,
    /// What is wrong with the others, with the step that their names or states say.
    complaints: Vec<(Option<u64>, String)>,
}

impl Checkpoints {
    /// The checkpoints of a run folder, which need not exist.
    pub(crate) fn new(run: &Path, identity: Identity) -> Self {
        Self { run: run.to_owned(), identity }
    }

    /// The checkpoints of the run in a folder. Where its facts do not name it, its newest checkpoint does.
    pub(crate) fn of_run(run: &Path) -> Result<Self> {
        let mut checkpoints = Self::new(run, Identity::of(run)?);
        if checkpoints.identity.is_new
            && let Some(newest) = checkpoints.inventory()?.newest()
            && let Some(id) = newest.record.run
        {
            checkpoints.identity.id = id;
            checkpoints.identity.is_new = false;
        }
        Ok(checkpoints)
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The newest checkpoint, if there is one; its link where links can be made.
    pub(crate) fn last(&self, state: &TrainingState) -> Option<PathBuf> {
        self.named(LAST, state.step)
    }

    /// The checkpoint with the best score, if there is one; its link where links can be made.
    pub(crate) fn best(&self, state: &TrainingState) -> Option<PathBuf> {
        self.named(BEST, state.best?.step)
    }

    /// Where the checkpoint of a step lies.
    pub(super) fn place(&self, step: u64) -> PathBuf {
        self.run.join(FOLDER).join(step_folder(step))
    }

    /// A folder of the run beside its checkpoints.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    fn named(&self, link: &str, step: u64) -> Option<PathBuf> {
        let places = [self.run.join(link), self.place(step)];
        places.into_iter().find(|place| place.join(STATE).is_file())
    }

    /// Writes a checkpoint and makes it the last one, and the best one where its state says so. Whatever fails, the
    /// earlier checkpoints stay as they were.
    pub(crate) fn save<M: Trainable>(&self, snapshot: &Snapshot<'_, M>) -> Result<()> {
        let folder = self.run.join(FOLDER);
        let unfinished = self.unfinished();
        remove_folder(&unfinished)?;
        if let Err(error) = write(snapshot, &self.identity.id, &unfinished) {
            // The disk may be full: what is half written only takes space. The first error is the one to tell.
            let _ = remove_folder(&unfinished);
            return Err(error);
        }
        let step = snapshot.state.step;
        let finished = self.place(step);
        self.make_way(&finished)?;
        fs::rename(&unfinished, &finished).map_err(Error::io("cannot write", &finished))?;
        sync(&folder)?;
        run::record_first_checkpoint(&self.run, step)?;
        self.link(snapshot.state)?;
        self.clear(snapshot.state)
    }

    /// Loads what the newest whole checkpoint holds; `None` where the run was killed before its first one.
    /// `open` gives the model that the checkpoint's folder is of; parameters whose exact values the folder
    /// does not hold get them afterwards.
    pub(crate) fn resume<M: Trainable>(
        &self,
        open: impl FnOnce(&Path) -> Result<Loaded<M>>,
        optimizer: &mut AdamW,
    ) -> Result<Option<Resumed<M>>> {
        let mut inventory = self.inventory()?;
        let complaints = std::mem::take(&mut inventory.complaints);
        let Some(newest) = inventory.newest() else {
            return self.nothing_whole(&complaints).map(|()| None);
        };
        let folder = self.in_place(&newest)?;
        let state = newest.record.state;
        let mut notices = Vec::new();
        let newer = |step: Option<u64>| step.is_none_or(|step| step >= state.step);
        for (_, complaint) in complaints.into_iter().filter(|(step, _)| newer(*step)) {
            notices.push(format!("not whole, and left as it is: {complaint}"));
        }
        remove_folder(&self.unfinished())?;
        self.link(&state)?;
        if let Some(best) = state.best
            && self.best(&state).is_none()
        {
            notices
                .push(format!("the best checkpoint so far, of step {}, is not there", best.step));
        }
        let mut loaded = open(&folder)?;
        if state.step > 0 {
            let moments = folder.join(OPTIMIZER);
            loaded.model =
                moments::read(optimizer, loaded.model, &loaded.names, state.step, &moments)?;
        }
        loaded.notices.splice(0..0, notices);
        // What a process killed after its last checkpoint could not remove. Only now, when the
        // newest one is known to be readable.
        self.clear(&state)?;
        Ok(Some(Resumed { loaded, state }))
    }

    /// Looks at everything that could be a checkpoint of this run.
    fn inventory(&self) -> Result<Inventory> {
        let mut inventory = Inventory::default();
        // Copying may have made folders of the links. Before the others: of two of one step the last one counts.
        for link in [LAST, BEST] {
            let path = self.run.join(link);
            if is_real_folder(&path) {
                inventory.add(self, path, None);
            }
        }
        let folder = self.run.join(FOLDER);
        let entries: io::Result<Vec<fs::DirEntry>> = match fs::read_dir(&folder) {
            Ok(entries) => entries.collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        for entry in entries.map_err(Error::io("cannot read", &folder))? {
            let name = entry.file_name();
            if let Some(step) = name.to_str().and_then(step_of) {
                inventory.add(self, entry.path(), Some(step));
            }
        }
        Ok(inventory)
    }

    fn is_ours(&self, found: &Found) -> bool {
        match &found.record.run {
            Some(run) => self.identity.is_new || *run == self.identity.id,
            None => true,
        }
    }

    /// Nothing to continue from: fine where nothing was ever saved, else a refusal.
    fn nothing_whole(&self, complaints: &[(Option<u64>, String)]) -> Result<()> {
        let mut reasons: Vec<String> =
            complaints.iter().map(|(_, complaint)| complaint.clone()).collect();
        for link in [LAST, BEST].map(|link| self.run.join(link)) {
            if fs::symlink_metadata(&link).is_ok_and(|found| !found.is_dir()) {
                reasons.push(format!("{} leads to no checkpoint", link.display()));
            }
        }
        if self.identity.has_saved {
            reasons.push("the run has written checkpoints before".to_owned());
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Error::Mismatch(format!(
            "{} has no whole checkpoint to go on from (nothing in it was changed); bring back its checkpoints \
             or choose another --output\n  {}",
            self.run.display(),
            reasons.join("\n  ")
        )))
    }

    /// Where a checkpoint lies among the others; one that copying put in a link's place is moved there.
    fn in_place(&self, found: &Found) -> Result<PathBuf> {
        let folder = self.run.join(FOLDER);
        let place = folder.join(step_folder(found.record.state.step));
        if found.path != place {
            fs::create_dir_all(&folder).map_err(Error::io("cannot create", &folder))?;
            self.make_way(&place)?;
            fs::rename(&found.path, &place).map_err(Error::io("cannot write", &place))?;
        }
        Ok(place)
    }

    /// Makes room at a checkpoint's place: one of this run's that is replaced goes, all else is set aside.
    fn make_way(&self, place: &Path) -> Result<()> {
        if let Ok(found) = Found::at(place.to_owned())
            && self.is_ours(&found)
        {
            found.remove()?;
        }
        if fs::symlink_metadata(place).is_ok() {
            let aside = free_name(place);
            fs::rename(place, &aside).map_err(Error::io("cannot move away", place))?;
        }
        Ok(())
    }

    /// Makes `last` and `best` lead where a state says.
    fn link(&self, state: &TrainingState) -> Result<()> {
        self.switch(LAST, state.step)?;
        match state.best {
            Some(best) => self.switch(BEST, best.step),
            None => Ok(()),
        }
    }

    /// Makes a link name a checkpoint that is there, by one rename.
    fn switch(&self, link: &str, step: u64) -> Result<()> {
        let target = Path::new(FOLDER).join(step_folder(step));
        let link = self.run.join(link);
        self.adopt(&link)?;
        let is_there = Found::at(self.run.join(&target)).is_ok_and(|found| found.has_model());
        if !is_there || fs::read_link(&link).is_ok_and(|found| found == target) {
            return Ok(());
        }
        make_way_for_link(&link)?;
        // A name that is known as this project's if the process is killed here.
        let next = self.run.join(".ee-link.partial");
        remove_file(&next)?;
        match symlink(target, &next) {
            // Some file systems have no links; the states hold the same information.
            Err(error)
                if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) =>
            {
                return Ok(());
            }
            made => made.map_err(Error::io("cannot write", &next))?,
        }
        fs::rename(&next, &link).map_err(Error::io("cannot write", &link))?;
        sync(&self.run)
    }

    /// Puts a checkpoint that copying made of a link among the others, unless it is there already.
    fn adopt(&self, link: &Path) -> Result<()> {
        if !is_real_folder(link) {
            return Ok(());
        }
        let Some(found) = Found::at(link.to_owned()).ok().filter(|found| self.is_ours(found))
        else {
            return Ok(());
        };
        let place = self.place(found.record.state.step);
        match Found::at(place).is_ok_and(|there| there.has_model()) {
            true => found.remove(),
            false => self.in_place(&found).map(drop),
        }
    }

    /// Removes this run's earlier checkpoints, and the moments of those that are only the best or to be averaged.
    fn clear(&self, state: &TrainingState) -> Result<()> {
        let folder = self.run.join(FOLDER);
        let best = state.best.map(|best| best.step);
        for entry in fs::read_dir(&folder).map_err(Error::io("cannot read", &folder))? {
            let entry = entry.map_err(Error::io("cannot read", &folder))?;
            let Some(step) = entry.file_name().to_str().and_then(step_of) else { continue };
            if step >= state.step {
                continue;
            }
            match Found::at(entry.path()) {
                Ok(found) if found.record.state.step != step || !self.is_ours(&found) => {}
                Ok(found) if best == Some(step) || state.to_average.contains(&step) => {
                    remove_file(&found.path.join(OPTIMIZER))?;
                }
                Ok(found) => found.remove()?,
                // Remains of a killed removal; a folder with content is not known to be ours.
                Err(_) if is_real_folder(&entry.path()) => remove_if_empty(&entry.path())?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Where this run writes a checkpoint until it is whole. The name is no other run's.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.run.join(FOLDER).join(format!(".unfinished-{}", self.identity.id))
    }
}

impl Inventory {
    fn newest(self) -> Option<Found> {
        self.whole.into_iter().max_by_key(|found| found.record.state.step)
    }

    /// Adds a folder, which is named after a step or stands in a link's place.
    fn add(&mut self, checkpoints: &Checkpoints, path: PathBuf, step: Option<u64>) {
        let found = match Found::at(path) {
            Ok(found) => found,
            Err(complaint) => return self.complaints.push((step, complaint)),
        };
        let stated = found.record.state.step;
        let name = found.path.display();
        let complaint = if !checkpoints.is_ours(&found) {
            Some(format!("{name} is another run's"))
        } else if step.is_some_and(|step| step != stated) {
            Some(format!("{name} holds the state of step {stated}"))
        } else {
            found.complaint()
        };
        match complaint {
            Some(complaint) => self.complaints.push((step.or(Some(stated)), complaint)),
            None => self.whole.push(found),
        }
    }
}

fn step_folder(step: u64) -> String {
    format!("step-{step:08}")
}

fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (step_folder(step) == name).then_some(step)
}

/// Whether a folder is there, and no link to one.
fn is_real_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Sets aside what lies in a link's place, unless it is a link or a small file that copying made of one.
fn make_way_for_link(link: &Path) -> Result<()> {
    match fs::symlink_metadata(link) {
        Ok(found) if found.is_dir() => set_aside(link),
        Ok(found) if found.is_file() => {
            let text = fs::read_to_string(link).unwrap_or_default();
            if text.starts_with(FOLDER) { Ok(()) } else { set_aside(link) }
        }
        _ => Ok(()),
    }
}

/// Moves something that is in the way to a name beside it.
pub(super) fn set_aside(path: &Path) -> Result<()> {
    fs::rename(path, free_name(path)).map_err(Error::io("cannot move away", path))
}

/// `path.kept`, or with a number that is free.
fn free_name(path: &Path) -> PathBuf {
    let named = |suffix: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut names = std::iter::once(named(".kept".to_owned()))
        .chain((2..).map(|number: u64| named(format!(".kept-{number}"))));
    names.find(|name| fs::symlink_metadata(name).is_err()).expect("numbers do not end")
}

pub(super) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("cannot remove", path)(error))
        }
        _ => Ok(()),
    }
}
