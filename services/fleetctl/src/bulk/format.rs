//! CSV and JSON lines: from one line to its values.
//!
//! A line is a record in both, so a quote that somebody forgot costs that line and not the rest of the file; no field has
//! line breaks.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::Value;

use super::Refusal;
use super::columns::{Column, Record};
use super::lines::LONGEST;

/// The formats by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Comma-separated values under a line of names (RFC 4180).
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Format {
    /// The format that a file's name tells, if it does.
    pub(crate) fn of(path: &std::path::Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// CSV under its line of names.
pub(crate) struct Csv {
    reader: Reader,
    columns: Vec<Column>,
    output: Vec<u8>,
    ends: Vec<usize>,
}

impl Csv {
    /// Reads the line of names. Values are separated by commas, or by the semicolons or tabs that spreadsheets write.
    /// An error is a clause on the line.
    pub(crate) fn under(names: &[u8]) -> Result<Self, String> {
        if names.starts_with(b"\xff\xfe") || names.starts_with(b"\xfe\xff") {
            return Err("is UTF-16: save the file as UTF-8".to_owned());
        }
        let pieces = |separator: u8| names.split(|byte| *byte == separator).count();
        let separator = [b',', b';', b'\t'].into_iter().max_by_key(|one| (pieces(*one), *one == b','));
        let reader = ReaderBuilder::new().delimiter(separator.unwrap_or(b',')).build();
        let mut csv = Self { reader, columns: Vec::new(), output: vec![0; LONGEST], ends: vec![0; 64] };
        let fields = csv.split(names).map_err(|refusal| refusal.rule.into_owned())?;
        let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
        for (at, name) in fields.iter().enumerate() {
            let place = at + 1;
            let allowed = || format!("allowed are {}", Column::names());
            let column = Column::parse(name.trim());
            // What stands there may be a person's number, in a file without names.
            let column =
                column.ok_or_else(|| format!("has no known name in column {place}: {}", allowed()))?;
            if columns.contains(&column) {
                return Err(format!("names {} twice", column.name()));
            }
            columns.push(column);
        }
        if let Some(missing) = Column::NEEDED.into_iter().find(|column| !columns.contains(column)) {
            return Err(format!("has no column {}", missing.name()));
        }
        csv.columns = columns;
        Ok(csv)
    }

    pub(crate) fn read(&mut self, line: &[u8]) -> Result<Record, Refusal> {
        let fields = self.split(line)?;
        if fields.len() != self.columns.len() {
            return Err(Refusal::line("has more or fewer values than there are names in the first line"));
        }
        let mut record = Record::default();
        for (column, value) in self.columns.iter().zip(fields) {
            record.set(*column, &value);
        }
        Ok(record)
    }

    fn split(&mut self, line: &[u8]) -> Result<Vec<String>, Refusal> {
        if line.contains(&0) {
            return Err(Refusal::line("has a NUL character"));
        }
        if line.is_empty() {
            return Ok(vec![String::new()]);
        }
        self.reader.reset();
        let (mut written, mut ended) = (0, 0);
        for input in [line, b"\n"] {
            let (result, _, out, ends) =
                self.reader.read_record(input, &mut self.output[written..], &mut self.ends[ended..]);
            written += out;
            ended += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(Refusal::line("has too many values"));
                }
                ReadRecordResult::Record => return self.fields(ended),
                ReadRecordResult::End => break,
            }
        }
        Err(Refusal::line("has a quote that does not end in it"))
    }

    fn fields(&self, ended: usize) -> Result<Vec<String>, Refusal> {
        let mut start = 0;
        let fields = self.ends[..ended].iter().map(|end| {
            let field = std::str::from_utf8(&self.output[start..*end]);
            start = *end;
            field.map(str::to_owned).map_err(|_| Refusal::line("is not UTF-8"))
        });
        fields.collect()
    }
}

/// The values of a JSON object. Numbers are none of them: a phone number is a text.
pub(crate) fn read_json(line: &[u8]) -> Result<Record, Refusal> {
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return Err(Refusal::line("is not one JSON object in UTF-8"));
    };
    let mut record = Record::default();
    for (name, value) in &members {
        let column = Column::parse(name);
        let column = column.ok_or_else(|| {
            Refusal::new("line", format!("has a field of an unknown name; allowed are {}", Column::names()))
        })?;
        match value {
            Value::Null => {}
            Value::String(text) => record.set(column, text),
            Value::Bool(yes) if matches!(column, Column::Verified | Column::BackupVerified) => {
                record.set(column, if *yes { "true" } else { "false" });
            }
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(Refusal::new(column.name(), "must be a text"));
            }
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(names: &str) -> Csv {
        Csv::under(names.as_bytes()).unwrap_or_else(|rule| panic!("{names}: {rule}"))
    }

    fn rule(result: Result<Record, Refusal>) -> String {
        result.err().map(|refusal| refusal.rule.into_owned()).unwrap_or_default()
    }

    #[test]
    fn values_are_found_under_their_names_in_any_order() {
        for (names, line) in [
            ("method,id,audience,phone", "voice,ann,staff,+19195550100"),
            ("id;method;audience;phone", "ann;voice;staff;+19195550100"),
            ("id\tmethod\taudience\tphone", "ann\tvoice\tstaff\t+19195550100"),
            ("\"id\",method, audience ,phone", "\"ann\", voice ,staff,\"+19195550100\""),
        ] {
            let record = csv(names).read(line.as_bytes()).unwrap_or_else(|why| panic!("{line}: {why:?}"));
            let found =
                [Column::Id, Column::Audience, Column::Method, Column::Phone].map(|one| record.get(one));
            assert_eq!(found, [Some("ann"), Some("staff"), Some("voice"), Some("+19195550100")], "{names}");
        }
        let quoted = csv("id,audience,method").read(br#"ann,"say ""hi"", all",voice"#);
        assert_eq!(quoted.ok().unwrap().get(Column::Audience), Some(r#"say "hi", all"#));
    }

    #[test]
    fn wrong_names_are_refused_with_those_that_are_allowed_and_without_what_stood_there() {
        for (names, part) in [
            (
                "id,audience,method,telephone",
                "no known name in column 4: allowed are id, audience, method, phone",
            ),
            ("ann,staff,voice,+19195550100", "no known name in column 1"),
            ("id,audience", "has no column method"),
            ("id,id,audience,method", "names id twice"),
            ("", "no known name in column 1"),
            ("\"id,audience,method", "a quote that does not end"),
            ("\u{0}id,audience,method", "NUL"),
        ] {
            let said = Csv::under(names.as_bytes()).err().unwrap_or_else(|| panic!("{names} was taken"));
            assert!(
                said.contains(part) && !said.contains("555") && !said.contains("telephone"),
                "{names}: {said}"
            );
        }
        assert!(Csv::under(b"\xff\xfei\0d\0").err().unwrap().contains("UTF-8"));
    }

    #[test]
    fn a_line_that_cannot_be_split_is_refused_alone() {
        let mut csv = csv("id,audience,method");
        for (line, part) in [
            (&b"ann,staff"[..], "more or fewer"),
            (b"ann,staff,voice,x", "more or fewer"),
            (b"ann,\"staff,voice", "a quote that does not end"),
            (b"ann,st\0aff,voice", "NUL"),
            (b"ann,st\xffaff,voice", "UTF-8"),
            (&[b','; 10_000], "too many"),
        ] {
            let said = rule(csv.read(line));
            assert!(said.contains(part), "{said}");
            assert_eq!(rule(csv.read(b"ann,staff,voice")), "", "the next one is good");
        }
    }

    #[test]
    fn a_line_of_json_has_texts_and_for_some_fields_truths() {
        let line = br#"{"id":"ann","audience":"staff","method":"voice","verified":true,"pin_hash":null}"#;
        let record = read_json(line).ok().unwrap();
        assert_eq!((record.get(Column::Id), record.get(Column::Verified)), (Some("ann"), Some("true")));
        assert_eq!(record.get(Column::PinHash), None);
        for (line, part) in [
            (&b"[]"[..], "not one JSON object"),
            (b"{\"id\":\"ann\"} {}", "not one JSON object"),
            (b"{\"id\":\"\xff\"}", "not one JSON object"),
            (b"{\"id\":7}", "must be a text"),
            (b"{\"id\":true}", "must be a text"),
            (b"{\"+19195550100\":\"x\"}", "unknown name; allowed are id, "),
            (&b"[".repeat(60_000), "not one JSON object"),
        ] {
            let said = rule(read_json(line));
            assert!(said.contains(part) && !said.contains("555"), "{said}");
        }
    }
}
