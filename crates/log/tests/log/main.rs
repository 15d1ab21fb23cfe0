//! Tests of the log.

mod admission;
mod crashes;
mod fsck;
mod handover;
mod pipeline;
mod publishing;
mod reference;
mod sequencer;
mod storage;
mod support;
mod vectors;
mod witness;
