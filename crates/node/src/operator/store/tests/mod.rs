//! The commands of `store` on a small fleet on disk (`lab`).

mod checking;
mod copying;
mod recovering;
mod refusing;
mod restoring;

use certfleet_acme::make_key_and_csr;
use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Generation, NodeName};
use certfleet_core::records::PrivateKeyRecord;
use certfleet_core::spec::{KeyType, all_roles};
use certfleet_store::{Listing, Store};

use super::super::lab::{Lab, cert, cert_key, generation, how, name, now, over, spec};
use super::*;
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::trust::Pen;
