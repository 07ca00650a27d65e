//! The configuration: TOML files, checked as a whole, and what one node makes of them.
//!
//! [`load`] reads and checks everything that stands in the files, for all nodes; [`Configuration::for_node`] gives one node's [`Settings`].
//!
//! Always holds: what is unknown is refused and nothing is passed over in silence; what a later version will have is refused as such; every
//! refusal names the file, line and column, and what to do. Whatever the files hold, nothing here panics.
//!
//! Deliberately not here: the store, the machine (users, sockets, whether files exist), and the command line. Secrets are not read here either;
//! their places are.

mod at;
mod certificates;
mod configuration;
mod de;
mod error;
mod files;
mod hash;
mod issuers;
mod local;
mod nearest;
mod overlay;
mod print;
mod raw;
mod secrets;
mod settings;
mod source;
mod store_url;
mod targets;
mod tree;

pub use certificates::NAMES_MAX;
pub use configuration::{Configuration, default_path, load};
pub use error::ConfigError;
pub use files::{FILE_BYTES_MAX, INCLUDED_FILES_MAX};
pub use secrets::{SECRET_BYTES_MAX, SecretError, SecretSource};
pub use settings::{ADMIN_DEFAULT, AdminSettings, AnswerSettings, HTTP_DEFAULT, LogFormat, LogLevel, LogSettings, STATE_DEFAULT, Settings};
pub use store_url::SERVED;
