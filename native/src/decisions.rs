//! Writes decisions about rows that were read: outcome, reasons, JSON, and what is kept of each.
//!
//! Thresholds, rules, sentences and the layout of a decision are data, so none is named here. All
//! texts of a form are JSON already, without quotation marks. `scoring/core/decide.py` says what a
//! decision is; tests compare the bytes of both.

use serde::Deserialize;

use crate::error::{EngineError, Result};
use crate::row_reader::{ReadRow, RowReader};
use crate::values::Value;

/// Significant digits of a value with a fraction in a reason.
const VALUE_DIGITS: usize = 3;
/// Digits after the point of a score in a reason.
const SCORE_DIGITS: usize = 3;
/// Fixed-point notation is used from this power of ten on, as by `%g`.
const FIXED_POWER_MIN: i32 = -4;

/// One outcome and the scores that lead to it.
#[derive(Debug, Deserialize)]
struct Band {
    name: String,
    /// A score above it leads to this outcome or a higher one.
    above: Option<f64>,
    /// The reason, before and after the score.
    sentence: (String, String),
    /// The reason to add if no rule matches.
    no_rule: Option<String>,
}

/// A rule that a row may match.
#[derive(Debug, Deserialize)]
struct Rule {
    /// Position of its feature in a row.
    feature: usize,
    low: f64,
    width: f64,
    weight: f64,
    /// Its text, before and after the feature's value.
    text: (String, String),
}

/// A part of a decision: a text, or what takes its place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Text(String),
    /// One of the row's wanted fields.
    Wanted(usize),
    Outcome,
    Score,
    Features,
    /// Further members of the features, behind a comma.
    MoreFeatures,
    Partition,
    Offset,
    Approximate,
    Degraded,
    Reasons,
    Timestamp,
    Computed,
    Now,
    BatchTime,
    Matched,
    Repeated,
    VectorDigest,
    /// Further members of the decision, behind a comma.
    More,
}

#[derive(Debug, Deserialize)]
struct FormJson {
    /// By rising threshold; the first has none.
    bands: Vec<Band>,
    rules: Vec<Rule>,
    rules_max: usize,
    /// What comes before the text of a rule among the reasons.
    rule_start: String,
    parts: Vec<Part>,
}

/// How decisions of one model by one policy are made and written.
#[derive(Debug)]
pub struct DecisionForm {
    form: FormJson,
}

/// What is known of a row besides the row itself.
#[derive(Debug, Clone)]
pub struct Scored {
    /// Its score, 0 to 1.
    pub score: f64,
    /// Hexadecimal digest of its vector.
    pub vector_digest: String,
    /// Partition of the row's record.
    pub partition: u16,
    /// Offset of the row's record, at most 48 bits.
    pub offset: u64,
    /// Of the outcomes, by rising threshold.
    pub outcome: u8,
    /// A further reason.
    pub reason: Option<String>,
    /// Values that the row does not have.
    pub batch: Option<Batch>,
}

/// Values of a row that come from elsewhere.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Further members of the features, behind a comma.
    pub more_features: Vec<u8>,
    /// The time of the values as JSON.
    pub time: Vec<u8>,
    /// What is kept of them.
    pub kept: Vec<u8>,
}

/// What all decisions of one call have in common.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// When they were made, ms since 1970 UTC, as JSON.
    pub now: &'a [u8],
    /// A list of words as JSON.
    pub degraded: &'a [u8],
    /// Further members of the decision, behind a comma.
    pub more: &'a [u8],
}

impl DecisionForm {
    /// Reads a form from JSON, for the rows of a reader.
    pub fn from_json(json: &str, reader: &RowReader) -> Result<Self> {
        let form: FormJson = serde_json::from_str(json)
            .map_err(|error| EngineError::Value(format!("not the form of a decision: {error}")))?;
        let has_first = form.bands.first().is_some_and(|band| band.above.is_none());
        let has_others = form.bands.iter().skip(1).all(|band| band.above.is_some());
        let wanted = form.parts.iter().all(|part| match part {
            Part::Wanted(at) => *at < reader.wanted_len(),
            _ => true,
        });
        let rules = form
            .rules
            .iter()
            .all(|rule| rule.feature < reader.features_len());
        if !(has_first && has_others && wanted && rules && form.bands.len() < 256) {
            return Err(EngineError::Value(
                "not the form of a decision about such rows".into(),
            ));
        }
        Ok(DecisionForm { form })
    }

    /// The outcome of a score, as the position of its band; `None` if it is no score.
    pub fn outcome(&self, score: f64) -> Option<u8> {
        if !(0.0..=1.0).contains(&score) {
            return None;
        }
        Some(self.band(score) as u8)
    }

    fn band(&self, score: f64) -> usize {
        let is_above = |band: &Band| band.above.is_none_or(|above| score > above);
        self.form.bands.iter().rposition(is_above).unwrap_or(0)
    }

    /// Appends the decision about a row.
    pub fn write(
        &self,
        reader: &RowReader,
        (row, bytes): (&ReadRow, &[u8]),
        scored: &Scored,
        common: Common<'_>,
        out: &mut Vec<u8>,
    ) {
        let matched = self.matched(row);
        let batch = scored.batch.as_ref();
        for part in &self.form.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Wanted(at) => out.extend_from_slice(reader.wanted_text(row, bytes, *at)),
                Part::Outcome => {
                    let band = self.form.bands.get(usize::from(scored.outcome));
                    out.extend_from_slice(band.map_or("", |band| &band.name).as_bytes());
                }
                Part::Score => {
                    let mut buffer = ryu::Buffer::new();
                    out.extend_from_slice(buffer.format_finite(scored.score).as_bytes());
                }
                Part::Features => out.extend_from_slice(&bytes[row.features_text.clone()]),
                Part::MoreFeatures => {
                    out.extend_from_slice(batch.map_or(b"", |batch| &batch.more_features));
                }
                Part::Partition => write_integer(out, u64::from(scored.partition)),
                Part::Offset => write_integer(out, scored.offset),
                Part::Approximate => out.extend_from_slice(&bytes[row.approximate_text.clone()]),
                Part::Degraded => out.extend_from_slice(common.degraded),
                Part::Reasons => self.write_reasons(scored, &matched, out),
                Part::Timestamp => out.extend_from_slice(&bytes[row.timestamp_text.clone()]),
                Part::Computed => out.extend_from_slice(&bytes[row.computed_text.clone()]),
                Part::Now => out.extend_from_slice(common.now),
                Part::BatchTime => out.extend_from_slice(batch.map_or(b"null", |b| &b.time)),
                Part::Matched => write_list(out, matched.iter().map(|text| ("", text.as_str()))),
                Part::Repeated => reader.repeated(row, bytes, out),
                Part::VectorDigest => out.extend_from_slice(scored.vector_digest.as_bytes()),
                Part::More => out.extend_from_slice(common.more),
            }
        }
    }

    fn write_reasons(&self, scored: &Scored, matched: &[String], out: &mut Vec<u8>) {
        let band = &self.form.bands[self.band(scored.score)];
        let (before, after) = &band.sentence;
        let sentence = format!("{before}{:.SCORE_DIGITS$}{after}", scored.score);
        let rules = matched
            .iter()
            .map(|text| (self.form.rule_start.as_str(), text.as_str()));
        let no_rule = band.no_rule.as_deref().filter(|_| matched.is_empty());
        write_list(
            out,
            std::iter::once(("", sentence.as_str()))
                .chain(rules)
                .chain(no_rule.map(|text| ("", text)))
                .chain(scored.reason.as_deref().map(|text| ("", text))),
        );
    }

    /// The texts of the rules that a row matches, the strongest first.
    fn matched(&self, row: &ReadRow) -> Vec<String> {
        let mut found: Vec<(f64, &Rule, Value)> = Vec::new();
        for rule in &self.form.rules {
            let value = row.features[rule.feature];
            let number = match value {
                Value::Int(number) => number as f64,
                Value::Float(number) => number,
                Value::Null => continue,
            };
            if number > rule.low {
                let share = (number - rule.low) / rule.width;
                found.push((rule.weight * share.min(1.0), rule, value));
            }
        }
        found.sort_by(|one, other| other.0.total_cmp(&one.0));
        let shown = |&(_, rule, value): &(f64, &Rule, Value)| {
            let (before, after) = &rule.text;
            match value {
                Value::Int(number) => format!("{before}{number}{after}"),
                Value::Float(number) => format!("{before}{}{after}", general(number)),
                Value::Null => String::new(),
            }
        };
        found.iter().take(self.form.rules_max).map(shown).collect()
    }
}

/// What is kept of a decision: `scoring/core/first_decision.py` says what each byte is.
pub fn kept(scored: &Scored, context: &[u8], now_ms: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.extend_from_slice(&scored.score.to_le_bytes());
    out.extend_from_slice(context);
    out.push(scored.outcome);
    out.extend_from_slice(&scored.partition.to_le_bytes());
    for number in [scored.offset, now_ms] {
        out.extend_from_slice(&((number >> 32) as u16).to_le_bytes());
        out.extend_from_slice(&(number as u32).to_le_bytes());
    }
    if let Some(batch) = &scored.batch {
        out.extend_from_slice(&batch.kept);
    }
    out
}

/// A number as C's `%.3g` writes it.
fn general(number: f64) -> String {
    let scientific = format!("{number:.*e}", VALUE_DIGITS - 1);
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    if (FIXED_POWER_MIN..VALUE_DIGITS as i32).contains(&power) {
        let after_point = (VALUE_DIGITS as i32 - 1 - power) as usize;
        return without_zeros(&format!("{number:.after_point$}")).into();
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), power.abs())
}

/// A number without zeros at the end of its fraction.
fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

fn write_list<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'[');
    for (at, (start, text)) in texts.enumerate() {
        out.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
        out.extend_from_slice(start.as_bytes());
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
    out.push(b']');
}

fn write_integer(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_three_digits() {
        for (number, shown) in [
            (0.0, "0"),
            (0.0625, "0.0625"),
            (0.12345, "0.123"),
            (1.0, "1"),
            (2.5, "2.5"),
            (99.95, "100"),
            (123.456, "123"),
            (999.5, "1e+03"),
            (1234.5, "1.23e+03"),
            (1e16, "1e+16"),
            (1.5e100, "1.5e+100"),
            (0.0001, "0.0001"),
            (0.00009996, "0.0001"),
            (0.00001, "1e-05"),
            (5e-324, "4.94e-324"),
        ] {
            assert_eq!(general(number), shown);
        }
    }

    const ROWS: &str = r#"{"event_name":"event","fields":[
        {"name":"id","kind":"text","length_max":8},{"name":"n","kind":"integer","max":99}],
        "features":["a","b"],"digest":"d1","sequence_names":["s"],
        "wanted":["id"],"repeated":["n"]}"#;
    const ROW: &str = r#"{"event":{"id":"x","n":7},"features":{"a":3,"b":0.5},"approximate":["a"],"definition_digest":"d1","repeat":false,"s":1,"origin":{"partition":0,"offset":5,"timestamp_ms":12},"computed_at_ms":13}"#;
    const FORM: &str = r#"{"bands":[
        {"name":"low","above":null,"sentence":["score "," is low"],"no_rule":null},
        {"name":"high","above":0.5,"sentence":["score "," is high"],"no_rule":"no rule"}],
        "rules":[{"feature":0,"low":1,"width":4,"weight":0.5,"text":["","  of a"]},
            {"feature":1,"low":0,"width":0.5,"weight":0.9,"text":["b is ",""]}],
        "rules_max":2,"rule_start":"rule: ",
        "parts":[{"text":"{"},{"wanted":0},"outcome","score","features","more_features","partition",
            {"text":" "},"offset","approximate","degraded","reasons","timestamp","computed","now",
            "batch_time","matched","repeated","vector_digest","more",{"text":"}"}]}"#;

    fn scored(score: f64) -> Scored {
        Scored {
            score,
            vector_digest: "0f".into(),
            partition: 1,
            offset: 2,
            outcome: 1,
            reason: None,
            batch: None,
        }
    }

    fn written(row: &str, scored: &Scored) -> String {
        let reader = RowReader::from_json(ROWS).unwrap();
        let form = DecisionForm::from_json(FORM, &reader).unwrap();
        let read = reader.read(row.as_bytes()).unwrap();
        let common = Common {
            now: b"9",
            degraded: b"[]",
            more: b",1",
        };
        let mut out = Vec::new();
        form.write(&reader, (&read, row.as_bytes()), scored, common, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_decision_is_written_part_by_part() {
        let text = written(ROW, &scored(0.75));
        assert_eq!(
            text,
            r#"{xhigh0.75"a":3,"b":0.51 2["a"][]["score 0.750 is high","rule: b is 0.5","rule: 3  of a"]12139null["b is 0.5","3  of a"]{"n":7}0f,1}"#
        );
    }

    #[test]
    fn a_reason_may_be_added_and_stands_alone_without_a_rule() {
        let row = ROW.replace(r#""a":3,"b":0.5"#, r#""a":1,"b":null"#);
        let mut decided = scored(0.75);
        decided.reason = Some("drawn".into());
        assert!(written(&row, &decided).contains(r#"["score 0.750 is high","no rule","drawn"]"#));
        decided = scored(0.5);
        assert!(written(&row, &decided).contains(r#"["score 0.500 is low"]"#));
    }

    #[test]
    fn a_score_is_within_0_and_1_and_above_a_threshold_not_on_it() {
        let reader = RowReader::from_json(ROWS).unwrap();
        let form = DecisionForm::from_json(FORM, &reader).unwrap();
        let outcomes = [0.0, 0.5, 0.51, 1.0].map(|score| form.outcome(score));
        assert_eq!(outcomes, [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(
            [f64::NAN, -0.1, 1.1].map(|score| form.outcome(score)),
            [None; 3]
        );
    }

    #[test]
    fn forms_of_other_rows_are_refused() {
        let reader = RowReader::from_json(ROWS).unwrap();
        let refused = |text: String| DecisionForm::from_json(&text, &reader).is_err();
        assert!(refused(FORM.replace(r#"{"wanted":0}"#, r#"{"wanted":1}"#)));
        assert!(refused(FORM.replace(r#""feature":1"#, r#""feature":2"#)));
        assert!(refused(FORM.replace(r#""above":0.5"#, r#""above":null"#)));
        assert!(refused("{}".into()));
    }

    #[test]
    fn what_is_kept_has_its_bytes_in_order() {
        let mut decided = scored(1.0);
        decided.offset = 1 << 40 | 5;
        let bytes = kept(&decided, b"digest", 2 << 32 | 7);
        assert_eq!(bytes.len(), 29);
        assert_eq!(bytes[..8], 1.0f64.to_le_bytes());
        assert_eq!(&bytes[8..14], b"digest");
        assert_eq!(bytes[14..], [1, 1, 0, 0, 1, 5, 0, 0, 0, 2, 0, 7, 0, 0, 0]);
    }
}
