//! Rows of the tables about circuits, which `circuits` makes from the events of a control port.

use std::path::Path;

use record::rows::Value;

use super::rows::{Fault, number, optional, real, text, truth, whole};
use super::tables::Table;
use super::transfers::Transfer;
use super::{Sink, circuits};

/// Circuits and streams of a tap that read a control port, and the stream of each of `transfers`; nothing for other taps.
pub(super) fn write(path: &Path, tap: &str, transfers: &[Transfer], repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    let Some(log) = circuits::read(path, &mut |_, _| Ok(()))? else { return Ok(()) };
    let mut insert = |table, row: usize, own: &[Value<'_>]| {
        let key = [Value::Integer(repetition), Value::Text(tap), number(row)];
        sink.insert(table, &[&key[..], own].concat())
    };
    for (row, circuit) in log.circuits.iter().enumerate() {
        let path = circuit.path.iter().map(|(hop, _)| hop.as_str()).collect::<Vec<_>>().join(",");
        let own = [
            whole(circuit.id),
            text(circuit.purpose.as_deref()),
            Value::Integer(circuit.launched_ns),
            circuit.built_ns.map_or(Value::Null, Value::Integer),
            Value::Integer(circuit.ended_ns),
            truth(circuit.is_closed),
            Value::Text(&path),
            optional(circuit.timeout_ms),
            real(circuit.quantile),
            truth(circuit.is_timeout_set),
            text(circuit.reason.as_deref()),
            text(circuit.remote_reason.as_deref()),
            text(circuit.flags.as_deref()),
        ];
        insert(Table::Circuits, row, &own)?;
        for (hop, (relay, at_ns)) in circuit.path.iter().enumerate() {
            let own = [
                number(hop),
                Value::Text(relay),
                Value::Integer(*at_ns),
                Value::Integer(at_ns.saturating_sub(circuit.launched_ns)),
            ];
            insert(Table::CircuitHops, row, &own)?;
        }
    }
    for (row, stream) in log.streams.iter().enumerate() {
        let own = [
            whole(stream.id),
            optional(stream.circuit),
            log.circuit_of(stream).map_or(Value::Null, number),
            text(stream.purpose.as_deref()),
            text(stream.source.as_deref()),
            Value::Text(&stream.target),
            Value::Integer(stream.new_ns),
            Value::Integer(stream.ended_ns),
            truth(stream.is_closed),
            text(stream.reason.as_deref()),
            text(stream.remote_reason.as_deref()),
        ];
        insert(Table::Streams, row, &own)?;
    }
    for (row, guard) in log.guards.iter().enumerate() {
        let times = [guard.new_ns, guard.up_ns, guard.down_ns, guard.dropped_ns].map(|ns| ns.map_or(Value::Null, Value::Integer));
        let own = [&[Value::Text(&guard.fingerprint), Value::Text(&guard.nickname)], &times[..]].concat();
        insert(Table::Guards, row, &own)?;
    }
    for (row, timeout) in log.timeouts.iter().enumerate() {
        let own = [
            Value::Integer(timeout.at_ns),
            text(timeout.status.as_deref()),
            optional(timeout.total_times),
            optional(timeout.timeout_ms),
            real(timeout.quantile),
            real(timeout.timeout_rate),
            optional(timeout.close_ms),
        ];
        insert(Table::BuildTimeouts, row, &own)?;
    }
    for (row, step) in log.onion.iter().enumerate() {
        let own = [
            Value::Integer(step.at_ns),
            Value::Text(&step.step),
            text(step.service.as_deref()),
            optional(step.circuit),
            text(step.relay.as_deref()),
            text(step.reason.as_deref()),
        ];
        insert(Table::OnionSteps, row, &own)?;
    }
    for (row, transfer) in transfers.iter().enumerate() {
        if let Some(stream) = log.stream_of(transfer) {
            let values = [Value::Integer(repetition), number(row), Value::Text(tap), number(stream)];
            sink.insert(Table::TransferStreams, &values)?;
        }
    }
    Ok(())
}
