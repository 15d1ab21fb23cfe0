//! Tests of the log.

mod admission;
mod crashes;
mod duplicates;
mod fsck;
mod fsck_source;
mod handover;
mod mirror;
mod partial;
mod pipeline;
mod pipeline_crashes;
mod publishing;
mod reference;
mod repair;
mod sequencer;
mod shared;
mod shared_backends;
mod shared_crashes;
mod shared_schedules;
mod shared_stage;
mod storage;
mod support;
mod vectors;
mod wal;
mod witness;
mod witness_logs;
mod witness_state;
