//! Moves partitions to and fro between the log directories, whatever else happens.

use super::TOPIC;
use crate::oracle::Testimony;
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_platform::Random;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::AlterReplicaLogDirsRequest;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use std::time::Duration;

const VERSION: i16 = 2;
const PAUSE: Duration = Duration::from_millis(60);

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Mover {
    dirs: [&'static str; 2],
    partitions: i32,
}

impl Mover {
    pub(crate) fn new(dirs: [&'static str; 2], partitions: i32) -> Self {
        Self { dirs, partitions }
    }
}

impl Actor for Mover {
    fn name(&self) -> String {
        "mover".to_owned()
    }

    fn timer(&mut self, port: &mut Port) -> Result<(), Broken> {
        port.wake_after(PAUSE);
        if !port.connected {
            port.connect();
            return Ok(());
        }
        let partition = port.random.below(self.partitions.unsigned_abs().into()) as i32;
        let path = self.dirs[port.random.below(2) as usize].to_owned();
        port.remark(format_args!("moves {partition} to {path}"));
        let topic = AlterReplicaLogDirTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
        let dir = AlterReplicaLogDir { path, topics: vec![topic] };
        port.send(VERSION, &AlterReplicaLogDirsRequest { dirs: vec![dir] });
        Ok(())
    }

    fn connected(&mut self, _: &mut Port) -> Result<(), Broken> {
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Port) {}

    fn answered(&mut self, _: &mut Port, _: i32, frame: Bytes) -> Result<(), Broken> {
        let response = answer::<AlterReplicaLogDirsRequest>(VERSION, frame);
        match response.results[0].partitions[0].error_code {
            ErrorCode::NONE | ErrorCode::KAFKA_STORAGE_ERROR => Ok(()),
            error => Err(Broken::protocol(format!("a move is refused: {error:?}"))),
        }
    }

    fn is_done(&self) -> bool {
        true
    }

    fn testimony(&self) -> Testimony {
        Testimony::Nothing
    }
}
