//! The stack machine that a pickle is a program for.

use std::collections::HashMap;
use std::ops::Range;

use super::{Id, Made, Node, Result};

/// Instructions of the longest pickle that is read; a checkpoint of a thousand tensors and their moments needs a
/// third of it.
const LONGEST: usize = 1 << 19;

/// The stack machine.
#[derive(Default)]
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// Places of the values that need no node of their own each time.
const NONE: Id = 0;
const FALSE: Id = 1;
const TRUE: Id = 2;
const OTHER: Id = 3;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let nodes = vec![Node::None, Node::Truth(false), Node::Truth(true), Node::Other];
        Self { bytes, nodes, ..Self::default() }
    }

    /// Runs the program; gives all values, the place of the last and the program's length in bytes.
    pub(super) fn run(mut self) -> Result<(Vec<Node>, Id, usize)> {
        for _ in 0..LONGEST {
            let instruction = self.byte()?;
            if instruction == b'.' {
                let root = self.pop()?;
                return Ok((self.nodes, root, self.at));
            }
            self.step(instruction)?;
        }
        Err(format!("its pickle has more than {LONGEST} instructions"))
    }

    fn step(&mut self, instruction: u8) -> Result<()> {
        match instruction {
            0x80 => _ = self.byte()?,
            0x95 => _ = self.take(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_mark()?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(NONE),
            0x88 => self.stack.push(TRUE),
            0x89 => self.stack.push(FALSE),
            // Registries of the writing program, and buffers that it would hand over.
            0x82 => self.pass(1)?,
            0x83 => self.pass(2)?,
            0x84 => self.pass(4)?,
            0x97 => self.stack.push(OTHER),
            0x98 => {}
            b'I' | b'L' | b'F' | b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b => {
                self.number(instruction)?;
            }
            b'S' | b'V' | b'T' | b'U' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => {
                self.text(instruction)?;
            }
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.remember(instruction)?,
            b'P' | b'Q' => {
                let name = match instruction {
                    b'P' => {
                        let line = self.line()?;
                        self.place(line)
                    }
                    _ => self.pop()?,
                };
                self.push(Node::Outside(name));
            }
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'i' | b'o' | b'b' => self.made(instruction)?,
            _ => self.container(instruction)?,
        }
        Ok(())
    }

    fn number(&mut self, instruction: u8) -> Result<()> {
        let node = match instruction {
            b'I' | b'L' => {
                let line = self.line()?;
                let Node::Text(line) = line else { return Err(self.broken("a number")) };
                match line.trim_end_matches('L') {
                    // Protocol 0 writes false and true like this.
                    "00" => Node::Truth(false),
                    "01" => Node::Truth(true),
                    digits => digits.parse().map_or(Node::Other, Node::Whole),
                }
            }
            b'F' => {
                let Node::Text(line) = self.line()? else { return Err(self.broken("a number")) };
                line.parse().map_or(Node::Other, Node::Number)
            }
            b'J' => Node::Whole(i32::from_le_bytes(self.array()?).into()),
            b'K' => Node::Whole(self.byte()?.into()),
            b'M' => Node::Whole(u16::from_le_bytes(self.array()?).into()),
            b'G' => Node::Number(f64::from_be_bytes(self.array()?)),
            _ => {
                let length = match instruction {
                    0x8a => self.byte()?.into(),
                    _ => u32::from_le_bytes(self.array()?) as usize,
                };
                let digits = self.take(length)?;
                whole(&self.bytes[digits]).map_or(Node::Other, Node::Whole)
            }
        };
        self.push(node);
        Ok(())
    }

    fn text(&mut self, instruction: u8) -> Result<()> {
        let length = match instruction {
            b'S' | b'V' => {
                let line = self.line()?;
                self.push(line);
                return Ok(());
            }
            b'U' | 0x8c | b'C' => self.byte()?.into(),
            b'T' | b'X' | b'B' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => u64::from_le_bytes(self.array()?),
        };
        let length = usize::try_from(length).map_err(|_| self.broken("a text"))?;
        let range = self.take(length)?;
        match instruction {
            b'B' | b'C' | 0x8e | 0x96 => self.stack.push(OTHER),
            _ => {
                let text = String::from_utf8_lossy(&self.bytes[range]).into();
                self.push(Node::Text(text));
            }
        }
        Ok(())
    }

    /// Puts the topmost value into the memo, or fetches one from it.
    fn remember(&mut self, instruction: u8) -> Result<()> {
        let slot = match instruction {
            b'g' | b'p' => match self.line()? {
                Node::Text(line) => line.parse().map_err(|_| self.broken("a place of the memo"))?,
                _ => return Err(self.broken("a place of the memo")),
            },
            b'h' | b'q' => self.byte()?.into(),
            0x94 => self.memo.len() as u32,
            _ => u32::from_le_bytes(self.array()?),
        };
        if matches!(instruction, b'g' | b'h' | b'j') {
            let id = self.memo.get(&slot).copied().ok_or_else(|| self.broken("a known value"))?;
            self.stack.push(id);
        } else {
            let top = self.top()?;
            self.memo.insert(slot, top);
        }
        Ok(())
    }

    /// Names, and what would be made by calling them.
    fn made(&mut self, instruction: u8) -> Result<()> {
        let [callee, arguments] = match instruction {
            b'c' => {
                let name = self.named()?;
                self.push(name);
                return Ok(());
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                self.push(Node::Name([module, name]));
                return Ok(());
            }
            b'b' => {
                let (state, top) = (self.pop()?, self.top()?);
                if let Node::Made(made) = &mut self.nodes[top as usize] {
                    made.state = Some(state);
                }
                return Ok(());
            }
            b'i' => {
                let name = self.named()?;
                let arguments = Node::List(self.pop_mark()?);
                [self.place(name), self.place(arguments)]
            }
            b'o' => {
                let mut arguments = self.pop_mark()?;
                if arguments.is_empty() {
                    return Err(self.broken("a class"));
                }
                let callee = arguments.remove(0);
                [callee, self.place(Node::List(arguments))]
            }
            0x92 => {
                let (_named, arguments) = (self.pop()?, self.pop()?);
                [self.pop()?, arguments]
            }
            _ => {
                let arguments = self.pop()?;
                [self.pop()?, arguments]
            }
        };
        let (items, pairs) = (Vec::new(), Vec::new());
        self.push(Node::Made(Box::new(Made { callee, arguments, state: None, items, pairs })));
        Ok(())
    }

    fn container(&mut self, instruction: u8) -> Result<()> {
        match instruction {
            b')' | b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Pairs(Vec::new())),
            b't' | b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::List(items));
            }
            0x85..=0x87 => {
                let mut items =
                    (0x84..instruction).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                self.push(Node::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Pairs(items.as_chunks().0.to_vec()));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[[key, value]])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(items.as_chunks().0)?;
            }
            unknown => {
                let at = self.at - 1;
                return Err(format!(
                    "its pickle has an unknown instruction {unknown:#04x} at byte {at}"
                ));
            }
        }
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()? as usize;
        match &mut self.nodes[top] {
            Node::List(list) => list.extend_from_slice(items),
            Node::Made(made) => made.items.extend_from_slice(items),
            _ => return Err(self.broken("a list")),
        }
        Ok(())
    }

    fn set(&mut self, items: &[[Id; 2]]) -> Result<()> {
        let top = self.top()? as usize;
        match &mut self.nodes[top] {
            Node::Pairs(pairs) => pairs.extend_from_slice(items),
            Node::Made(made) => made.pairs.extend_from_slice(items),
            _ => return Err(self.broken("a dictionary")),
        }
        Ok(())
    }

    /// A name in two lines.
    fn named(&mut self) -> Result<Node> {
        let (module, name) = (self.line()?, self.line()?);
        Ok(Node::Name([self.place(module), self.place(name)]))
    }

    /// Keeps a value.
    fn place(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        // No more than four a step.
        (self.nodes.len() - 1) as Id
    }

    fn push(&mut self, node: Node) {
        let id = self.place(node);
        self.stack.push(id);
    }

    /// Something of `length` bytes that only the program which wrote it knows.
    fn pass(&mut self, length: usize) -> Result<()> {
        self.take(length)?;
        self.stack.push(OTHER);
        Ok(())
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        match self.stack[self.floor()..].last() {
            Some(&id) => Ok(id),
            None => Err(self.broken("a value")),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.broken("a mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let range = self.take(N)?;
        Ok(self.bytes[range].try_into().expect("of that length"))
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>> {
        if length > self.bytes.len() - self.at {
            return Err(format!("its pickle breaks off at byte {}", self.bytes.len()));
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    /// A line as a text.
    fn line(&mut self) -> Result<Node> {
        let end = self.bytes[self.at..].iter().position(|&byte| byte == b'\n');
        let end =
            end.ok_or_else(|| format!("its pickle breaks off at byte {}", self.bytes.len()))?;
        let range = self.take(end + 1)?;
        let line = &self.bytes[range.start..range.end - 1];
        Ok(Node::Text(String::from_utf8_lossy(line).into()))
    }

    fn broken(&self, expected: &str) -> String {
        format!("its pickle is broken: {expected} is expected before byte {}", self.at)
    }
}

/// A whole number in two's complement, the lowest byte first, where it fits.
fn whole(digits: &[u8]) -> Option<i64> {
    let is_negative = digits.last().is_some_and(|&byte| byte >= 0x80);
    let mut bytes = [if is_negative { 0xff } else { 0 }; 8];
    bytes.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(i64::from_le_bytes(bytes))
}
