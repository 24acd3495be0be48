//! The mean of a run's last checkpoints, as fairseq's scripts/average_checkpoints.py takes it: a Hugging Face folder
//! `average` beside the checkpoints, made when the run ends.

use std::any::Any;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use ee_models::checkpoint::ParameterNames;

use super::checkpoints::{Checkpoints, remove_folder, set_aside};
use super::{FACTS, TrainingFacts, sync, write_model};
use crate::error::{Error, Result};
use crate::subject::{Loaded, Trainable};

const AVERAGE: &str = "average";

/// What was averaged, and where it lies.
pub(crate) struct Average<M> {
    pub(crate) model: M,
    pub(crate) folder: PathBuf,
    pub(crate) steps: Vec<u64>,
}

impl Checkpoints {
    /// Averages the checkpoints of some steps, as far as they are there; `None` where none is. `facts` are the last
    /// one's.
    pub(crate) fn average<M: Trainable>(
        &self,
        steps: &[u64],
        open: impl Fn(&Path) -> Result<Loaded<M>>,
        facts: TrainingFacts,
    ) -> Result<Option<Average<M>>> {
        let steps: Vec<u64> =
            steps.iter().copied().filter(|&step| self.place(step).join(FACTS).is_file()).collect();
        let mut sums = Sums::default();
        let mut last = None;
        for &step in &steps {
            let loaded = open(&self.place(step))?;
            loaded.model.visit(&mut Add { names: &loaded.names, sums: &mut sums });
            last = Some(loaded);
        }
        let Some(Loaded { model, config, names, written, .. }) = last else { return Ok(None) };
        let model = model.map(&mut Mean { names: &names, sums, n: steps.len() });
        let facts = TrainingFacts { averaged_steps: steps.clone(), ..facts };
        let newest = self.place(*steps.last().expect("one was opened"));
        let unfinished = self.unfinished();
        remove_folder(&unfinished)?;
        write_model(&model, &config, &written, &newest, &facts, &unfinished)?;
        for entry in fs::read_dir(&unfinished).map_err(Error::io("cannot read", &unfinished))? {
            sync(&entry.map_err(Error::io("cannot read", &unfinished))?.path())?;
        }
        sync(&unfinished)?;
        let folder = self.beside(AVERAGE);
        make_way(&folder)?;
        fs::rename(&unfinished, &folder).map_err(Error::io("cannot write", &folder))?;
        Ok(Some(Average { model, folder, steps }))
    }
}

/// Removes an earlier average; all else that is in its place is set aside.
fn make_way(folder: &Path) -> Result<()> {
    let facts = fs::read_to_string(folder.join(FACTS)).unwrap_or_default();
    let facts = serde_json::from_str::<TrainingFacts>(&facts);
    match facts.is_ok_and(|facts| !facts.averaged_steps.is_empty()) {
        true => remove_folder(folder),
        false if fs::symlink_metadata(folder).is_ok() => set_aside(folder),
        false => Ok(()),
    }
}

/// An F32 `Tensor<D>` per parameter's name; D is known where a module is visited.
type Sums = HashMap<String, Box<dyn Any>>;

struct Add<'a> {
    names: &'a ParameterNames,
    sums: &'a mut Sums,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.names.get(param.id).expect("every parameter of the model has a name");
        let value = param.val().cast(DType::F32);
        let sum = match self.sums.remove(name) {
            Some(sum) => *sum.downcast::<Tensor<D>>().expect("a parameter keeps its rank") + value,
            None => value,
        };
        self.sums.insert(name.to_owned(), Box::new(sum));
    }
}

struct Mean<'a> {
    names: &'a ParameterNames,
    sums: Sums,
    n: usize,
}

impl ModuleMapper for Mean<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let name = self.names.get(id).expect("every parameter of the model has a name");
        let sum = self.sums.remove(name).expect("added before");
        let sum = *sum.downcast::<Tensor<D>>().expect("a parameter keeps its rank");
        let mean = (sum / self.n as f64).cast(value.dtype());
        Param::from_mapped_value(id, mean, mapper)
    }
}
