//! Who may speak: connection ids prove an address, the address policy says which addresses are
//! served and stored.

pub mod address_policy;
pub mod connection_id;
