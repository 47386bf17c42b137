//! Quantities of Kubernetes in settings: validation and comparison.
//!
//! Source: the grammar in apimachinery's `pkg/api/resource/quantity.go`. Negative quantities are rejected: no
//! container's resource may be negative.

/// An amount, to be compared with others: its value in thousandths, which is the finest that containers get, rounded
/// up as in Kubernetes.
pub type Milli = u64;

/// Parses `200m`, `1.5`, `500Mi`, `1e3`, …; `None` if Kubernetes would reject it, or if it is too large.
pub fn parse(text: &str) -> Option<Milli> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let (factor, exponent) = factor(suffix)?;
    let digits: u64 = [whole, fraction].concat().parse().ok()?;
    let scaled = digits.checked_mul(factor)?;
    let power = exponent.checked_add(3)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let ten = 10_u64.checked_pow(power.unsigned_abs());
    match power {
        0.. => scaled.checked_mul(ten?),
        _ => Some(ten.map_or(u64::from(scaled > 0), |ten| scaled.div_ceil(ten))),
    }
}

/// A suffix as a factor and a power of ten.
fn factor(suffix: &str) -> Option<(u64, i32)> {
    let decimal = (-3..).zip(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"]).map(|(n, it)| (it, (1, 3 * n)));
    let binary = (1..).zip(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]).map(|(n, it)| (it, (1 << (10 * n), 0)));
    decimal.chain(binary).find(|(it, _)| *it == suffix).map(|(_, factor)| factor).or_else(|| {
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        let digits = exponent.trim_start_matches(['+', '-']).len();
        (digits <= 3).then(|| exponent.parse().ok()).flatten().map(|exponent| (1, exponent))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubernetes_reads() {
        const ONE: Milli = 1000;
        let table = [
            ("1", Some(ONE)),
            ("0", Some(0)),
            ("+1", Some(ONE)),
            ("200m", Some(ONE / 5)),
            ("1.5", Some(ONE + ONE / 2)),
            (".5", Some(ONE / 2)),
            ("5.", Some(5 * ONE)),
            ("1Ki", Some(1024 * ONE)),
            ("1.5Ki", Some(1536 * ONE)),
            ("1e3", Some(1000 * ONE)),
            ("1E-3", Some(ONE / 1000)),
            ("1P", Some(ONE * 10_u64.pow(15))),
            ("1n", Some(1)),
            ("0.1n", Some(1)),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("-1", None),
            ("1 ", None),
            ("500MB", None),
            ("1mi", None),
            ("m", None),
            ("1e", None),
            ("1e+", None),
            ("0x1", None),
            ("1e999", None),
            ("64Gi", Some(ONE << 36)),
            ("1e-999", Some(1)),
            ("0e-999", Some(0)),
        ];
        for (text, amount) in table {
            assert_eq!(parse(text), amount, "{text:?}");
        }
    }
}
