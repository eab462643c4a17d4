//! What a configuration is: a row of the tables.

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
    IntWithin {
        min: i32,
        max: i32,
    },
    LongWithin {
        min: i64,
        max: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Words out of these, separated by commas.
    List(&'static [&'static str]),
    /// Any text.
    Text,
}

impl Kind {
    /// The type's number in DescribeConfigs.
    pub fn wire_number(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Choice(_) | Self::Text => 2,
            Self::Int { .. } | Self::IntWithin { .. } => 3,
            Self::Long { .. } | Self::LongWithin { .. } => 5,
            Self::Double { .. } => 6,
            Self::List(_) => 7,
        }
    }

    /// Which values there are, in words; empty for all of the type.
    pub fn range(self) -> String {
        let least = |min: &dyn std::fmt::Display| format!("at least {min}");
        match self {
            Self::Boolean => "true, false".to_owned(),
            Self::Int { min } => least(&min),
            Self::Long { min } => least(&min),
            Self::IntWithin { min, max } => format!("{min} to {max}"),
            Self::LongWithin { min, max } => format!("{min} to {max}"),
            Self::Double { min, max } => format!("{min} to {max}"),
            Self::Choice(words) => words.join(", "),
            Self::List(words) => words.join(", "),
            Self::Text => String::new(),
        }
    }

    /// The type's name in Kafka's documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Choice(_) | Self::Text => "string",
            Self::Int { .. } | Self::IntWithin { .. } => "int",
            Self::Long { .. } | Self::LongWithin { .. } => "long",
            Self::Double { .. } => "double",
            Self::List(_) => "list",
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

/// One configuration of a topic or of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    /// As text, in the form in which clients see it.
    pub default: &'static str,
    /// Name of the broker-wide setting that a topic or group inherits from; empty for none.
    pub broker_name: &'static str,
    pub effect: Effect,
    pub documentation: &'static str,
}

/// Whether a broker takes a new value while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// At its start only.
    ReadOnly,
    /// At once: for all brokers together or for one.
    ClusterWide,
}

/// One configuration of a broker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrokerDefinition {
    pub name: &'static str,
    pub kind: Kind,
    /// As text; `None` for no value.
    pub default: Option<&'static str>,
    pub update: Update,
    pub effect: Effect,
    /// The topic or group configuration that this is the broker's default of.
    pub default_of: Option<&'static str>,
    pub documentation: &'static str,
}

/// What a value must keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    pub(super) effect: Effect,
}

impl Definition {
    pub(super) fn rule(&self) -> Rule {
        Rule { name: self.name, kind: self.kind, default: self.default, effect: self.effect }
    }
}

impl BrokerDefinition {
    pub(super) fn rule(&self) -> Rule {
        let default = self.default.unwrap_or_default();
        Rule { name: self.name, kind: self.kind, default, effect: self.effect }
    }

    /// Whether a client may change it.
    pub fn is_dynamic(&self) -> bool {
        self.update == Update::ClusterWide && self.effect == Effect::Honoured
    }
}

/// The unit of a configuration, by its name; empty where there is none.
pub fn unit(name: &str) -> &'static str {
    let units = [("ms", "ms"), ("minutes", "min"), ("bytes", "bytes"), ("ratio", "share")];
    let last = name.rsplit('.').next().unwrap_or_default();
    units.iter().find(|(word, _)| *word == last).map_or("", |(_, unit)| unit)
}
