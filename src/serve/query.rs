//! The part of a request after the `?`.

use percent_encoding::percent_decode_str;

/// Names and values, in their order; what is not UTF-8 is left out.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`, as forms send it.
    pub fn parse(text: Option<&str>) -> Self {
        let plain = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned());
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((plain(name)?, plain(value)?))
        });
        Self(pairs.collect())
    }

    /// Every value of this name that is not empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, value)| of == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The first value of this name that is not empty.
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_forms_send_them() {
        let query = Query::parse(Some("run=a&run=b%2Fc&metric=&x+y=1%25+2&bad=%ff&&z"));
        assert_eq!(query.all("run").collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(
            (query.first("metric"), query.first("x y"), query.first("bad"), query.first("z")),
            (None, Some("1% 2"), None, None)
        );
        assert!(Query::parse(None).first("run").is_none());
    }
}
