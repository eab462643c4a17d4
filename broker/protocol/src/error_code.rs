//! The error codes of the protocol.
//!
//! A code is a newtype and not an enum: a peer may be newer and send a code that has no name here,
//! and such a code must survive being read, logged and passed on. `retry` marks the codes after
//! which the same request may succeed later, as clients of Kafka understand them.

use std::fmt;

/// An error code as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

macro_rules! error_codes {
    ($($code:literal $name:ident $retry:ident $message:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $message] pub const $name: ErrorCode = ErrorCode($code);)*

            /// Every code that has a name, in order.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode($code)),*];

            const fn row(self) -> Option<(&'static str, &'static str, Retry)> {
                match self.0 {
                    $($code => Some((stringify!($name), $message, Retry::$retry)),)*
                    _ => None,
                }
            }
        }
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the variants are words of the table below")]
enum Retry {
    retry,
    fatal,
}

impl ErrorCode {
    /// Kafka's name of the code.
    pub const fn name(self) -> &'static str {
        match self.row() {
            Some((name, _, _)) => name,
            None => "UNKNOWN_ERROR_CODE",
        }
    }

    /// What happened, in a sentence without a capital or a full stop.
    pub const fn message(self) -> &'static str {
        match self.row() {
            Some((_, message, _)) => message,
            None => "the code is not known",
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_retriable(self) -> bool {
        matches!(self.row(), Some((_, _, Retry::retry)))
    }

    /// Whether nothing went wrong.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// Whether something went wrong.
    pub const fn is_error(self) -> bool {
        self.0 != 0
    }
}

impl Default for ErrorCode {
    fn default() -> ErrorCode {
        ErrorCode::NONE
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

error_codes! {
    -1 UNKNOWN_SERVER_ERROR fatal "the server failed in an unforeseen way";
    0 NONE fatal "no error";
    1 OFFSET_OUT_OF_RANGE fatal "the offset lies outside of the log";
    2 CORRUPT_MESSAGE retry "the message is corrupt, or lacks the key that compaction needs";
    3 UNKNOWN_TOPIC_OR_PARTITION retry "the broker does not have this partition";
    4 INVALID_FETCH_SIZE fatal "the fetch size makes no sense";
    5 LEADER_NOT_AVAILABLE retry "the partition has no leader at the moment";
    6 NOT_LEADER_OR_FOLLOWER retry
        "the broker is not the leader, or has no replica, of the partition";
    7 REQUEST_TIMED_OUT retry "the request was not done in time";
    8 BROKER_NOT_AVAILABLE fatal "the broker is not available";
    9 REPLICA_NOT_AVAILABLE retry "the replica is not available";
    10 MESSAGE_TOO_LARGE fatal "the message is larger than the broker accepts";
    11 STALE_CONTROLLER_EPOCH fatal "the controller has moved";
    12 OFFSET_METADATA_TOO_LARGE fatal "the metadata of the committed offset is too large";
    13 NETWORK_EXCEPTION retry "the connection ended before the response";
    14 COORDINATOR_LOAD_IN_PROGRESS retry "the coordinator is loading its state";
    15 COORDINATOR_NOT_AVAILABLE retry "the coordinator is not available";
    16 NOT_COORDINATOR retry "this broker does not coordinate this group or transaction";
    17 INVALID_TOPIC_EXCEPTION fatal "the topic name is not allowed here";
    18 RECORD_LIST_TOO_LARGE fatal "the batch is larger than a segment may be";
    19 NOT_ENOUGH_REPLICAS retry "too few replicas are in sync to accept the write";
    20 NOT_ENOUGH_REPLICAS_AFTER_APPEND retry "the write was done, but on too few replicas";
    21 INVALID_REQUIRED_ACKS fatal "acks must be -1, 0 or 1";
    22 ILLEGAL_GENERATION fatal "the generation of the group is another one";
    23 INCONSISTENT_GROUP_PROTOCOL fatal
        "the protocols of the member do not fit those of the group";
    24 INVALID_GROUP_ID fatal "the group id is not allowed";
    25 UNKNOWN_MEMBER_ID fatal "the coordinator does not know this member";
    26 INVALID_SESSION_TIMEOUT fatal "the session timeout is outside of the allowed range";
    27 REBALANCE_IN_PROGRESS fatal "the group rebalances: join it again";
    28 INVALID_COMMIT_OFFSET_SIZE fatal "the committed offsets are too large to be stored";
    29 TOPIC_AUTHORIZATION_FAILED fatal "access to the topic is denied";
    30 GROUP_AUTHORIZATION_FAILED fatal "access to the group is denied";
    31 CLUSTER_AUTHORIZATION_FAILED fatal "access to the cluster is denied";
    32 INVALID_TIMESTAMP fatal "the timestamp is outside of the accepted range";
    33 UNSUPPORTED_SASL_MECHANISM fatal "the SASL mechanism is not supported";
    34 ILLEGAL_SASL_STATE fatal "the request does not fit the state of the SASL exchange";
    35 UNSUPPORTED_VERSION fatal "the broker does not support this version of the API";
    36 TOPIC_ALREADY_EXISTS fatal "a topic of this name exists";
    37 INVALID_PARTITIONS fatal "a topic needs at least one partition, and can only gain some";
    38 INVALID_REPLICATION_FACTOR fatal
        "the replication factor is below 1 or above the number of brokers";
    39 INVALID_REPLICA_ASSIGNMENT fatal "the assignment of replicas is wrong";
    40 INVALID_CONFIG fatal "a configuration value is wrong";
    41 NOT_CONTROLLER retry "this is not the controller";
    42 INVALID_REQUEST fatal "the request makes no sense";
    43 UNSUPPORTED_FOR_MESSAGE_FORMAT fatal "the message format is too old for the request";
    44 POLICY_VIOLATION fatal "the request violates a policy";
    45 OUT_OF_ORDER_SEQUENCE_NUMBER fatal "a sequence number is missing before this one";
    46 DUPLICATE_SEQUENCE_NUMBER fatal "the sequence number was used before";
    47 INVALID_PRODUCER_EPOCH fatal "the producer epoch is outdated";
    48 INVALID_TXN_STATE fatal "the transaction is not in a state that allows this";
    49 INVALID_PRODUCER_ID_MAPPING fatal "the producer id does not belong to the transactional id";
    50 INVALID_TRANSACTION_TIMEOUT fatal "the transaction timeout is longer than allowed";
    51 CONCURRENT_TRANSACTIONS retry "another operation on the transaction has not ended yet";
    52 TRANSACTION_COORDINATOR_FENCED fatal
        "the transaction coordinator that wrote this is outdated";
    53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED fatal "access to the transactional id is denied";
    54 SECURITY_DISABLED fatal "security is switched off";
    55 OPERATION_NOT_ATTEMPTED fatal "the operation was not tried";
    56 KAFKA_STORAGE_ERROR retry "the storage of the broker failed";
    57 LOG_DIR_NOT_FOUND fatal "the log directory is not known";
    58 SASL_AUTHENTICATION_FAILED fatal "authentication failed";
    59 UNKNOWN_PRODUCER_ID fatal "nothing is known about the producer id";
    60 REASSIGNMENT_IN_PROGRESS fatal "the partition is being reassigned";
    61 DELEGATION_TOKEN_AUTH_DISABLED fatal "delegation tokens are switched off";
    62 DELEGATION_TOKEN_NOT_FOUND fatal "the delegation token is not known";
    63 DELEGATION_TOKEN_OWNER_MISMATCH fatal "the principal does not own the delegation token";
    64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED fatal
        "delegation tokens cannot be requested on this connection";
    65 DELEGATION_TOKEN_AUTHORIZATION_FAILED fatal "access to the delegation token is denied";
    66 DELEGATION_TOKEN_EXPIRED fatal "the delegation token has expired";
    67 INVALID_PRINCIPAL_TYPE fatal "the type of the principal is not supported";
    68 NON_EMPTY_GROUP fatal "the group has members";
    69 GROUP_ID_NOT_FOUND fatal "the group does not exist";
    70 FETCH_SESSION_ID_NOT_FOUND retry "the fetch session does not exist";
    71 INVALID_FETCH_SESSION_EPOCH retry "the epoch of the fetch session is another one";
    72 LISTENER_NOT_FOUND retry "the leader does not have this listener";
    73 TOPIC_DELETION_DISABLED fatal "deletion of topics is switched off";
    74 FENCED_LEADER_EPOCH retry "the leader epoch of the request is older than that of the broker";
    75 UNKNOWN_LEADER_EPOCH retry
        "the leader epoch of the request is newer than that of the broker";
    76 UNSUPPORTED_COMPRESSION_TYPE fatal "the client cannot read the compression of the partition";
    77 STALE_BROKER_EPOCH fatal "the epoch of the broker is another one";
    78 OFFSET_NOT_AVAILABLE retry "the leader does not know yet how far its log is valid";
    79 MEMBER_ID_REQUIRED fatal "join again with the member id of this response";
    80 PREFERRED_LEADER_NOT_AVAILABLE retry "the preferred leader is not available";
    81 GROUP_MAX_SIZE_REACHED fatal "the group is full";
    82 FENCED_INSTANCE_ID fatal "another member took over the group instance id";
    83 ELIGIBLE_LEADERS_NOT_AVAILABLE retry "no eligible leader is available";
    84 ELECTION_NOT_NEEDED retry "no election is needed";
    85 NO_REASSIGNMENT_IN_PROGRESS fatal "no reassignment is going on";
    86 GROUP_SUBSCRIBED_TO_TOPIC fatal "the group is subscribed to the topic";
    87 INVALID_RECORD fatal "the record was refused by validation";
    88 UNSTABLE_OFFSET_COMMIT retry "offsets of an open transaction are pending";
    89 THROTTLING_QUOTA_EXCEEDED retry "a quota is used up";
    90 PRODUCER_FENCED fatal "a newer producer with the same transactional id has taken over";
    91 RESOURCE_NOT_FOUND fatal "the resource does not exist";
    92 DUPLICATE_RESOURCE fatal "the resource is named twice";
    93 UNACCEPTABLE_CREDENTIAL fatal "the credential is not acceptable";
    94 INCONSISTENT_VOTER_SET fatal "the voters are not those expected";
    95 INVALID_UPDATE_VERSION fatal "the update version makes no sense";
    96 FEATURE_UPDATE_FAILED fatal "the features could not be updated";
    97 PRINCIPAL_DESERIALIZATION_FAILURE fatal "the principal could not be read";
    98 SNAPSHOT_NOT_FOUND fatal "the snapshot does not exist";
    99 POSITION_OUT_OF_RANGE fatal "the position lies outside of the snapshot";
    100 UNKNOWN_TOPIC_ID retry "the broker does not have a topic of this id";
    101 DUPLICATE_BROKER_REGISTRATION fatal "the broker id is in use";
    102 BROKER_ID_NOT_REGISTERED fatal "the broker id is not registered";
    103 INCONSISTENT_TOPIC_ID retry "the topic id is not that of the log";
    104 INCONSISTENT_CLUSTER_ID fatal "the cluster id is another one";
    105 TRANSACTIONAL_ID_NOT_FOUND fatal "the transactional id is not known";
    106 FETCH_SESSION_TOPIC_ID_ERROR retry
        "topic ids were used inconsistently in the fetch session";
    107 INELIGIBLE_REPLICA fatal "a replica is not eligible to be in sync";
    108 NEW_LEADER_ELECTED fatal "the partition was changed and has a new leader";
    109 OFFSET_MOVED_TO_TIERED_STORAGE fatal "the offset lies in tiered storage";
    110 FENCED_MEMBER_EPOCH fatal
        "the member epoch is fenced: give up all partitions and join again";
    111 UNRELEASED_INSTANCE_ID fatal "the instance id is still used by another member";
    112 UNSUPPORTED_ASSIGNOR fatal "the assignor is not supported";
    113 STALE_MEMBER_EPOCH fatal "the member epoch is outdated";
    114 MISMATCHED_ENDPOINT_TYPE fatal "the request went to the wrong kind of endpoint";
    115 UNSUPPORTED_ENDPOINT_TYPE fatal "this kind of endpoint is not supported";
    116 UNKNOWN_CONTROLLER_ID fatal "the controller id is not known";
    117 UNKNOWN_SUBSCRIPTION_ID fatal "the telemetry subscription is not known";
    118 TELEMETRY_TOO_LARGE fatal "the telemetry is too large";
    119 INVALID_REGISTRATION fatal "the broker registration is refused";
    120 TRANSACTION_ABORTABLE fatal "the transaction failed: abort it and go on";
    121 INVALID_RECORD_STATE fatal "the record is not in a state that allows this";
    122 SHARE_SESSION_NOT_FOUND retry "the share session does not exist";
    123 INVALID_SHARE_SESSION_EPOCH retry "the epoch of the share session is another one";
    124 FENCED_STATE_EPOCH fatal "the state epoch of the share group is outdated";
    125 INVALID_VOTER_KEY fatal "the key of the voter is another one";
    126 DUPLICATE_VOTER fatal "the voter is in the set already";
    127 VOTER_NOT_FOUND fatal "the voter is not in the set";
    128 INVALID_REGULAR_EXPRESSION fatal "the regular expression is not valid";
    129 REBOOTSTRAP_REQUIRED fatal "the metadata of the client is outdated: bootstrap again";
    130 STREAMS_INVALID_TOPOLOGY fatal "the topology is not valid";
    131 STREAMS_INVALID_TOPOLOGY_EPOCH fatal "the epoch of the topology is not valid";
    132 STREAMS_TOPOLOGY_FENCED fatal "the epoch of the topology is outdated";
    133 SHARE_SESSION_LIMIT_REACHED retry "there are too many share sessions";
}
