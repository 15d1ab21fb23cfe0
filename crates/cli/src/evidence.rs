//! A verification report as people and scripts read it.

use countersign_verify::{Report, RoleReport};
use serde::Serialize;

/// What stands behind a verdict: roles, signers, log, witnesses, time.
#[derive(Debug, Serialize)]
pub(crate) struct Evidence {
    checked_at: String,
    roles: Vec<Role>,
}

#[derive(Debug, Serialize)]
struct Role {
    role: String,
    version: u64,
    expires: String,
    threshold: u32,
    keys: usize,
    signers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Log>,
}

#[derive(Debug, Serialize)]
struct Log {
    origin: String,
    index: u64,
    tree_size: u64,
    cosigners: Vec<Cosigner>,
}

#[derive(Debug, Serialize)]
struct Cosigner {
    name: String,
    time: String,
}

impl Evidence {
    pub(crate) fn new(report: &Report) -> Self {
        Self {
            checked_at: report.checked_at.to_string(),
            roles: report.roles.iter().map(Role::new).collect(),
        }
    }

    /// One line each for who signed, where it is logged, who witnessed, and until when it is fresh.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(product) = self.roles.last() else { return lines };
        let ids: Vec<&str> = product.signers.iter().map(|id| id.get(..8).unwrap_or(id)).collect();
        lines.push(format!(
            "signed    {} of {} keys, {} required ({})",
            product.signers.len(),
            product.keys,
            product.threshold,
            ids.join(", ")
        ));
        if let Some(log) = &product.log {
            lines.push(format!("logged    {} entry {}, tree size {}", log.origin, log.index, log.tree_size));
            for cosigner in &log.cosigners {
                lines.push(format!("witnessed {} at {}", cosigner.name, cosigner.time));
            }
        }
        let soonest = self.roles.iter().min_by(|a, b| a.expires.cmp(&b.expires));
        if let Some(role) = soonest {
            lines.push(format!("fresh     until {} ({})", role.expires, role.role));
        }
        lines
    }
}

impl Role {
    fn new(report: &RoleReport) -> Self {
        Self {
            role: report.role.clone(),
            version: report.version,
            expires: report.expires.to_string(),
            threshold: report.threshold,
            keys: report.keys,
            signers: report.signers.clone(),
            log: report.logged.as_ref().map(|logged| Log {
                origin: logged.origin.clone(),
                index: logged.index,
                tree_size: logged.tree_size,
                cosigners: logged
                    .cosigners
                    .iter()
                    .map(|(name, time)| Cosigner { name: name.clone(), time: time.to_string() })
                    .collect(),
            }),
        }
    }
}
