//! What will be made for the links of a cell: only names, so that undoing can be arranged before anything exists.

use std::path::PathBuf;

use super::Error;
use plan::links::Link;

/// Where namespaces are mounted, the same as for `ip netns`.
pub const DIRECTORY: &str = "/run/netns";

/// The names of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNames {
    /// Its place among the links of the cell.
    pub index: usize,
    /// The namespace at the near side; none: the runner's own.
    pub near: Option<String>,
    /// The namespace in the middle.
    pub middle: String,
    /// The namespace at the far side; several links may lead into it.
    pub far: String,
    /// The interface at the near side, at most 15 bytes.
    pub near_device: String,
}

impl LinkNames {
    /// All namespaces that this link needs, for [`super::undo`].
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.near.as_deref().into_iter().chain([self.middle.as_str(), self.far.as_str()])
    }

    /// The interface at the far side.
    pub fn far_device(&self) -> String {
        format!("link{}", self.index)
    }
}

/// The file of a namespace.
pub fn path(namespace: &str) -> PathBuf {
    PathBuf::from(DIRECTORY).join(namespace)
}

/// The namespace in which mechanisms are tried.
pub fn probe(run: &str) -> String {
    format!("runner-{run}-probe")
}

/// The names for all links of a cell, in order; nothing is made.
///
/// Targets that are listed together in the `to` of any link share a namespace. A target that is in no `to` runs outside of
/// namespaces, like the load. `run`: eight characters of the run's id; a pid could mean another process in another pid
/// namespace.
///
/// # Errors
/// [`Error::ToItself`] when both sides of a link are the same namespace.
pub fn topology(links: &[Link], run: &str) -> Result<Vec<LinkNames>, Error> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for link in links {
        let mut merged: Vec<&str> = link.to.iter().map(String::as_str).collect();
        groups.retain(|group| {
            let apart = !group.iter().any(|t| merged.contains(t));
            if !apart {
                merged.extend(group);
            }
            apart
        });
        groups.push(merged);
    }
    // Numbered by first mention: adding a link at the end does not change the names of the others.
    let first = |group: &Vec<&str>| links.iter().position(|l| l.to.iter().any(|t| group.contains(&t.as_str())));
    groups.sort_by_key(first);
    let group_of = |target: &str| groups.iter().position(|g| g.contains(&target));
    let name = |n: usize| format!("runner-{run}-{n}");
    let mut all = Vec::new();
    for (index, link) in links.iter().enumerate() {
        let far = link.to.first().and_then(|t| group_of(t)).expect("a link leads to at least one target");
        let near = link.from.as_deref().and_then(group_of);
        if near == Some(far) {
            return Err(Error::ToItself { link: link.name.clone(), target: link.from.clone().unwrap_or_default() });
        }
        all.push(LinkNames {
            index,
            near: near.map(name),
            middle: name(groups.len() + index),
            far: name(far),
            near_device: format!("rl{run}-{index}"),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::link;

    fn between(name: &str, from: Option<&str>, to: &[&str]) -> Link {
        Link {
            name: name.into(),
            from: from.map(Into::into),
            to: to.iter().map(|t| (*t).to_owned()).collect(),
            ..link(Default::default(), Default::default())
        }
    }

    #[test]
    fn targets_of_one_link_share_a_namespace_and_the_load_has_none() {
        let names = topology(&[between("wan", None, &["server", "cache"])], "7").unwrap();
        assert_eq!(names[0].near, None);
        assert_eq!((names[0].far.as_str(), names[0].middle.as_str()), ("runner-7-0", "runner-7-1"));
        assert_eq!(names[0].near_device, "rl7-0");
        assert!(topology(&[between("x", None, &["a"])], "0123abcd").unwrap()[0].near_device.len() <= 15);
    }

    #[test]
    fn a_chain_of_links_passes_through_its_namespaces() {
        let links = [between("one", None, &["broker"]), between("two", Some("broker"), &["subscriber"])];
        let names = topology(&links, "7").unwrap();
        assert_eq!(names[1].near.as_deref(), Some("runner-7-0"));
        assert_eq!(names[1].far, "runner-7-1");
        assert_eq!((names[0].middle.as_str(), names[1].middle.as_str()), ("runner-7-2", "runner-7-3"));
    }

    #[test]
    fn links_that_share_a_target_share_the_namespace() {
        let links = [between("one", None, &["a"]), between("two", Some("x"), &["b", "a"]), between("three", None, &["c"])];
        let names = topology(&links, "7").unwrap();
        assert_eq!(names[0].far, names[1].far);
        assert_eq!(names[1].near, None, "`x` is in no namespace");
        assert_ne!(names[2].far, names[0].far);
    }

    #[test]
    fn a_link_to_where_it_comes_from_is_a_mistake() {
        let error = topology(&[between("loop", Some("a"), &["a", "b"])], "7").unwrap_err();
        assert_eq!(error.to_string(), "link `loop` leads from `a` to the namespace in which `a` itself runs");
    }
}
