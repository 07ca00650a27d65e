//! `[deploy.*]`: each kind's own form, read so that every mistake keeps its place.

use certfleet_core::names::TargetName;
use certfleet_deploy::TargetConfig;

use super::at::At;
use super::de::{self, read};
use super::error::Fault;
use super::tree::{Entry, Node};

/// Reads and validates one table.
pub(crate) fn read_target(name: &At<TargetName>, node: &Node) -> Result<TargetConfig, Fault> {
    let Some(kind_node) = node.get("kind") else {
        let message = format!("the key `kind` is missing in `[deploy.{}]`", name.value);
        return Err(Fault::at(name.place, message)
            .label("in this table")
            .help("this version has the kinds `files`, `nginx` and `haproxy`"));
    };
    let kind: At<String> = read(kind_node)?;
    if let Some(run) = node.get("run")
        && read::<String>(run).is_ok_and(|run| run == "once")
    {
        let help = "leave it out, and name one node in `nodes` if only one shall have the target";
        return Err(Fault::not_in_this_version(run.place, "`run = \"once\"`", help));
    }
    let config = TargetConfig::of_kind(&kind.value, de::from(node)).map_err(|fault| fault.or_at(kind.place).in_key("kind"))?;
    config.validate().map_err(|problem| Fault::at(place_of(&problem, name, node), problem))?;
    Ok(config)
}

/// The name of a target, from its table's key.
pub(crate) fn target_name(entry: &Entry) -> Result<At<TargetName>, Fault> {
    let name = entry.key.parse::<TargetName>().map_err(|error| Fault::at(entry.key_place, error.to_string()))?;
    Ok(At { value: name, place: entry.key_place })
}

/// What is wrong with the whole is marked at the key that the message names first, else at the table's name.
fn place_of(problem: &str, name: &At<TargetName>, node: &Node) -> super::source::Place {
    let mut words = problem.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let entry = words.find_map(|word| node.entries().iter().find(|entry| entry.key == word));
    entry.map_or(name.place, |entry| entry.node.place)
}
