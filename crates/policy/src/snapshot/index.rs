//! Finds the rows whose permission could match a call, without looking at the others.
//!
//! ```text
//!  any ──────────────────────────────────┐
//!  tcp port ─────────────────────────────┤
//!  path ─┬─ whole path, literal templates├──> ascending lists of rows
//!        └─ trie: literal | variable | **┘
//! ```
//!
//! A `grpc` permission is the path `/<service>/<method>`, or the template `/<service>/*`. Keys are given by authors of
//! policies only; callers look up, and a seed of the process keeps even authors from choosing collisions.

use std::collections::HashMap;

use bailiwick_identity::Port;
use foldhash::fast::RandomState;

use crate::{GrpcPermission, HttpPermission, Methods, PathTemplate, Permission, Segment};

/// How many lists one call is looked for in; a call that meets more is decided by a scan instead.
const SOURCES: usize = 16;
/// How many nodes of the trie one path may be at; as above.
const ACTIVE: usize = 16;
const ROOT: u32 = 0;

/// Ascending lists of rows, together every row whose permission may match.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    lists: [&'a [u32]; SOURCES],
    count: usize,
    complete: bool,
}

impl<'a> Sources<'a> {
    pub(crate) const fn new() -> Self {
        Self { lists: [&[]; SOURCES], count: 0, complete: true }
    }

    fn push(&mut self, list: &'a [u32]) {
        if list.is_empty() {
            return;
        }
        match self.lists.get_mut(self.count) {
            Some(place) => {
                *place = list;
                self.count += 1;
            }
            None => self.complete = false,
        }
    }

    /// The lists; `None` if there were too many, or the path branched too often.
    pub(crate) fn lists(&mut self) -> Option<&mut [&'a [u32]]> {
        if self.complete { self.lists.get_mut(..self.count) } else { None }
    }

    /// How many rows the lists hold.
    pub(crate) fn rows(&self) -> usize {
        self.lists.iter().take(self.count).map(|list| list.len()).sum()
    }
}

/// An ascending list of rows; one row, the most frequent case, stands where it is looked for.
#[derive(Debug, Default)]
enum Rows {
    #[default]
    None,
    One([u32; 1]),
    Many(Vec<u32>),
}

impl Rows {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(row) => row,
            Self::Many(rows) => rows,
        }
    }

    /// Adds a row. Rows come in ascending order; a permission may name the same port, path or method twice.
    fn add(&mut self, row: u32) {
        if self.as_slice().last() == Some(&row) {
            return;
        }
        match self {
            Self::None => *self = Self::One([row]),
            Self::One([first]) => *self = Self::Many(vec![*first, row]),
            Self::Many(rows) => rows.push(row),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Index {
    any: Rows,
    tcp: HashMap<Port, Rows, RandomState>,
    exact: HashMap<Box<str>, Rows, RandomState>,
    trie: Trie,
}

impl Index {
    /// Files a row. Rows come in ascending order.
    pub(crate) fn insert(&mut self, row: u32, permission: Option<&Permission>) {
        match permission {
            None | Some(Permission::Any) => self.any.add(row),
            Some(Permission::Tcp(ports)) => {
                ports.iter().for_each(|port| self.tcp.entry(*port).or_default().add(row));
            }
            Some(Permission::Http(HttpPermission { paths, .. })) => {
                paths.iter().for_each(|template| self.insert_template(row, template));
            }
            Some(Permission::Grpc(GrpcPermission { service, methods })) => match methods {
                Methods::Any => {
                    let segments = [Segment::Literal(service.as_ref().into()), Segment::Variable(None)];
                    self.trie.insert(row, &segments, false);
                }
                Methods::Of(names) => names.iter().for_each(|name| {
                    self.exact.entry(format!("/{service}/{name}").into()).or_default().add(row);
                }),
            },
        }
    }

    fn insert_template(&mut self, row: u32, template: &PathTemplate) {
        match template.exact() {
            Some(path) => self.exact.entry(path.into()).or_default().add(row),
            None => self.trie.insert(row, template.segments(), template.rest()),
        }
    }

    /// The rows whose permission may match a call to this port with this path (`None`: no path that could match).
    pub(crate) fn find<'a>(&'a self, port: Port, path: Option<&str>, sources: &mut Sources<'a>) {
        sources.push(self.any.as_slice());
        if !self.tcp.is_empty() {
            sources.push(self.tcp.get(&port).map_or(&[], Rows::as_slice));
        }
        if let Some(path) = path {
            sources.push(self.exact.get(path).map_or(&[], Rows::as_slice));
            self.trie.find(path, sources);
        }
    }
}

/// Templates with a variable or `**`, segment by segment. A path is at several nodes at once where a literal and a
/// variable both match.
#[derive(Debug, Default)]
struct Trie {
    /// Empty, or the root first.
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    literals: Literals,
    /// The child for any non-empty segment.
    variable: Option<u32>,
    /// Templates that end here.
    end: Rows,
    /// Templates that end here with `**`.
    rest: Rows,
}

/// The children of a node by literal segment. Most nodes have one at most, which needs no hash.
#[derive(Debug)]
enum Literals {
    None,
    One(Box<[u8]>, u32),
    #[expect(clippy::box_collection, reason = "few nodes have it, and all nodes should be small")]
    Many(Box<HashMap<Box<[u8]>, u32, RandomState>>),
}

impl Literals {
    fn get(&self, segment: &[u8]) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(only, child) => (only.as_ref() == segment).then_some(*child),
            Self::Many(children) => children.get(segment).copied(),
        }
    }

    fn insert(&mut self, segment: &[u8], child: u32) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(segment.into(), child),
            Self::One(only, first) => {
                Self::Many(Box::new([(only, first), (segment.into(), child)].into_iter().collect()))
            }
            Self::Many(mut children) => {
                children.insert(segment.into(), child);
                Self::Many(children)
            }
        };
    }
}

/// The nodes that a path is at, without allocation.
#[derive(Debug, Clone, Copy)]
struct Active {
    nodes: [u32; ACTIVE],
    count: usize,
    complete: bool,
}

impl Active {
    const NOWHERE: Self = Self { nodes: [ROOT; ACTIVE], count: 0, complete: true };

    fn push(&mut self, node: u32) {
        match self.nodes.get_mut(self.count) {
            Some(place) => {
                *place = node;
                self.count += 1;
            }
            None => self.complete = false,
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.iter().take(self.count).copied()
    }
}

impl Trie {
    fn insert(&mut self, row: u32, segments: &[Segment], rest: bool) {
        let mut at = if self.nodes.is_empty() { self.add_node() } else { ROOT };
        for segment in segments {
            at = match segment {
                Segment::Literal(text) => self.literal_child(at, text.as_bytes()),
                Segment::Variable(_) => self.variable_child(at),
            };
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            if rest { &mut node.rest } else { &mut node.end }.add(row);
        }
    }

    fn add_node(&mut self) -> u32 {
        // Bounded: a snapshot limits its rows, and a template its segments.
        let number = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node { literals: Literals::None, variable: None, end: Rows::None, rest: Rows::None });
        number
    }

    fn literal_child(&mut self, at: u32, segment: &[u8]) -> u32 {
        if let Some(child) = self.nodes.get(at as usize).and_then(|node| node.literals.get(segment)) {
            return child;
        }
        let child = self.add_node();
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.literals.insert(segment, child);
        }
        child
    }

    fn variable_child(&mut self, at: u32) -> u32 {
        if let Some(child) = self.nodes.get(at as usize).and_then(|node| node.variable) {
            return child;
        }
        let child = self.add_node();
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.variable = Some(child);
        }
        child
    }

    fn find<'a>(&'a self, path: &str, sources: &mut Sources<'a>) {
        let Some(mut node) = self.nodes.first() else { return };
        sources.push(node.rest.as_slice());
        let mut segments = path.as_bytes().split(|byte| *byte == b'/').skip(1);
        // Most paths are at one node at a time.
        while let Some(segment) = segments.next() {
            let child = match Self::children(node, segment) {
                (None, None) => return,
                (Some(only), None) | (None, Some(only)) => self.nodes.get(only as usize),
                (Some(literal), Some(variable)) => {
                    let mut active = Active::NOWHERE;
                    self.enter(literal, &mut active, sources);
                    self.enter(variable, &mut active, sources);
                    return self.find_branching(active, segments, sources);
                }
            };
            let Some(child) = child else { return };
            sources.push(child.rest.as_slice());
            node = child;
        }
        sources.push(node.end.as_slice());
    }

    fn find_branching<'a, 'b>(
        &'a self,
        mut active: Active,
        segments: impl Iterator<Item = &'b [u8]>,
        sources: &mut Sources<'a>,
    ) {
        for segment in segments {
            let mut next = Active { complete: active.complete, ..Active::NOWHERE };
            for node in active.iter().filter_map(|at| self.nodes.get(at as usize)) {
                let (literal, variable) = Self::children(node, segment);
                for child in [literal, variable].into_iter().flatten() {
                    self.enter(child, &mut next, sources);
                }
            }
            active = next;
        }
        for node in active.iter().filter_map(|at| self.nodes.get(at as usize)) {
            sources.push(node.end.as_slice());
        }
        // FAIL-CLOSED: a path that branches further is decided by a scan of every row.
        sources.complete &= active.complete;
    }

    fn enter<'a>(&'a self, child: u32, active: &mut Active, sources: &mut Sources<'a>) {
        active.push(child);
        if let Some(node) = self.nodes.get(child as usize) {
            sources.push(node.rest.as_slice());
        }
    }

    /// The literal and the variable child for a segment.
    fn children(node: &Node, segment: &[u8]) -> (Option<u32>, Option<u32>) {
        (node.literals.get(segment), node.variable.filter(|_| !segment.is_empty()))
    }
}
