//! Strongly connected components of a graph: Tarjan's algorithm, without recursion, since depth is the user's.

/// The components, each after every component that it leads to. Nodes are numbered by their place in `edges`.
pub(crate) fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let visits = vec![Visit::default(); edges.len()];
    let mut search = Search { edges, visits, entered: 0, open: Vec::new(), found: Vec::new() };
    for start in 0..edges.len() {
        if search.visit(start).order == 0 {
            search.run(start);
        }
    }
    search.found
}

#[derive(Debug, Clone, Copy, Default)]
struct Visit {
    /// 0: not visited yet.
    order: usize,
    /// The smallest order that it leads back to.
    low: usize,
    open: bool,
}

struct Search<'a> {
    edges: &'a [Vec<usize>],
    visits: Vec<Visit>,
    entered: usize,
    open: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn visit(&self, node: usize) -> Visit {
        self.visits.get(node).copied().unwrap_or_default()
    }

    fn enter(&mut self, node: usize) {
        self.entered += 1;
        if let Some(visit) = self.visits.get_mut(node) {
            *visit = Visit { order: self.entered, low: self.entered, open: true };
        }
        self.open.push(node);
    }

    fn lower(&mut self, node: usize, low: usize) {
        if let Some(visit) = self.visits.get_mut(node) {
            visit.low = visit.low.min(low);
        }
    }

    fn run(&mut self, start: usize) {
        self.enter(start);
        let mut path = vec![(start, 0)];
        while let Some((node, edge)) = path.pop() {
            if let Some(target) = self.edges.get(node).and_then(|targets| targets.get(edge)).copied() {
                path.push((node, edge + 1));
                let visit = self.visit(target);
                if visit.order == 0 {
                    self.enter(target);
                    path.push((target, 0));
                } else if visit.open {
                    self.lower(node, visit.order);
                }
                continue;
            }
            let visit = self.visit(node);
            if let Some((parent, _)) = path.last() {
                self.lower(*parent, visit.low);
            }
            if visit.low == visit.order {
                self.close(node);
            }
        }
    }

    fn close(&mut self, root: usize) {
        let mut component = Vec::new();
        while let Some(node) = self.open.pop() {
            if let Some(visit) = self.visits.get_mut(node) {
                visit.open = false;
            }
            component.push(node);
            if node == root {
                break;
            }
        }
        component.sort_unstable();
        self.found.push(component);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reaches(edges: &[Vec<usize>], from: usize, to: usize) -> bool {
        let mut seen = vec![false; edges.len()];
        let mut next = edges[from].clone();
        while let Some(node) = next.pop() {
            if !std::mem::replace(&mut seen[node], true) {
                next.extend(&edges[node]);
            }
        }
        seen[to]
    }

    proptest! {
        #[test]
        fn a_component_is_what_reaches_each_other(
            edges in (1..9_usize).prop_flat_map(|count| prop::collection::vec(prop::collection::vec(0..count, 0..3), count))
        ) {
            let found = components(&edges);
            let place = |node: usize| found.iter().position(|component| component.contains(&node)).unwrap();
            for from in 0..edges.len() {
                for to in 0..edges.len() {
                    let together = from == to || (reaches(&edges, from, to) && reaches(&edges, to, from));
                    prop_assert_eq!(place(from) == place(to), together);
                    if reaches(&edges, from, to) {
                        prop_assert!(place(to) <= place(from));
                    }
                }
            }
        }
    }

    #[test]
    fn depth_is_no_recursion() {
        let edges: Vec<Vec<usize>> =
            (0..200_000).map(|node| if node == 0 { vec![] } else { vec![node - 1] }).collect();
        assert_eq!(components(&edges).len(), 200_000);
    }
}
