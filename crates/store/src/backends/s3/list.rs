//! One page of a list, as S3 gives it (ListObjectsV2).
//!
//! Its library reads it too, and fails at the first name that it finds odd; here odd names are names as well.

use serde::Deserialize;

use crate::url::percent_decoded;

/// What is asked for: names as in URLs, so that any name can stand in XML.
pub(super) const QUERY: [(&str, &str); 2] = [("list-type", "2"), ("encoding-type", "url")];

/// Objects in the order of their names, and how to ask for those behind them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<Listed>,
    pub(super) next: Option<String>,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Without the quotes.
    pub(super) etag: String,
    pub(super) length: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    contents: Vec<Contents>,
    #[serde(default)]
    encoding_type: Option<String>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    #[serde(rename = "ETag")]
    etag: Option<String>,
    size: u64,
}

impl Page {
    pub(super) fn parse(xml: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(xml).map_err(|e| e.to_string())?;
        if !text.contains("<ListBucketResult") {
            return Err("it is no list of objects".into());
        }
        let answer: Answer = quick_xml::de::from_str(text).map_err(|e| e.to_string())?;
        if answer.is_truncated && answer.next_continuation_token.is_none() {
            return Err("the list has more pages, and does not say how to get them".into());
        }
        let is_encoded = answer.encoding_type.as_deref() == Some("url");
        let listed = |object: Contents| {
            let etag = object.etag.ok_or("its lists have no ETags, by which it is seen what changed")?;
            let name = if is_encoded { decoded(&object.key) } else { object.key };
            Ok::<_, String>(Listed { name, etag: unquoted(&etag).to_owned(), length: object.size })
        };
        let objects = answer.contents.into_iter().map(listed).collect::<Result<_, _>>()?;
        Ok(Self { objects, next: answer.next_continuation_token.filter(|_| answer.is_truncated) })
    }
}

/// An ETag as it stands in revisions.
pub(super) fn unquoted(etag: &str) -> &str {
    etag.trim().trim_matches('"')
}

/// What cannot be decoded stays as it is: it is foreign either way.
fn decoded(name: &str) -> String {
    percent_decoded(&name.replace('+', " ")).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_with_whatever_names() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p/data/</Prefix><EncodingType>url</EncodingType>
            <KeyCount>3</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b==</NextContinuationToken>
            <Contents><Key>p/data/certs/%2A.a%40lb0</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;0f&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>
            <Contents><Key>p/data//a+b%01</Key><ETag>"1"</ETag><Size>0</Size></Contents>
            <Contents><Key>p/data/%ff</Key><ETag>2-1</ETag><Size>0</Size></Contents></ListBucketResult>"#;
        let page = Page::parse(xml.as_bytes()).expect("read");
        let listed = |name: &str, etag: &str, length| Listed { name: name.into(), etag: etag.into(), length };
        let wanted = vec![listed("p/data/certs/*.a@lb0", "0f", 7), listed("p/data//a b\u{1}", "1", 0), listed("p/data/%ff", "2-1", 0)];
        assert_eq!(page, Page { objects: wanted, next: Some("a&b==".into()) });
    }

    #[test]
    fn an_empty_list_is_empty_and_others_are_refused() {
        let empty =
            b"<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>";
        assert_eq!(Page::parse(empty), Ok(Page::default()));
        for bad in
            ["", "<html></html>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "<ListBucketResult><Contents>"]
        {
            assert!(Page::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
