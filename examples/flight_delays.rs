//! Delays per airline and day: a Streams application over real flights, exactly once.
//!
//! ```text
//! flights (carrier -> flight, Avro) --+
//!                                     +-- join -- by airline name -- windows of one UTC day -->
//! airlines (carrier -> name, Avro) ---+      delays-by-airline-day (airline -> delays, Avro)
//! ```
//!
//! How the parts of this program answer for its result:
//! - The airlines are read as a bounded table: no flight is joined before the end-of-stream record
//!   of the airlines' partition has been reached, so none misses its name.
//! - Watermarks are on, so a day closes when every one of the flights' partitions has passed it, by
//!   the grace. One partition being faster than another makes nothing late.
//! - Who writes the flights ends each partition with an end-of-stream record. It closes the last
//!   days by the same rule that closed the others.
//! - Outputs, state and offsets are committed together; a kill at any point loses and doubles
//!   nothing.
//!
//! It ends by itself, with 0, when everything up to the end of the stream is committed, and with 1
//! if a flight came too late for its day. On standard output it says, one JSON object a line, how
//! far it is: `processed` (flights taken since the start) and `complete`.
//!
//! Options: `--bootstrap`, `--registry`, `--state-dir`, `--grace-hours`, `--threads`; or the
//! environment: `MAINSTEM_BOOTSTRAP` and so on.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program says how far it is")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstem_streams::{App, Builder, Config, Consumed, StreamsError, Tumbling, Windowed, data};
use serde::{Deserialize, Serialize};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often progress is told.
const TELL_INTERVAL: Duration = Duration::from_millis(50);

/// Of a flight's nineteen columns, the two that matter here; Avro leaves out the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flight {
    /// None: the flight was cancelled.
    dep_time: Option<i32>,
    /// Minutes; negative is early.
    dep_delay: Option<i32>,
}

const FLIGHT_SCHEMA: &str = r#"{"type": "record", "name": "flights", "fields": [
    {"name": "dep_time", "type": ["null", "int"], "default": null},
    {"name": "dep_delay", "type": ["null", "int"], "default": null}]}"#;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Airline {
    name: String,
}

const AIRLINE_SCHEMA: &str = r#"{"type": "record", "name": "airlines", "fields": [
    {"name": "name", "type": "string"}]}"#;

/// A flight under its airline's name.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Departure {
    airline: String,
    is_cancelled: bool,
    delay_min: Option<i32>,
}

/// The flights of one airline and day so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Totals {
    flights: u32,
    cancelled: u32,
    /// Flights with a known delay; the mean is over these.
    delayed: u32,
    delay_sum_min: i64,
    delay_max_min: Option<i32>,
}

impl Totals {
    fn add(&mut self, departure: &Departure) {
        self.flights += 1;
        self.cancelled += u32::from(departure.is_cancelled);
        if let Some(delay_min) = departure.delay_min {
            self.delayed += 1;
            self.delay_sum_min += i64::from(delay_min);
            self.delay_max_min = self.delay_max_min.max(Some(delay_min));
        }
    }
}

/// The final result for one airline and day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Delays {
    airline: String,
    day: String,
    flights: i32,
    cancelled: i32,
    delay_sum_min: i64,
    delay_mean_min: Option<f64>,
    delay_max_min: Option<i32>,
}

const DELAYS_SCHEMA: &str = r#"{"type": "record", "name": "delays_by_airline_day", "fields": [
    {"name": "airline", "type": "string"},
    {"name": "day", "type": "string"},
    {"name": "flights", "type": "int"},
    {"name": "cancelled", "type": "int"},
    {"name": "delay_sum_min", "type": "long"},
    {"name": "delay_mean_min", "type": ["null", "double"], "default": null},
    {"name": "delay_max_min", "type": ["null", "int"], "default": null}]}"#;

data!(avro: Flight = FLIGHT_SCHEMA, Airline = AIRLINE_SCHEMA, Delays = DELAYS_SCHEMA);
data!(json: Departure, Totals);

impl Delays {
    fn of(airline: &str, day: String, totals: &Totals) -> Delays {
        let mean = totals.delay_sum_min as f64 / f64::from(totals.delayed);
        Delays {
            airline: airline.to_owned(),
            day,
            flights: i32::try_from(totals.flights).unwrap_or(i32::MAX),
            cancelled: i32::try_from(totals.cancelled).unwrap_or(i32::MAX),
            delay_sum_min: totals.delay_sum_min,
            delay_mean_min: (totals.delayed > 0).then_some(mean),
            delay_max_min: totals.delay_max_min,
        }
    }
}

/// What the program counts as it goes.
#[derive(Clone, Default)]
struct Progress {
    flights: Arc<AtomicU64>,
    results: Arc<AtomicU64>,
}

fn topology(builder: &Builder, grace: Duration, progress: &Progress) {
    let airlines: Consumed<String, Airline> = "airlines".into();
    let airlines = builder.table(airlines.bounded(), "airlines");
    let (flights, results) = (progress.flights.clone(), progress.results.clone());
    builder
        .stream::<String, Flight>("flights")
        .peek(move |_, _| {
            flights.fetch_add(1, Ordering::Relaxed);
        })
        .join_table(&airlines, |_, flight, airline| Departure {
            airline: airline.name.clone(),
            is_cancelled: flight.dep_time.is_none(),
            delay_min: flight.dep_delay,
        })
        .group_by("by-airline", |_, departure| departure.airline.clone())
        .windowed(Tumbling::of(DAY).grace(grace))
        .emit_final()
        .aggregate("delays", Totals::default, |_, departure, totals| totals.add(departure))
        .to_stream()
        .map(|window: Windowed<String>, totals| {
            let delays = Delays::of(&window.key, date(window.start), &totals);
            (window.key, delays)
        })
        .peek(move |_, _| {
            results.fetch_add(1, Ordering::Relaxed);
        })
        .to("delays-by-airline-day");
}

/// The UTC date of a time in milliseconds, as `2013-01-31`.
fn date(time_ms: i64) -> String {
    // Days are counted from 1 March of year 0, so that leap days are last in their years; 400
    // years have 146,097 days.
    let days = time_ms.div_euclid(24 * 3600 * 1000) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// An option from the command line, or from the environment, or its default.
fn option(name: &str, default: &str) -> String {
    let flag = format!("--{name}");
    let given = std::env::args().skip_while(|argument| *argument != flag).nth(1);
    let variable = format!("MAINSTEM_{}", name.to_uppercase().replace('-', "_"));
    given.or_else(|| std::env::var(variable).ok()).unwrap_or_else(|| default.to_owned())
}

fn number(name: &str, default: u32) -> Result<u32, StreamsError> {
    let text = option(name, &default.to_string());
    text.parse().map_err(|_| StreamsError::Config(format!("--{name}: {text} is not a number")))
}

async fn run() -> Result<bool, StreamsError> {
    let grace = Duration::from_secs(3600 * u64::from(number("grace-hours", 24)?));
    let progress = Progress::default();
    let builder = Builder::new().with_watermarks();
    topology(&builder, grace, &progress);
    let config = Config::new("flight-delays", &option("bootstrap", "127.0.0.1:9092"))
        .schema_registry(&option("registry", "http://127.0.0.1:8081"))
        .state_dir(option("state-dir", "streams-state"))
        .threads(number("threads", 1)? as usize);
    let started = Instant::now();
    let app = App::start(builder.build()?, config).await?;
    let told = tokio::select! {
        ended = app.ended() => ended,
        never = tell(&progress) => never,
    };
    told?;
    let (flights, late) = (progress.flights.load(Ordering::Relaxed), app.counters().late);
    app.close().await?;
    println!(r#"{{"event":"processed","flights":{flights}}}"#);
    let results = progress.results.load(Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    let rate = (flights as f64 / seconds).round();
    print!(r#"{{"event":"complete","flights":{flights},"results":{results},"late":{late},"#);
    println!(r#""seconds":{seconds:.2},"flights_per_second":{rate}}}"#);
    Ok(late == 0)
}

/// Says whenever more has been processed; never ends.
async fn tell(progress: &Progress) -> Result<(), StreamsError> {
    let mut told = 0;
    loop {
        tokio::time::sleep(TELL_INTERVAL).await;
        let flights = progress.flights.load(Ordering::Relaxed);
        if flights > told {
            println!(r#"{{"event":"processed","flights":{flights}}}"#);
            told = flights;
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::new(option("log", "info")))
        .init();
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("flights came too late for their day; give --grace-hours more");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstem_streams::TestDriver;

    #[test]
    fn days_are_named_by_their_utc_date() {
        let day = 24 * 3600 * 1000;
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_356_998_400_000), "2013-01-01");
        assert_eq!(date(1_356_998_400_000 - 1), "2012-12-31");
        assert_eq!(date(1_356_998_400_000 + 58 * day), "2013-02-28");
        assert_eq!(date(951_782_400_000), "2000-02-29");
        assert_eq!(date(1_388_534_400_000 - day), "2013-12-31");
    }

    #[test]
    fn the_last_day_comes_out_when_every_partition_has_ended() {
        let builder = Builder::new().with_watermarks();
        topology(&builder, Duration::from_secs(3600), &Progress::default());
        let topology = builder.build().expect("a good topology");
        let driver = TestDriver::with_partitions(topology, &[("flights", 2), ("airlines", 2)]);
        let flights = driver.input::<String, Flight>("flights");
        let airlines = driver.input::<String, Airline>("airlines");
        let (new_year, hour) = (1_356_998_400_000, 3_600_000);
        let flight = |dep_time, dep_delay| Flight { dep_time, dep_delay };
        flights.send("UA".to_owned(), flight(Some(517), Some(2)), new_year + 10 * hour);
        flights.send("UA".to_owned(), flight(None, None), new_year + 9 * hour);
        flights.send("UA".to_owned(), flight(Some(900), Some(40)), new_year + 11 * hour);
        flights.send("AA".to_owned(), flight(None, None), new_year + 30 * hour);
        for (code, name) in [("UA", "United Air Lines Inc."), ("AA", "American Airlines Inc.")] {
            airlines.send(code.to_owned(), Airline { name: name.to_owned() }, 2 * new_year);
        }
        driver.end("airlines");
        let output = driver.output::<String, Delays>("delays-by-airline-day");
        assert_eq!(output.drain(), [], "a partition of the flights may still have earlier ones");
        driver.end("flights");
        let mut results: Vec<Delays> = output.drain().into_iter().map(|(_, d, _)| d).collect();
        results.sort_by(|left, right| left.day.cmp(&right.day));
        let united = Totals {
            flights: 3,
            cancelled: 1,
            delayed: 2,
            delay_sum_min: 42,
            delay_max_min: Some(40),
        };
        let american = Totals { flights: 1, cancelled: 1, ..Totals::default() };
        let expected = [
            Delays::of("United Air Lines Inc.", "2013-01-01".to_owned(), &united),
            Delays::of("American Airlines Inc.", "2013-01-02".to_owned(), &american),
        ];
        assert_eq!(results, expected);
        assert_eq!((results[0].delay_mean_min, results[1].delay_mean_min), (Some(21.0), None));
        assert!(driver.is_ended());
    }
}
