//! Rekor v2: a record in, the entry with its proof under a published checkpoint out; beside rekor-tiles.

use super::http::Load;
use super::server::Server;
use super::told::Outcome;
use super::{Bench, Row, Table};

/// The most that is taken from one address.
const OURS_CONNECTIONS: u32 = 700;
/// Its answers wait for a checkpoint a second, so the more wait, the more it answers.
const PEER_CONNECTIONS: u32 = 6_000;

const PEER: &str = "rekor-tiles 2.3.0";

pub(super) fn measure(bench: &Bench, table: &mut Table) {
    let ours = Server::ours(&bench.programs, &bench.place(), "rekor")
        .map(|server| both(bench, &server, OURS_CONNECTIONS));
    let theirs = Server::rekor_tiles(&bench.programs, &bench.place())
        .map(|server| both(bench, &server, PEER_CONNECTIONS));
    let of = |both: &Result<Both, String>, of: fn(&Both) -> &Outcome| {
        both.as_ref().map_err(Clone::clone).and_then(|both| of(both).clone())
    };
    let (lone, peers_lone) = (of(&ours, |both| &both.0), of(&theirs, |both| &both.0));
    table.add(
        Row::new("Rekor v2, one record after the other, median", "ms", lone.clone().map(|told| told.p50))
            .budget(20.0)
            .peer(PEER, Some(peers_lone.map(|told| told.p50))),
    );
    table.add(Row::new("  99 of 100", "ms", lone.map(|told| told.p99)).budget(20.0));
    let (many, peers_many) = (of(&ours, |both| &both.1), of(&theirs, |both| &both.1));
    let mut row = Row::new("Rekor v2, many records", "entries/s", many.clone().map(|told| told.rate));
    if let Ok(peers) = &peers_many {
        row = row.at_least(peers.rate * 5.0);
    }
    table.add(row.peer(PEER, Some(peers_many.clone().map(|told| told.rate))));
    table.add(
        Row::new("  wait for the answer, median", "ms", many.clone().map(|told| told.p50))
            .peer(PEER, Some(peers_many.clone().map(|told| told.p50))),
    );
    table.add(
        Row::new("  processor time of the server an entry", "us", many.and_then(|told| told.cpu()))
            .peer(PEER, Some(peers_many.and_then(|told| told.cpu()))),
    );
}

/// One record after the other, and many at once.
type Both = (Outcome, Outcome);

fn both(bench: &Bench, server: &Server, connections: u32) -> Both {
    let load = |connections, run| Load {
        kind: "rekor",
        connections,
        seconds: bench.extent.seconds(),
        rate: None,
        run,
    };
    let lone = load(1, 0).play(bench, server);
    let many = load(connections, 1).play(bench, server);
    (lone, many)
}
