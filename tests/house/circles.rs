//! No modules that need each other: siblings at any level of a crate have an order.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{ModulePath, Modules, Use};
use crate::source;

/// The modules of one level that need each other, and where.
struct Circle {
    /// The crate and the module that they all lie in.
    level: String,
    members: BTreeSet<String>,
    uses: Vec<Use>,
}

impl Circle {
    fn title(&self) -> String {
        let members: Vec<_> = self.members.iter().map(String::as_str).collect();
        format!("{}: {}", self.level, members.join(" "))
    }

    fn print(&self) {
        println!("{}", self.title());
        let at = |path: &ModulePath| path.join("::");
        for each in &self.uses {
            println!("  {}: {} uses {}", each.place, at(&each.from), at(&each.to));
        }
    }
}

/// The circles of a crate.
fn circles(name: &str, modules: &Modules) -> Vec<Circle> {
    let mut levels: BTreeMap<ModulePath, Vec<(String, String, Use)>> = BTreeMap::new();
    for each in modules.uses() {
        let common = each.from.iter().zip(&each.to).take_while(|(a, b)| a == b).count();
        if let (Some(from), Some(to)) = (each.from.get(common), each.to.get(common)) {
            let edge = (from.clone(), to.clone(), each.clone());
            levels.entry(each.from[..common].to_vec()).or_default().push(edge);
        }
    }
    let mut found = Vec::new();
    for (level, edges) in levels {
        let title = [&[name.to_owned()], level.as_slice()].concat().join("::");
        for members in knots(&edges) {
            let inside = |(from, to, _): &&(String, String, Use)| {
                members.contains(from) && members.contains(to)
            };
            let uses = edges.iter().filter(inside).map(|(_, _, each)| each.clone()).collect();
            found.push(Circle { level: title.clone(), members, uses });
        }
    }
    found
}

/// The sets of modules each of which reaches all others of its set.
fn knots(edges: &[(String, String, Use)]) -> Vec<BTreeSet<String>> {
    let reached = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut next = vec![start.clone()];
        while let Some(at) = next.pop() {
            for (_, to, _) in edges.iter().filter(|(from, _, _)| *from == at) {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let starts: BTreeSet<_> = edges.iter().map(|(from, _, _)| from.clone()).collect();
    let reach: BTreeMap<_, _> = starts.iter().map(|start| (start, reached(start))).collect();
    let mut knots: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for start in &starts {
        if reach[start].contains(start) {
            let back = |to: &&String| reach.get(to).is_some_and(|seen| seen.contains(start));
            knots.insert(reach[start].iter().filter(back).cloned().collect());
        }
    }
    knots.into_iter().collect()
}

#[test]
fn no_circle_between_modules() {
    let mut found = Vec::new();
    for folder in source::crates() {
        for root in ["lib.rs", "main.rs"].map(|file| folder.join("src").join(file)) {
            if root.is_file() {
                found.extend(circles(&source::name(&folder), &Modules::read(&root)));
            }
        }
    }
    found.iter().for_each(Circle::print);
    let titles: Vec<_> = found.iter().map(Circle::title).collect();
    assert!(found.is_empty(), "modules that need each other:\n{}", titles.join("\n"));
}
