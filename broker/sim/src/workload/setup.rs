//! Makes the topics, however often it takes.

use super::{OUTPUT, RETRY_AFTER, TOPIC, is_passing};
use crate::oracle::Testimony;
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::CreateTopicsRequest;
use mainstem_protocol::messages::create_topics::CreatableTopic;

const VERSION: i16 = 7;

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Setup {
    partitions: i32,
    done: bool,
}

impl Setup {
    pub(crate) fn new(partitions: i32) -> Self {
        Self { partitions, done: false }
    }
}

impl Actor for Setup {
    fn name(&self) -> String {
        "setup".to_owned()
    }

    fn timer(&mut self, port: &mut Port) -> Result<(), Broken> {
        if !self.done && !port.connected {
            port.connect();
            port.wake_after(RETRY_AFTER);
        }
        Ok(())
    }

    fn connected(&mut self, port: &mut Port) -> Result<(), Broken> {
        let topic = |name: &str| CreatableTopic {
            name: name.to_owned(),
            num_partitions: self.partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let topics = vec![topic(TOPIC), topic(OUTPUT)];
        port.send(VERSION, &CreateTopicsRequest { topics, ..CreateTopicsRequest::default() });
        Ok(())
    }

    fn disconnected(&mut self, port: &mut Port) {
        port.wake_after(RETRY_AFTER);
    }

    fn answered(&mut self, port: &mut Port, _: i32, frame: Bytes) -> Result<(), Broken> {
        let response = answer::<CreateTopicsRequest>(VERSION, frame);
        for topic in &response.topics {
            match topic.error_code {
                ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS => {}
                error if is_passing(error) => return self.connected(port),
                error => {
                    return Err(Broken::protocol(format!("{} is refused: {error:?}", topic.name)));
                }
            }
        }
        self.done = true;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn testimony(&self) -> Testimony {
        Testimony::Nothing
    }
}
