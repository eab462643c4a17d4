//! What a measurement tells: its settings, the ceilings of the same run, and its figures.
//!
//! For people three tables, for programs one JSON document with the same names.

use serde_json::{Map, Value, json};

use crate::output::{self, Listing};

/// One ceiling or floor of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Ceiling {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

/// What a figure counts. Rates are shares of a ceiling, times are multiples of a floor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    MegabytesPerSecond,
    RecordsPerSecond,
    Microseconds,
    CpuSecondsPerGigabyte,
    Bytes,
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::MegabytesPerSecond => "MB/s",
            Unit::RecordsPerSecond => "records/s",
            Unit::Microseconds => "us",
            Unit::CpuSecondsPerGigabyte => "CPU s/GB",
            Unit::Bytes => "bytes",
            Unit::Count => "",
        }
    }
}

struct Figure {
    name: &'static str,
    value: f64,
    unit: Unit,
    /// The ceiling's name and the figure's share of it.
    share: Option<(&'static str, f64)>,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Report {
    settings: Vec<(&'static str, Value)>,
    ceilings: Vec<Ceiling>,
    figures: Vec<Figure>,
}

impl Report {
    /// States a setting under which everything was measured.
    pub(crate) fn setting(&mut self, name: &'static str, value: impl Into<Value>) {
        self.settings.push((name, value.into()));
    }

    /// States a ceiling or floor, once.
    pub(crate) fn ceiling(&mut self, ceiling: Ceiling) {
        if self.ceilings.iter().all(|known| known.name != ceiling.name) {
            self.ceilings.push(ceiling);
        }
    }

    /// A figure as a share of a ceiling that has the same unit, or for another unit of `equal` in it.
    pub(crate) fn figure(&mut self, name: &'static str, value: f64, unit: Unit, of: Ceiling) {
        self.figure_scaled(name, value, unit, of, 1.0);
    }

    /// Like [`Report::figure`], for a value that has to be multiplied to be compared.
    pub(crate) fn figure_scaled(
        &mut self,
        name: &'static str,
        value: f64,
        unit: Unit,
        of: Ceiling,
        scale: f64,
    ) {
        self.ceiling(of);
        let share = Some((of.name, value * scale / of.value));
        self.figures.push(Figure { name, value, unit, share });
    }

    /// A figure that is no time and no rate, such as memory.
    pub(crate) fn amount(&mut self, name: &'static str, value: f64, unit: Unit) {
        self.figures.push(Figure { name, value, unit, share: None });
    }

    /// Prints everything.
    pub(crate) fn print(&self, json: bool) {
        if json {
            output::fact("", &self.to_json(), true);
            return;
        }
        let mut settings = Listing::new(&["setting", "value"]);
        for (name, value) in &self.settings {
            settings.row(vec![json!(name), value.clone()]);
        }
        let mut ceilings = Listing::new(&["ceiling", "value", "unit"]);
        for ceiling in &self.ceilings {
            ceilings.row(vec![
                json!(ceiling.name),
                json!(rounded(ceiling.value)),
                json!(ceiling.unit.name()),
            ]);
        }
        let mut figures = Listing::new(&["figure", "value", "unit", "share", "of"]);
        for figure in &self.figures {
            let share = figure.share.map(|(_, share)| share_text(share, figure.unit));
            figures.row(vec![
                json!(figure.name),
                json!(rounded(figure.value)),
                json!(figure.unit.name()),
                json!(share),
                json!(figure.share.map(|(of, _)| of)),
            ]);
        }
        let mut sections = Vec::new();
        for (name, listing, rows) in [
            ("settings", settings, self.settings.len()),
            ("ceilings of this machine in this run", ceilings, self.ceilings.len()),
            ("figures", figures, self.figures.len()),
        ] {
            if rows > 0 {
                sections.push((name, listing));
            }
        }
        output::sections(&sections, false);
    }

    fn to_json(&self) -> Value {
        let settings = self.settings.iter().map(|(name, value)| (key(name), value.clone()));
        let ceilings = self.ceilings.iter().map(|ceiling| {
            let value = json!({ "value": ceiling.value, "unit": ceiling.unit.name() });
            (key(ceiling.name), value)
        });
        let figures = self.figures.iter().map(|figure| {
            let value = json!({
                "value": figure.value,
                "unit": figure.unit.name(),
                "share": figure.share.map(|(_, share)| share),
                "of": figure.share.map(|(of, _)| key(of)),
            });
            (key(figure.name), value)
        });
        json!({
            "settings": settings.collect::<Map<String, Value>>(),
            "ceilings": ceilings.collect::<Map<String, Value>>(),
            "figures": figures.collect::<Map<String, Value>>(),
        })
    }
}

fn key(name: &str) -> String {
    name.replace([' ', '-', '.', ','], "_")
}

/// Rates in percent of what is possible, times as a multiple of what is needed.
fn share_text(share: f64, unit: Unit) -> String {
    match unit {
        Unit::Microseconds | Unit::CpuSecondsPerGigabyte => format!("{} x", rounded(share)),
        _ => format!("{:.1} %", share * 100.0),
    }
}

/// Three digits that say something; more would say something untrue.
fn rounded(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        magnitude if magnitude < 10.0 => format!("{value:.2}"),
        magnitude if magnitude < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ceiling, Report, Unit, rounded};
    use serde_json::json;

    #[test]
    fn a_figure_carries_its_share_its_ceiling_and_the_settings() {
        let wire = Ceiling { name: "one wire", value: 200.0, unit: Unit::MegabytesPerSecond };
        let mut report = Report::default();
        report.setting("acks", "all");
        report.figure("throughput", 50.0, Unit::MegabytesPerSecond, wire);
        assert_eq!(
            report.to_json(),
            json!({
                "settings": { "acks": "all" },
                "ceilings": { "one_wire": { "value": 200.0, "unit": "MB/s" } },
                "figures": {
                    "throughput": { "value": 50.0, "unit": "MB/s", "share": 0.25, "of": "one_wire" }
                },
            })
        );
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let texts = [0.0, 0.123, 9.876, 98.76, 987.6].map(rounded);
        assert_eq!(texts, ["0", "0.12", "9.88", "98.8", "988"]);
    }
}
