//! Transfers as Torperf's files, format 1.1: one for each source, length and day, with a line for each download.
//!
//! Readers refuse a whole file because of one line that they do not understand. What cannot be expressed in the format is left
//! out: the circuit of a transfer, or the whole transfer, which is then counted.

use std::collections::BTreeMap;
use std::path::Path;

use record::RunRecord;
use vocabulary::rows::{PARTS, PERCENTS, Stage};

use super::Error;
use super::circuits::Circuit;
use super::folder::{Folder, Kind, failed};
use super::measured::{self, Joined, Measured, Source, Translated, day, endpoint, error_code, host, own_address};

const KIND: Kind =
    Kind { made_by: "runner export torperf", expected: "a new or empty directory, or one that `runner export torperf` made" };

/// The first line of every file.
const TYPE: &str = "@type torperf 1.1\n";

/// Writes the downloads of runs into a folder that is new, empty, or an earlier export of this kind.
///
/// # Errors
/// [`Error::NoTransfers`]; [`Error::NotOurs`]; [`Error::WriteFile`]; those of reading a run. The folder is then
/// unchanged.
pub fn export(runs: &[RunRecord], folder: &Path, source: &Source) -> Result<Translated, Error> {
    let folder = Folder::begin(folder, KIND)?;
    // By the name of their file, and then by the time of their start.
    let mut lines: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    let mut told = measured::read(runs, source, &mut |_, _, _, _| Ok(()), |measured, told| {
        for joined in &measured.transfers {
            if joined.is_upload {
                told.uploads += 1;
                continue;
            }
            let found = day(joined.transfer.unix_ns).and_then(|day| Some((day, line(&measured, joined)?)));
            let Some((day, line)) = found else {
                told.too_large += 1;
                continue;
            };
            told.count(&measured, joined);
            let file = format!("{}-{}-{day}.tpf", measured.source.name(), joined.file_bytes);
            lines.entry(file).or_default().push((joined.transfer.unix_ns, line));
        }
        Ok(())
    })?;
    for (name, lines) in &mut lines {
        lines.sort();
        let text: String = std::iter::once(TYPE).chain(lines.iter().map(|(_, line)| line.as_str())).collect();
        let path = folder.path().join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    let names: Vec<String> = lines.into_keys().collect();
    told.files = names.len();
    folder.finish(&names, serde_json::json!({}))?;
    Ok(told)
}

/// Seconds since 1970 with two decimals; what is missing is 0.0.
fn seconds(unix_ns: Option<i64>) -> String {
    match unix_ns.filter(|ns| *ns > 0) {
        None => "0.0".to_owned(),
        Some(ns) => {
            let hundredths = (ns / 1_000_000 + 5) / 10;
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
    }
}

/// A number of bytes that fits into the format.
fn small(number: i64) -> Option<String> {
    i32::try_from(number).ok().filter(|number| *number >= 0).map(|number| number.to_string())
}

/// Whether a text can be written as a value.
fn is_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=')
}

/// A download as a line, including the line feed; none if one of its numbers is too large.
fn line(measured: &Measured, joined: &Joined) -> Option<String> {
    let transfer = &joined.transfer;
    let at = |ns: Option<i64>| seconds(ns.map(|ns| ns.saturating_add(transfer.offset_ns())));
    let stage = |stage: Stage| at(transfer.stage(stage));
    let mut keys: BTreeMap<String, String> = [
        ("SOURCE", measured.source.name().to_owned()),
        ("FILESIZE", small(joined.file_bytes)?),
        ("START", seconds(Some(transfer.unix_ns))),
        ("SOCKET", stage(Stage::Socket)),
        ("CONNECT", stage(Stage::Connect)),
        ("NEGOTIATE", stage(Stage::Negotiate)),
        ("REQUEST", stage(Stage::Request)),
        ("RESPONSE", stage(Stage::Response)),
        ("DATAREQUEST", stage(Stage::DataRequest)),
        ("DATARESPONSE", stage(Stage::DataResponse)),
        ("DATACOMPLETE", at(transfer.completed_ns())),
        ("WRITEBYTES", small(transfer.written_bytes)?),
        ("READBYTES", small(transfer.read_bytes)?),
        ("DIDTIMEOUT", if transfer.is_success() { "0" } else { "1" }.to_owned()),
        ("ENDPOINTLOCAL", endpoint(transfer.local.as_deref())),
        ("ENDPOINTPROXY", endpoint(transfer.proxy.as_deref())),
        ("ENDPOINTREMOTE", endpoint(Some(&transfer.remote))),
        ("HOSTNAMELOCAL", measured.source.name().to_owned()),
        ("HOSTNAMEREMOTE", host(&transfer.remote).to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let percents = PERCENTS.iter().zip(&transfer.percents).filter(|(_, ns)| ns.is_some());
    keys.extend(percents.map(|(percent, ns)| (format!("DATAPERC{percent}"), at(*ns))));
    let parts = PARTS.iter().zip(&transfer.parts).filter(|(_, ns)| ns.is_some());
    keys.extend(parts.map(|(bytes, ns)| (format!("PARTIAL{bytes}"), at(*ns))));
    let stream = measured.stream(joined);
    keys.extend(own_address(transfer).map(|address| ("SOURCEADDRESS".to_owned(), address)));
    keys.extend(error_code(transfer, stream).map(|code| ("ERRORCODE".to_owned(), code)));
    if let (Some(stream), Some(circuit)) = (stream, measured.circuit(joined))
        && let Some(found) = of_circuit(circuit, transfer.offset_ns())
        && let Some(id) = small(i64::try_from(stream.id).ok()?)
    {
        keys.extend(found.into_iter().map(|(key, value)| (key.to_owned(), value)));
        keys.insert("USED_AT".to_owned(), seconds(Some(stream.ended_ns.saturating_add(transfer.offset_ns()))));
        keys.insert("USED_BY".to_owned(), id);
    }
    // Requested names may contain anything.
    let words: Vec<String> =
        keys.iter().filter(|(_, value)| is_value(value)).map(|(key, value)| format!("{key}={value}")).collect();
    Some(words.join(" ") + "\n")
}

/// The fields of a circuit: all of them, or none.
fn of_circuit(circuit: &Circuit, offset_ns: i64) -> Option<Vec<(&'static str, String)>> {
    if circuit.path.is_empty() {
        return None;
    }
    let mut fingerprints = Vec::new();
    let mut times = Vec::new();
    for (hop, at_ns) in &circuit.path {
        let (fingerprint, _) = extract::tor::relay(hop)?;
        fingerprints.push(format!("${fingerprint}"));
        let ms = at_ns.checked_sub(circuit.launched_ns).filter(|ns| *ns >= 0)? / 1_000_000;
        times.push(format!("{}.{:03}", ms / 1000, ms % 1000));
    }
    let mut found = vec![
        ("CIRC_ID", small(i64::try_from(circuit.id).ok()?)?),
        ("LAUNCH", seconds(Some(circuit.launched_ns.saturating_add(offset_ns)))),
        ("PATH", fingerprints.join(",")),
        ("BUILDTIMES", times.join(",")),
    ];
    found.extend(circuit.timeout_ms.and_then(|ms| Some(("TIMEOUT", small(i64::try_from(ms).ok()?)?))));
    let quantile = circuit.quantile.filter(|quantile| (0.0..=1.0).contains(quantile));
    found.extend(quantile.map(|quantile| ("QUANTILE", format!("{quantile:.6}"))));
    Some(found)
}
