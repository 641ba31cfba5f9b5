//! Commands that hold more than a text, and the answer to COM_STMT_PREPARE.

use protocol::Capabilities;
use protocol::prepared_statement::{ParameterType, StmtExecute, StmtPrepareOk};
use protocol::query::{Query, QueryAttribute};
use protocol::resultset::ColumnType;

use crate::input::Input;
use crate::memory::bounded;

/// Input: capabilities, the number of parameters, those that came as long data, a payload.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let capabilities = input.capabilities();
    let parameters = input.byte();
    let long = input.byte();
    let payload = input.rest();
    query(payload, capabilities);
    execute(payload, parameters.into(), long);
    if let Ok(prepared) = StmtPrepareOk::decode(payload) {
        let mut again = Vec::new();
        prepared.encode(&mut again);
        assert_eq!(StmtPrepareOk::decode(&again), Ok(prepared));
    }
}

fn query(payload: &[u8], capabilities: Capabilities) {
    let Ok(query) = bounded(payload, || Query::decode(payload, capabilities)) else {
        return;
    };
    assert!(payload.ends_with(query.text));
    let mut again = Vec::new();
    query.encode(capabilities, &mut again);
    assert_eq!(Query::decode(&again, capabilities), Ok(query));
    attributes(query.attributes);
}

fn attributes(bytes: &[u8]) {
    let all = bounded(bytes, || QueryAttribute::decode_all(bytes)).expect("they were read before");
    let mut again = Vec::new();
    QueryAttribute::encode_all(&all, &mut again).expect("each value is of its type");
    let reread = QueryAttribute::decode_all(&again).expect("they were just written");
    // Floats that are no numbers are not equal to themselves.
    let mut third = Vec::new();
    QueryAttribute::encode_all(&reread, &mut third).expect("each value is of its type");
    assert_eq!(third, again);
}

fn execute(payload: &[u8], parameters: u16, long: u8) {
    let is_long = |index: usize| index < 8 && usize::from(long) & (1 << index) != 0;
    let with_parameters = payload.len() + usize::from(parameters);
    let first = bounded(&vec![0; with_parameters], || {
        StmtExecute::decode(payload, parameters, &[], is_long)
    });
    let Ok(first) = first else {
        // An execution that says no types has those of the one before.
        let bound = ParameterType {
            column_type: ColumnType::LONG,
            is_unsigned: false,
        };
        let bound = vec![bound; parameters.into()];
        if let Ok(execute) = StmtExecute::decode(payload, parameters, &bound, is_long) {
            assert_eq!(execute.types, bound);
        }
        return;
    };
    assert_eq!(
        StmtExecute::decode_statement_id(payload),
        Ok(first.statement_id)
    );
    assert_eq!(first.types.len(), usize::from(parameters));
    assert_eq!(first.values.len(), usize::from(parameters));
    for (index, value) in first.values.iter().enumerate() {
        assert_eq!(value.is_none(), is_long(index));
    }
}
