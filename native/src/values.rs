//! The values of one entity's features, and how they are read from counts and sums.

use smallvec::SmallVec;

use crate::plan::{Aggregate, Entity};

/// The value of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i128),
    /// A number.
    Float(f64),
    /// The mean of nothing.
    Null,
}

/// The features of one entity as of one event.
#[derive(Debug, Clone)]
pub struct Values {
    /// In the order of the entity's features.
    pub values: SmallVec<[Value; 24]>,
    /// Which of them are not exact.
    pub approximate: SmallVec<[bool; 24]>,
    /// The state's number of changes so far.
    pub sequence: u64,
    /// The event was counted before and was not counted again.
    pub is_repeat: bool,
}

/// What an entity's windows hold as of an instant.
pub struct Contents<'a> {
    /// Events, for each span.
    pub counts: &'a [i64],
    /// Sums, for each span.
    pub totals: &'a [i128],
    /// Positive events, for each span; empty without labels.
    pub positives: &'a [i64],
    /// Different values, for each distinct window.
    pub distinct: &'a [i64],
}

/// Reads all features of an entity.
pub fn read_all(entity: &Entity, contents: &Contents<'_>) -> SmallVec<[Value; 24]> {
    let read = |aggregate: Aggregate, at: usize| match aggregate {
        Aggregate::Count => Value::Int(contents.counts[at] as i128),
        Aggregate::Sum => Value::Int(contents.totals[at]),
        Aggregate::Mean if contents.counts[at] == 0 => Value::Null,
        Aggregate::Mean => Value::Float(divide(contents.totals[at], contents.counts[at])),
        Aggregate::Distinct => Value::Int(contents.distinct[at] as i128),
        Aggregate::Rate if contents.counts[at] == 0 => Value::Float(0.0),
        Aggregate::Rate => {
            Value::Float(divide(contents.positives[at] as i128, contents.counts[at]))
        }
    };
    entity
        .features
        .iter()
        .map(|feature| read(feature.aggregate, feature.position))
        .collect()
}

/// Divides two integers, rounded correctly to the nearest double, ties to even.
///
/// Both are converted first where that is exact. Above 2^53 it is not, and dividing the converted
/// numbers would round twice; then the quotient is computed to at least 64 bits, its last bit set
/// where a remainder is left.
pub fn divide(total: i128, count: i64) -> f64 {
    const EXACT_MAX: u128 = 1 << 53;
    let magnitude = total.unsigned_abs();
    let divisor = count.unsigned_abs() as u128;
    let sign = if (total < 0) != (count < 0) {
        -1.0
    } else {
        1.0
    };
    if magnitude <= EXACT_MAX && divisor <= EXACT_MAX {
        return sign * (magnitude as f64 / divisor as f64);
    }
    let shift = magnitude.leading_zeros();
    let shifted = magnitude << shift;
    let quotient = shifted / divisor;
    let is_inexact = shifted % divisor != 0;
    let rounded = (quotient | is_inexact as u128) as f64;
    sign * rounded * 2f64.powi(-(shift as i32))
}

#[cfg(test)]
mod tests {
    use super::divide;

    #[test]
    fn a_quotient_above_2_53_is_rounded_once() {
        assert_eq!(divide(25, 2), 12.5);
        assert_eq!(divide(9_007_199_254_740_993, 1), 9_007_199_254_740_992.0);
        assert_eq!(divide(9_007_199_254_740_995, 1), 9_007_199_254_740_996.0);
        assert_eq!(
            divide(27_021_597_764_222_979, 3),
            9_007_199_254_740_992.0 + 1.0 - 1.0
        );
        assert_eq!(
            divide(1 << 100, 3),
            422_550_200_076_076_463_142_955_581_440.0_f64.floor() + 0.0
        );
    }
}
