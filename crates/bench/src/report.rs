//! The tables, as Markdown.

use std::fmt::Write as _;

use crate::client::HttpVersion;
use crate::figures::Spread;
use crate::measure::Sample;
use crate::plan::{Figures, Plan, Series, Start};
use crate::proxy::{Kind, Threads};

const MISSING: &str = "not measured";

/// The sidecar beside Envoy.
pub(crate) fn sidecar(figures: &Figures, plan: &Plan) -> String {
    let mut text = format!(
        "Median [least–most] of {} interleaved repetitions, {} s each.\n\n\
         | proxy | policies | protocol | CPU µs a call | user + kernel | calls/s | p50 ms | p99 ms |\n\
         |---|---|---|---|---|---|---|---|\n",
        plan.repetitions, plan.seconds
    );
    for version in HttpVersion::BOTH {
        for Series { of: ((kind, policies), of_version), values } in &figures.saturated {
            if *of_version == version {
                let shown = sample_cells(values);
                line(
                    &mut text,
                    &format!("| {} | {} | {} | {shown} |", name(*kind), number(*policies), load(version)),
                );
            }
        }
    }
    text.push_str(
        "\n| proxy | policies | start to first 200, ms | resident MiB | of it anonymous |\n|---|---|---|---|---|\n",
    );
    for Series { of: (kind, policies), values } in &figures.starts {
        let cells = [
            cell(values, |start: &Start| start.first_answer.as_secs_f64() * 1e3),
            cell(values, |start| start.memory.resident),
            cell(values, |start| start.memory.anonymous),
        ];
        line(&mut text, &format!("| {} | {} | {} |", name(*kind), number(*policies), cells.join(" | ")));
    }
    text.push('\n');
    for (policies, started) in &figures.operators {
        let millis = started.as_millis();
        line(
            &mut text,
            &format!(
                "- Bailiwick's operator serves {millis} ms after its start (once; policies: {}).",
                number(*policies)
            ),
        );
    }
    line(&mut text, &format!("- Audit events lost in all runs of this page: {}.", figures.lost_events));
    if !figures.starts.iter().any(|series| matches!(series.of.0, Kind::Envoy { .. })) {
        line(&mut text, "- Envoy: not measured in this run, because it could not be had.");
    }
    text
}

/// One runtime for each thread, and one for all.
pub(crate) fn runtime(figures: &Figures, plan: &Plan) -> String {
    let shapes = [Threads::ONE, Threads::TWO, Threads::TWO_SHARED];
    let mut text = format!(
        "Median [least–most] of {} interleaved repetitions, {} s each, 1 policy.\n\n\
         | | current-thread, 1 | current-thread, 2 | multi-thread, 2 |\n|---|---|---|---|\n",
        plan.repetitions, plan.seconds
    );
    for version in HttpVersion::BOTH {
        let mut row =
            |what: &str, all: &[Series<(Threads, HttpVersion), Sample>], value: fn(&Sample) -> f64| {
                let cells = shapes.map(|shape| {
                    let found = all.iter().find(|series| series.of == (shape, version));
                    found.map_or_else(|| MISSING.to_owned(), |series| cell(&series.values, value))
                });
                line(&mut text, &format!("| {what}, {} | {} |", protocol(version), cells.join(" | ")));
            };
        row("CPU µs a call", &figures.threads, Sample::cpu_micros);
        row("calls/s", &figures.threads, |sample| sample.calls_a_second);
        row("p99 ms at half of what the first column can do", &figures.half, |sample| {
            sample.p99_micros / 1e3
        });
        row("CPU µs a call, then", &figures.half, Sample::cpu_micros);
    }
    let memory = shapes.map(|shape| {
        let found = figures.threads_memory.iter().find(|(of, _)| *of == shape);
        found.map_or_else(|| MISSING.to_owned(), |(_, memory)| format!("{:.1}", memory.resident))
    });
    line(&mut text, &format!("| resident MiB after the first calls (once) | {} |", memory.join(" | ")));
    text
}

fn sample_cells(values: &[Sample]) -> String {
    let median =
        |value: fn(&Sample) -> f64| Spread::of(values.iter().map(value)).map_or(f64::NAN, |s| s.median);
    let split = format!("{:.1} + {:.1}", median(|s| s.user_micros), median(|s| s.kernel_micros));
    let cells = [
        cell(values, Sample::cpu_micros),
        split,
        cell(values, |sample| sample.calls_a_second),
        cell(values, |sample| sample.p50_micros / 1e3),
        cell(values, |sample| sample.p99_micros / 1e3),
    ];
    cells.join(" | ")
}

fn cell<V>(values: &[V], value: impl Fn(&V) -> f64) -> String {
    Spread::of(values.iter().map(value)).map_or_else(|| MISSING.to_owned(), |spread| spread.to_string())
}

fn line(text: &mut String, content: &str) {
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{content}");
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Sidecar(_) => "Bailiwick",
        Kind::Envoy { access_log: false } => "Envoy 1.40",
        Kind::Envoy { access_log: true } => "Envoy 1.40 with a JSON access log",
    }
}

const fn protocol(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::Http1 => "HTTP/1.1",
        HttpVersion::Http2 => "HTTP/2",
    }
}

fn load(version: HttpVersion) -> String {
    let shape = match version {
        HttpVersion::Http1 => "16",
        HttpVersion::Http2 => "16 × 10",
    };
    format!("{}, {shape}", protocol(version))
}

/// With commas, as 10,000.
fn number(value: u32) -> String {
    let digits = value.to_string();
    let split = digits.len().saturating_sub(3);
    match digits.split_at_checked(split) {
        Some((thousands, rest)) if !thousands.is_empty() => format!("{thousands},{rest}"),
        Some(_) | None => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { repetitions: 3, seconds: 1.5, policies: 10_000 };

    fn sample(user_micros: f64) -> Sample {
        Sample {
            user_micros,
            kernel_micros: 10.0,
            calls_a_second: 20_000.0,
            p50_micros: 500.0,
            p99_micros: 1_500.0,
        }
    }

    #[test]
    fn what_was_not_measured_is_said_and_never_guessed() {
        assert!(sidecar(&Figures::default(), &PLAN).contains("- Envoy: not measured in this run"));
        let text = runtime(&Figures::default(), &PLAN);
        assert!(
            text.contains("| CPU µs a call, HTTP/1.1 | not measured | not measured | not measured |"),
            "{text}"
        );
    }

    #[test]
    fn a_row_tells_proxy_load_and_the_proxys_own_cpu() {
        let values = vec![sample(20.0), sample(22.0), sample(21.0)];
        let of = ((Kind::SIDECAR, 10_000), HttpVersion::Http2);
        let figures = Figures { saturated: vec![Series { of, values }], ..Figures::default() };
        let row = "| Bailiwick | 10,000 | HTTP/2, 16 × 10 | 31.0 [30.0–32.0] | 21.0 + 10.0 | 20000 [20000–20000] | \
                   0.50 [0.50–0.50] | 1.50 [1.50–1.50] |";
        let text = sidecar(&figures, &PLAN);
        assert!(text.contains(row), "{text}");
    }
}
