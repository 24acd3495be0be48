//! Python's pickles as inert data.
//!
//! A pickle is a program for a stack machine that may call anything. This one calls nothing: what would be made by
//! a call is kept as the name of what would be called, its arguments and its state. Values lie in one list and name
//! each other by their places there, so that sharing copies nothing, depth costs no stack, and memory is bounded by
//! the number of instructions.

mod machine;

use self::machine::Machine;

/// The place of a value.
type Id = u32;

/// A value; sets and tuples are lists.
#[derive(Debug)]
enum Node {
    None,
    Truth(bool),
    Whole(i64),
    Number(f64),
    Text(Box<str>),
    /// A module, and the class or function in it.
    Name([Id; 2]),
    List(Vec<Id>),
    Pairs(Vec<[Id; 2]>),
    Made(Box<Made>),
    /// What lies outside the pickle.
    Outside(Id),
    /// Bytes, numbers of more than 64 bits, and what a registry of the program that wrote it would say.
    Other,
}

/// What a call would make.
#[derive(Debug)]
struct Made {
    callee: Id,
    arguments: Id,
    state: Option<Id>,
    items: Vec<Id>,
    pairs: Vec<[Id; 2]>,
}

/// A pickle that was read.
#[derive(Debug)]
pub(in crate::checkpoint) struct Pickle {
    nodes: Vec<Node>,
    root: Id,
}

/// A value of a pickle.
#[derive(Clone, Copy, Debug)]
pub(in crate::checkpoint) struct Value<'a> {
    pickle: &'a Pickle,
    id: Id,
}

type Result<T> = std::result::Result<T, String>;

impl Pickle {
    /// Reads the pickle with which `bytes` begin; gives it and its length in bytes. An error is a complaint about it.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize)> {
        let (nodes, root, length) = Machine::new(bytes).run()?;
        Ok((Self { nodes, root }, length))
    }

    pub(super) fn root(&self) -> Value<'_> {
        Value { pickle: self, id: self.root }
    }

    /// The names of all that lies outside the pickle.
    pub(super) fn outside(&self) -> impl Iterator<Item = Value<'_>> {
        let ids = 0..self.nodes.len() as Id;
        ids.filter_map(|id| Value { pickle: self, id }.outside())
    }
}

impl<'a> Value<'a> {
    fn node(self) -> &'a Node {
        &self.pickle.nodes[self.id as usize]
    }

    fn of(self, id: Id) -> Self {
        Self { id, ..self }
    }

    pub(in crate::checkpoint) fn text(self) -> Option<&'a str> {
        match self.node() {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(in crate::checkpoint) fn truth(self) -> Option<bool> {
        match self.node() {
            Node::Truth(truth) => Some(*truth),
            _ => None,
        }
    }

    pub(in crate::checkpoint) fn whole(self) -> Option<i64> {
        match self.node() {
            Node::Whole(whole) => Some(*whole),
            _ => None,
        }
    }

    pub(in crate::checkpoint) fn number(self) -> Option<f64> {
        match self.node() {
            Node::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(in crate::checkpoint) fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    /// The module of a class or function, and its name there.
    pub(super) fn name(self) -> Option<[&'a str; 2]> {
        let Node::Name([module, name]) = self.node() else { return None };
        Some([self.of(*module).text()?, self.of(*name).text()?])
    }

    /// What would be called to make the value.
    pub(in crate::checkpoint) fn callee(self) -> Option<[&'a str; 2]> {
        match self.node() {
            Node::Made(made) => self.of(made.callee).name(),
            _ => None,
        }
    }

    /// With what it would be called.
    pub(in crate::checkpoint) fn arguments(self) -> Option<Self> {
        match self.node() {
            Node::Made(made) => Some(self.of(made.arguments)),
            _ => None,
        }
    }

    /// What the made value would be filled with.
    pub(in crate::checkpoint) fn state(self) -> Option<Self> {
        match self.node() {
            Node::Made(made) => made.state.map(|state| self.of(state)),
            _ => None,
        }
    }

    /// The name of what lies outside the pickle.
    pub(super) fn outside(self) -> Option<Self> {
        match self.node() {
            Node::Outside(name) => Some(self.of(*name)),
            _ => None,
        }
    }

    /// The items of a list, a tuple or a set.
    pub(in crate::checkpoint) fn items(self) -> Option<impl ExactSizeIterator<Item = Self>> {
        let items = match self.node() {
            Node::List(items) => items,
            Node::Made(made) if !made.items.is_empty() => &made.items,
            _ => return None,
        };
        Some(items.iter().map(move |&id| self.of(id)))
    }

    /// The first `N` items of a list, where it has as many.
    pub(super) fn first<const N: usize>(self) -> Option<[Self; N]> {
        let mut items = self.items().filter(|items| items.len() >= N)?;
        Some(std::array::from_fn(|_| items.next().expect("counted above")))
    }

    /// The keys and values of a dictionary, or of a made value that is filled like one.
    pub(in crate::checkpoint) fn pairs(self) -> Option<impl DoubleEndedIterator<Item = [Self; 2]>> {
        let pairs = match self.node() {
            Node::Pairs(pairs) => pairs,
            Node::Made(made) => &made.pairs,
            _ => return None,
        };
        Some(pairs.iter().map(move |pair| pair.map(|id| self.of(id))))
    }

    /// What a dictionary has under a text; the last where it was set twice.
    pub(in crate::checkpoint) fn get(self, key: &str) -> Option<Self> {
        let mut pairs = self.pairs()?.rev();
        pairs.find_map(|[found, value]| (found.text() == Some(key)).then_some(value))
    }
}

#[cfg(test)]
mod tests;
