//! What a topic configuration is: a row of the table.

/// Type of a value, with its limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Boolean,
    Int {
        min: i32,
    },
    Long {
        min: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Words out of these, separated by commas.
    List(&'static [&'static str]),
}

impl Kind {
    /// The type's number in DescribeConfigs.
    pub fn wire_number(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Choice(_) => 2,
            Self::Int { .. } => 3,
            Self::Long { .. } => 5,
            Self::Double { .. } => 6,
            Self::List(_) => 7,
        }
    }
}

/// What setting the value does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The broker acts on it.
    Honoured,
    /// The default is the only value, for this reason.
    Fixed(&'static str),
}

/// One topic configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    /// As text, in the form in which clients see it.
    pub default: &'static str,
    /// Name of the broker-wide setting that a topic inherits from.
    pub broker_name: &'static str,
    pub effect: Effect,
    pub documentation: &'static str,
}
