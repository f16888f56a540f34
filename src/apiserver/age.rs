//! Lengths of time as `kubectl get` prints them. Pure.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Returns how long ago `since` was, in the words of an Age column; `<unknown>` if that is not known.
#[must_use]
pub fn age(since: Option<Timestamp>) -> String {
    match since {
        Some(since) => human(Timestamp::now().as_second() - since.as_second()),
        None => "<unknown>".into(),
    }
}

/// Returns a length of time, the more coarsely the longer it is.
fn human(seconds: i64) -> String {
    let two = |large: i64, small: i64, names: (char, char)| {
        let (count, rest) = (seconds / large, seconds % large / small);
        if rest == 0 {
            return format!("{count}{}", names.0);
        }
        format!("{count}{}{rest}{}", names.0, names.1)
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(MINUTE, 1, ('m', 's')),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(HOUR, MINUTE, ('h', 'm')),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(DAY, HOUR, ('d', 'h')),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(YEAR, DAY, ('y', 'd')),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_printed_as_kubectl_prints_them() {
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_071_999, "729d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn an_unknown_time_is_said_to_be_unknown() {
        assert_eq!(age(None), "<unknown>");
        assert_eq!(age(Some(Timestamp::now())), "0s");
    }
}
