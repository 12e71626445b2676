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
    fn small_numbers_are_divided_as_doubles() {
        assert_eq!(divide(25, 2), 12.5);
        assert_eq!(divide(1, 3), 1.0 / 3.0);
        assert_eq!(divide(0, 7), 0.0);
        assert_eq!(divide(-25, 2), -12.5);
    }

    #[test]
    fn a_tie_above_2_53_is_rounded_to_even() {
        assert_eq!(divide(9_007_199_254_740_993, 1), 9_007_199_254_740_992.0);
        assert_eq!(divide(9_007_199_254_740_995, 1), 9_007_199_254_740_996.0);
        assert_eq!(divide(27_021_597_764_222_979, 3), 9_007_199_254_740_992.0);
    }

    #[test]
    fn a_quotient_above_2_53_is_rounded_once() {
        // The total as a double is 2^63, a tie of its own; the exact quotient lies above the tie.
        let total = (1 << 63) + 1025;
        assert_eq!(divide(total, 1), 9_223_372_036_854_777_856.0);
        // Expected values are those of Python, which divides integers exactly.
        assert_eq!(divide(1 << 100, 3), 4.225_502_000_760_764_4e29);
        assert_eq!(
            divide(123_456_789_012_345_678_901, 7),
            1.763_668_414_462_081_2e19
        );
        assert_eq!(
            divide(999_999_999_999_999_999, 999_999_999_999),
            1_000_000.000_001
        );
    }

    #[test]
    fn the_largest_total_is_divided() {
        assert_eq!(divide(i128::MAX, 1), 2f64.powi(127));
        assert_eq!(divide(i128::MAX, i64::MAX), 2f64.powi(64));
    }
}
