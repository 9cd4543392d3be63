//! The first statement of clickhouse-go, which Grafana's ClickHouse data source is built on.
//!
//! It asks for the server's revision in the Native format and decodes that one answer by its own revision
//! (`client_protocol_version`), later ones by the revision of that reply. The engine writes Native of revision 0 only. So
//! the answer is written here, and says 0.

use super::request::Fields;

/// The statement, its words apart by one space.
const STATEMENT: &str = "SELECT displayName(), version(), revision(), timezone()";
/// Revisions from which a block begins with its info, and from which a byte per column says how it is serialised.
const BLOCK_INFO: u64 = 51_903;
const CUSTOM_SERIALISATION: u64 = 54_454;
/// What the driver sees as the server's name: the engine's own would be that of the host.
const NAME: &str = "auscult";
/// All times in the tables are UTC.
const TIME_ZONE: &str = "UTC";

/// The answer in the Native format of the client's revision, where the request is that statement of such a client.
pub fn answer(fields: &Fields, engine_version: &str) -> Option<Vec<u8>> {
    let revision = fields.client_revision?;
    let words: Vec<&str> = fields.query.trim_end().trim_end_matches(';').split_whitespace().collect();
    let native = fields.default_format.as_deref() == Some("Native");
    if !native || !words.join(" ").eq_ignore_ascii_case(STATEMENT) {
        return None;
    }
    let mut block = Vec::new();
    if revision >= BLOCK_INFO {
        // Field 1: no overflow row. Field 2: no bucket (-1). Field 0: the end.
        block.extend([1, 0, 2]);
        block.extend((-1i32).to_le_bytes());
        block.push(0);
    }
    let (columns, rows) = (4, 1);
    block.extend([columns, rows]);
    let mut column = |name: &str, kind: &str, value: &[u8]| {
        text(&mut block, name);
        text(&mut block, kind);
        if revision >= CUSTOM_SERIALISATION {
            block.push(0);
        }
        block.extend_from_slice(value);
    };
    let string = |value: &str| {
        let mut bytes = Vec::new();
        text(&mut bytes, value);
        bytes
    };
    column("displayName()", "String", &string(NAME));
    column("version()", "String", &string(engine_version));
    column("revision()", "UInt32", &0u32.to_le_bytes());
    column("timezone()", "String", &string(TIME_ZONE));
    Some(block)
}

/// A text of fewer than 128 bytes, longer ones cut: LEB128 length, then the bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let bytes = &bytes[..bytes.len().min(127)];
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, format: &str, revision: Option<u64>) -> Option<Vec<u8>> {
        let fields = Fields {
            query: query.to_owned(),
            default_format: Some(format.to_owned()),
            client_revision: revision,
            ..Fields::default()
        };
        answer(&fields, "26.7.3")
    }

    #[test]
    fn only_the_statement_of_such_a_client_is_answered_here() {
        assert!(asked(STATEMENT, "Native", Some(54_460)).is_some());
        assert!(
            asked("select displayName(),  version(),\nrevision(), timezone();\n", "Native", Some(54_460)).is_some()
        );
        assert_eq!(asked(STATEMENT, "Native", None), None);
        assert_eq!(asked(STATEMENT, "TabSeparated", Some(54_460)), None);
        assert_eq!(asked("SELECT version()", "Native", Some(54_460)), None);
        assert_eq!(asked(&format!("{STATEMENT}, 1"), "Native", Some(54_460)), None);
    }

    #[test]
    fn older_clients_get_what_their_revision_has() {
        let length = |revision| asked(STATEMENT, "Native", Some(revision)).map(|block| block.len());
        let [new, middle, old] = [54_460, 54_453, 50_000].map(length);
        assert_eq!((new.unwrap() - middle.unwrap(), middle.unwrap() - old.unwrap()), (4, 8));
    }
}
