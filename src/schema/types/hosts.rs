//! Roles of machines.

use schemars::JsonSchema;

/// What a machine is for. Targets, workloads and steps name the role in `on`; the command line says which machines have it:
/// `--on ssh:server=alice@a,clients=b+c`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "hosts"))]
pub struct HostRole {
    /// How many machines have the role, from 1 to 1000. The passes and connections of a workload are divided among all of them;
    /// a target needs a role with one machine.
    #[serde(default = "one")]
    #[schemars(extend("examples" = [2]))]
    pub count: u32,
}

fn one() -> u32 {
    1
}
