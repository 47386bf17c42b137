//! Who may ask: the certificate of the front proxy and the user it names, and what the cluster says of that user.

pub mod front_proxy;
pub mod pods;
pub mod review;
pub mod tls;
