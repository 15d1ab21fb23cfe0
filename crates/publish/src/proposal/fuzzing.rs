//! What the fuzz targets call: the readers of a proposal's small files, which nobody else has a use for.

use super::approval::Approval;
use super::intent::Intent;
use super::statement::Statement;

/// Reads `proposal.json`: what is taken has one form, so it has one digest.
///
/// # Panics
/// If what was read is written otherwise.
pub fn statement(bytes: &[u8]) {
    if let Ok(statement) = Statement::parse(bytes) {
        let written = statement.to_bytes().ok();
        assert_eq!(written.as_deref(), Some(bytes));
        let _ = statement.intent.describe();
    }
}

/// Reads a file of `signatures/`.
///
/// # Panics
/// If what was read is written otherwise.
pub fn approval(bytes: &[u8]) {
    if let Ok(approval) = Approval::parse(bytes) {
        assert_eq!(approval.to_bytes().as_deref(), Some(bytes));
        let _ = approval.file_name();
    }
}

/// Reads an intent as it stands in `proposal.json`.
///
/// # Panics
/// If what was read is another intent when it is written and read again.
pub fn intent(bytes: &[u8]) {
    let Ok(intent) = serde_json::from_slice::<Intent>(bytes) else { return };
    let again =
        serde_json::to_vec(&intent).ok().and_then(|text| serde_json::from_slice::<Intent>(&text).ok());
    assert_eq!(again.as_ref(), Some(&intent));
    let _ = (intent.describe(), intent.kind(), intent.product());
}
