use serde::de::IntoDeserializer;

use super::*;

fn read(table: &str) -> Result<TargetConfig, String> {
    toml::from_str(table).map_err(|e| e.to_string())
}

const NGINX: &str = "kind = \"nginx\"\ndir = \"/etc/nginx/certs/{name}\"\n";

#[test]
fn the_designs_example_is_read() {
    let table = "kind = \"haproxy\"\nnodes = [\"lb*\"]\nrun = \"each\"\nbundle = \"/etc/haproxy/certs/{name}.pem\"\n\
                 socket = \"/run/haproxy/admin.sock\"\nverify = \"127.0.0.1:443\"\ngrace = \"5m\"\n";
    let config = read(table).expect("valid");
    assert_eq!(config.validate(), Ok(()));
    let common = config.common();
    assert_eq!((config.kind(), common.grace, common.timeout), ("haproxy", Duration::from_secs(300), Duration::from_secs(30)));
    assert!(config.nodes()[0].matches(&"lb7".parse().expect("a node")));
    let target = config.build("haproxy".parse().expect("a target"), &"lb0".parse().expect("a node")).expect("built");
    assert_eq!((target.name().as_str(), target.kind()), ("haproxy", "haproxy"));
}

#[test]
fn a_field_that_is_misspelt_is_told_with_the_right_ones() {
    let told = read(&format!("{NGINX}verfy = \"off\"\n")).expect_err("a typing error");
    assert!(told.contains("unknown field `verfy`, expected one of `dir`, `combined`") && told.contains("`verify`"), "{told}");
    assert!(read(&format!("{NGINX}socket = \"/x\"\n")).expect_err("another kind's field").contains("unknown field `socket`"));
    assert!(read("dir = \"/x\"\n").expect_err("no kind").contains("missing field `kind`"));
}

#[test]
fn mistakes_keep_their_place_when_the_kind_is_looked_at_first() {
    let text = format!("{NGINX}nodes = [\"lb0\"]\nverfy = \"off\"\n");
    let parsed = toml::de::Deserializer::parse(&text).expect("toml");
    let error = TargetConfig::of_kind("nginx", parsed).expect_err("a typing error");
    let span = error.span().expect("a place");
    assert_eq!(&text[span], "verfy");
    let text = format!("{NGINX}grace = \"soon\"\n");
    let error = TargetConfig::of_kind("nginx", toml::de::Deserializer::parse(&text).expect("toml")).expect_err("no span of time");
    assert_eq!(&text[error.span().expect("a place")], "\"soon\"");
}

#[test]
fn kinds_of_later_versions_are_told_from_typing_errors() {
    for kind in KINDS_LATER {
        let told = read(&format!("kind = \"{kind}\"\npassword = 1\n")).expect_err(kind);
        assert!(told.contains(&format!("kind `{kind}` is not in this version, which has `files`, `nginx`, `haproxy`")), "{told}");
        let empty = std::collections::BTreeMap::<String, String>::new();
        let deserializer = IntoDeserializer::<serde::de::value::Error>::into_deserializer(empty);
        assert!(TargetConfig::of_kind(kind, deserializer).is_err_and(|e| e.to_string().contains("not in this version")));
    }
    assert!(read("kind = \"ngnix\"\n").expect_err("a typing error").contains("unknown variant `ngnix`"));
}

#[test]
fn fields_that_do_not_go_together_are_refused() {
    let problem = |table: &str| read(table).expect("it parses").validate().expect_err(table);
    assert!(problem(&format!("{NGINX}combined = \"/x\"\n")).contains("do not go together"));
    assert!(problem("kind = \"files\"\n").contains("where do the files go"));
    assert!(problem("kind = \"files\"\ndir = \"certs\"\n").contains("absolute path"));
    assert!(problem(&format!("{NGINX}run = \"once\"\n")).contains("not in this version"));
    assert!(problem(&format!("{NGINX}check = {{ unit = \"nginx.service\" }}\n")).contains("cannot check anything"));
    assert!(problem(&format!("{NGINX}timeout = \"0s\"\n")).contains("no time"));
    assert!(problem(&format!("{NGINX}config = \"nginx.conf\"\n")).contains("absolute path"));
    assert!(problem(&format!("{NGINX}verify = {{ connect = \"127.0.0.1:25\", starttls = \"smtp\" }}\n")).contains("not in this version"));
    assert!(problem("kind = \"haproxy\"\nbundle = \"/x/{name}.pem\"\n").contains("how does HAProxy learn"));
    assert!(problem("kind = \"haproxy\"\nbundle = \"/x y\"\nsocket = \"/s\"\n").contains("cannot take ' '"));
}

#[test]
fn an_unknown_group_is_told_when_the_target_is_built() {
    let config = read(&format!("{NGINX}group = \"no-such-group\"\n")).expect("valid");
    let told = config.build("web".parse().expect("a target"), &"lb0".parse().expect("a node")).expect_err("no such group");
    assert!(told.to_string().contains("deploy.web: there is no group `no-such-group`"), "{told}");
}
