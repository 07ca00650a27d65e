use rustix::fs::Mode;
use tempfile::TempDir;

use super::*;

struct Place {
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("dir").join(name)
    }

    fn wanted(&self, name: &str, content: &str) -> Wanted {
        let content = Secret::from(content.to_owned());
        Wanted { path: self.path(name), content, mode: 0o600, owner: Owner::default(), tag: "t".into() }
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Everything in the directory, by name.
    fn list(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path().join("dir")).expect("readable");
        let mut names: Vec<String> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_change_can_be_undone_until_it_is_settled() {
    let place = Place::new();
    let (old, new) = ([place.wanted("a", "old a")], [place.wanted("a", "new a"), place.wanted("b", "new b")]);
    assert!(super::place(&old).expect("placed"));
    settle(&old).expect("settled");
    assert!(super::place(&new).expect("placed") && new[0].is_interrupted());
    assert_eq!((place.read("a").as_deref(), place.read("b").as_deref()), (Some("new a"), Some("new b")));
    put_back(&new).expect("put back");
    assert_eq!((place.read("a").as_deref(), place.list()), (Some("old a"), vec!["a".to_owned()]));
    put_back(&new).expect("nothing to do");
    super::place(&new).and_then(|_| settle(&new)).expect("placed and settled");
    put_back(&new).expect("nothing to do");
    assert_eq!((place.read("a").as_deref(), place.list()), (Some("new a"), vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn what_is_right_is_not_touched() {
    let place = Place::new();
    let files = [place.wanted("a", "x")];
    assert!(super::place(&files).expect("placed"));
    settle(&files).expect("settled");
    let before = fs::metadata(place.path("a")).expect("there").ino();
    assert!(!super::place(&files).expect("placed"));
    assert_eq!(fs::metadata(place.path("a")).expect("there").ino(), before);
    fs::set_permissions(place.path("a"), fs::Permissions::from_mode(0o644)).expect("changed");
    assert!(super::place(&files).expect("placed"), "a key that others can read is not right");
}

#[test]
fn a_staged_file_is_private_before_there_is_anything_in_it() {
    rustix::process::umask(Mode::empty());
    let place = Place::new();
    fs::create_dir(place.home.path().join("dir")).expect("created");
    let wanted = place.wanted("key", "secret");
    let staged = create_staged(&wanted, &wanted.staged()).expect("created");
    let meta = staged.metadata().expect("metadata");
    assert_eq!((meta.len(), meta.mode() & 0o7777), (0, 0o600));
    let shared = Wanted { mode: 0o640, ..wanted };
    let meta = create_staged(&shared, &shared.staged()).expect("created").metadata().expect("metadata");
    assert_eq!((meta.len(), meta.mode() & 0o7777), (0, 0o640));
}

/// A crash after any number of the steps of a change: what is left can be undone, and can be finished.
#[test]
fn a_crash_between_any_two_steps_heals() {
    for steps in 0..=6 {
        for finish in [false, true] {
            let place = Place::new();
            let old = [place.wanted("a", "old a"), place.wanted("b", "old b")];
            let new = [place.wanted("a", "new a"), place.wanted("b", "new b")];
            super::place(&old).and_then(|_| settle(&old)).expect("installed");
            let work: [&dyn Fn(); 6] = [
                &|| stage(&new[0]).expect("staged"),
                &|| stage(&new[1]).expect("staged"),
                &|| keep_old(&new[0]).expect("kept"),
                &|| keep_old(&new[1]).expect("kept"),
                &|| fs::rename(new[0].staged(), &new[0].path).expect("renamed"),
                &|| fs::rename(new[1].staged(), &new[1].path).expect("renamed"),
            ];
            work[..steps].iter().for_each(|step| step());
            let wanted = if finish {
                super::place(&new).and_then(|_| settle(&new)).expect("finished");
                "new"
            } else {
                put_back(&new).expect("undone");
                "old"
            };
            let found = [place.read("a"), place.read("b")].map(Option::unwrap_or_default);
            assert_eq!(found, [format!("{wanted} a"), format!("{wanted} b")], "after {steps} steps");
            assert_eq!(place.list(), ["a", "b"], "after {steps} steps");
        }
    }
}

#[test]
fn an_interrupted_change_keeps_the_last_known_good() {
    let place = Place::new();
    let generation = |n: u8| [place.wanted("a", &format!("{n}"))];
    super::place(&generation(1)).and_then(|_| settle(&generation(1))).expect("installed");
    super::place(&generation(2)).expect("never settled");
    super::place(&generation(3)).expect("placed");
    put_back(&generation(3)).expect("put back");
    assert_eq!(place.read("a").as_deref(), Some("1"));
}

#[test]
fn where_one_file_cannot_be_written_none_is() {
    let place = Place::new();
    let old = [place.wanted("a", "old a")];
    super::place(&old).and_then(|_| settle(&old)).expect("installed");
    fs::create_dir(place.path("b")).expect("in the way");
    fs::write(place.path("b").join("x"), "").expect("not empty");
    let told = super::place(&[place.wanted("a", "new a"), place.wanted("b", "new b")]).expect_err("b is a directory").to_string();
    assert!(told.contains("/dir/b") || told.contains("/dir/.b"), "{told}");
    assert_eq!(place.read("a").as_deref(), Some("old a"));
    assert_eq!(place.list(), ["a", "b"]);
}

#[test]
fn links_are_replaced_and_what_they_lead_to_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.home.path().join("dir")).expect("created");
    let archive = place.home.path().join("archive");
    fs::write(&archive, "old").expect("written");
    std::os::unix::fs::symlink(&archive, place.path("a")).expect("linked");
    let files = [place.wanted("a", "new")];
    super::place(&files).expect("placed");
    put_back(&files).expect("put back");
    assert_eq!((place.read("a").as_deref(), place.path("a").is_symlink()), (Some("old"), true));
    super::place(&files).and_then(|_| settle(&files)).expect("placed");
    assert_eq!((place.read("a").as_deref(), place.path("a").is_symlink()), (Some("new"), false));
    assert_eq!(fs::read_to_string(archive).expect("there"), "old");
}

#[test]
fn only_the_last_directory_is_created() {
    let place = Place::new();
    let mut file = place.wanted("a", "x");
    super::place(std::slice::from_ref(&file)).expect("placed");
    assert_eq!(fs::metadata(place.home.path().join("dir")).expect("made").mode() & 0o7777, 0o700);
    file.path = place.home.path().join("one/two/a");
    let told = super::place(&[file]).expect_err("two levels").to_string();
    assert!(told.contains(&format!("{} does not exist", place.home.path().join("one").display())), "{told}");
}
