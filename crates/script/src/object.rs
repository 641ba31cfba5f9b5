//! The userdata that scripts see, one file each. They hold numbers and addresses only; what they show is looked up in
//! the connection that is lent to the running hook.

pub(crate) mod address;
pub(crate) mod backends;
pub(crate) mod connection;
pub(crate) mod pool;
pub(crate) mod queries;
pub(crate) mod shared;
pub(crate) mod socket;
