//! Workloads: their protocol, and how their passes arrive.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::{Driver, Load, Protocol};

/// Requests and how they arrive.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name in the scenario and in results.
    pub name: String,
    /// The role of the machines that make it together; none: the machine of the run itself.
    pub on: Option<String>,
    /// The protocol, and what is sent over it.
    pub driver: Driver,
    /// When its passes start, and until when.
    pub load: Load,
    /// Generator threads.
    pub threads: u32,
    /// Processors on which the threads, or the command, may run; all if empty.
    pub cpus: Vec<u32>,
    /// Programs that the workload needs.
    pub needs: Vec<String>,
}

impl Workload {
    /// The protocol of the workload.
    pub fn protocol(&self) -> &dyn Protocol {
        self.driver.protocol()
    }
}

/// The protocol's steps, metrics and outcomes are written beside it, so that readers of a plan need not know the protocol.
impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let protocol = self.driver.protocol();
        let mut fields = serializer.serialize_struct("Workload", 13)?;
        fields.serialize_field("name", &self.name)?;
        match &self.on {
            Some(on) => fields.serialize_field("on", on)?,
            None => fields.skip_field("on")?,
        }
        fields.serialize_field("steps", &protocol.steps())?;
        match protocol.user_steps() {
            0 => fields.skip_field("user_steps")?,
            some => fields.serialize_field("user_steps", &some)?,
        }
        fields.serialize_field("metrics", &protocol.metrics())?;
        fields.serialize_field("outcomes", &protocol.outcomes())?;
        fields.serialize_field("follows", &protocol.follows())?;
        fields.serialize_field("is_program", &protocol.is_program())?;
        fields.serialize_field("driver", &self.driver)?;
        fields.serialize_field("load", &self.load)?;
        fields.serialize_field("threads", &self.threads)?;
        fields.serialize_field("cpus", &self.cpus)?;
        fields.serialize_field("needs", &self.needs)?;
        fields.end()
    }
}
